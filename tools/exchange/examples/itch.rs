//! Writes a simulated ITCH feed: `cargo run -p chronos-exchange --example itch -- out.pcap [messages] [seed]`.

use chronos_exchange::itch_capture::{ItchConfig, PacketContainer, write_itch_file};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().map(Path::new).ok_or("usage: itch FILE.pcap|.pcapng[.gz|.zst] [MESSAGES] [SEED]")?;
    let container = PacketContainer::of_path(path).ok_or("the file's name must end in .pcap or .pcapng")?;
    let mut config = ItchConfig { container, ..ItchConfig::default() };
    if let Some(messages) = arguments.get(1) {
        config.messages = messages.parse()?;
    }
    if let Some(seed) = arguments.get(2) {
        config.seed = seed.parse()?;
    }
    println!("{:#?}", write_itch_file(&config, path, &mut |_| {})?);
    Ok(())
}
