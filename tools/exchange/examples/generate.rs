//! Writes a minute of simulated market data: `cargo run -p chronos-exchange --example generate -- out.gz [seed] [seconds]`.

use chronos_exchange::{GeneratorConfig, generate_file};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(path) = arguments.first() else {
        eprintln!("usage: generate FILE[.gz] [SEED] [SECONDS]");
        return ExitCode::FAILURE;
    };
    let mut config = GeneratorConfig::default();
    if let Some(seed) = arguments.get(1).and_then(|text| text.parse().ok()) {
        config.seed = seed;
    }
    if let Some(seconds) = arguments.get(2).and_then(|text| text.parse().ok()) {
        config.seconds = seconds;
    }
    match generate_file(&config, Path::new(path), &mut |_| {}) {
        Ok(summary) => {
            println!("{summary:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
