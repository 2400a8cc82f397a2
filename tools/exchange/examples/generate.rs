//! Writes simulated market data: `cargo run -p chronos-exchange --example generate -- out.gz [seed] [seconds]`.

use chronos_exchange::{GeneratorConfig, generate_file};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("usage: generate FILE[.gz] [SEED] [SECONDS]")?;
    let mut config = GeneratorConfig::default();
    if let Some(seed) = arguments.get(1) {
        config.seed = seed.parse()?;
    }
    if let Some(seconds) = arguments.get(2) {
        config.seconds = seconds.parse()?;
    }
    let summary = generate_file(&config, Path::new(path), &mut |_| {})?;
    println!("{summary:?}");
    Ok(())
}
