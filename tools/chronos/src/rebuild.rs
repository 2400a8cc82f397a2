//! What is left of a command in a build without its feature: it says what is missing.

use anyhow::{Result, bail};
use clap::Args;

/// Arguments of the command, none of which this build can use.
#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _all: Vec<String>,
}

/// Says what is missing.
pub(crate) fn run(command: &str) -> Result<()> {
    bail!(
        "this build cannot train, which `{command}` needs: rebuild with `--features train` (`cargo build --release --features train`)"
    )
}
