//! `chronos export`.

use crate::tables::listing;
use anyhow::Result;
use chronos_session::export::{Export, SIGNATURE_FILE, export};
use chronos_session::model::ModelDirectory;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `chronos export`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos export models/mine --out exported
  chronos export models/mine --out exported --json

Written are step.onnx (one row, states in and out; what a replay runs), window.onnx (the same over any number of rows), for each further member
of an ensemble step_N.onnx and window_N.onnx, and signature.json: names, shapes, the features in their order and how they are scaled.
The same stands in each file's metadata.")]
pub(crate) struct Arguments {
    /// Folder of the model
    #[arg(value_name = "MODEL_DIR")]
    model_dir: PathBuf,
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the signature as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let exported = export(&ModelDirectory::open(&arguments.model_dir)?, &arguments.out)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&exported)?);
    } else {
        print(arguments, &exported);
    }
    Ok(())
}

fn print(arguments: &Arguments, exported: &Export) {
    let values = exported.inputs.iter().map(|value| ("in", value)).chain(exported.outputs.iter().map(|value| ("out", value)));
    let rows = values.map(|(direction, value)| {
        [direction.to_owned(), value.name.clone(), format!("[{}]", value.shape.join(", ")), value.meaning.to_owned()]
    });
    print!("{}", listing(["", "Name", "Shape", "Meaning"], rows, &[]));
    let files: Vec<String> = exported.members.iter().flat_map(|member| [member.step.clone(), member.window.clone()]).collect();
    println!("{}: {}, {SIGNATURE_FILE}; operator set {}", arguments.out.display(), files.join(", "), exported.opset);
}
