//! Writes simulated market data: `cargo run -p chronos-exchange --example generate -- out.gz [seed] [seconds or size, such as 10GB]`.

use chronos_exchange::{GeneratorConfig, generate_file, parse_byte_size};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("usage: generate FILE[.gz|.zst] [SEED] [SECONDS|SIZE]")?;
    let mut config = GeneratorConfig::default();
    if let Some(seed) = arguments.get(1) {
        config.seed = seed.parse()?;
    }
    match arguments.get(2) {
        Some(size) if size.ends_with('B') => {
            config.seconds = u32::MAX;
            config.max_bytes = Some(parse_byte_size(size)?);
        }
        Some(seconds) => config.seconds = seconds.parse()?,
        None => {}
    }
    let summary = generate_file(&config, Path::new(path), &mut |_| {})?;
    println!("{summary:?}");
    Ok(())
}
