//! A made-up market with planted regimes through the cold path: what it answers, window by window. Trend, volatility ratio and
//! volatility are printed as the embedding has them, bounded by 1.
//!
//! `cargo run -p chronos-coldpath --example regime`

use chronos_coldpath::{ColdConfig, ColdPath, HotEnds, RECORDS_CAPACITY, cold_links};
use chronos_market::{ColdRecord, InstrumentId, NANOS_PER_SECOND, ParameterBlock, Timestamp, Window};

/// What is planted, for how many windows of 10 s: name, drift and volatility, basis points a mid (ten a second).
const PARTS: [(&str, u32, f64, f64); 5] = [
    ("quiet", 12, 0.0, 0.3),
    ("rising", 12, 0.2, 0.3),
    ("quiet", 12, 0.0, 0.3),
    ("burst", 4, 0.0, 2.0),
    ("falling", 12, -0.2, 0.3),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = ColdConfig::default();
    let window_ns = config.regime.window_ns;
    let (mut hot, links) = cold_links(RECORDS_CAPACITY);
    let cold = ColdPath::start(config, links)?;

    println!("{:>6}  {:<8} {:<16} {:>10} {:>6} {:>6} {:>6}", "window", "planted", "regime", "size_scale", "trend", "ratio", "vol");
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut index, mut log_mid) = (0, 60_000.0_f64.ln());
    for (name, windows, drift_bps, volatility_bps) in PARTS {
        for _ in 0..windows {
            for place in 0..100 {
                // Twelve uniform numbers make a good enough normal one.
                let normal = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
                log_mid += 1e-4 * (drift_bps + volatility_bps * normal);
                let recv = Timestamp(index * window_ns + place * NANOS_PER_SECOND / 10);
                send(&mut hot, ColdRecord::Sample { recv, instrument: InstrumentId(0), mid: log_mid.exp() })?;
            }
            let end = Timestamp((index + 1) * window_ns);
            send(&mut hot, ColdRecord::WindowEnd(Window { index, end, effective: end }))?;
            let block = receive(&mut hot)?;
            let [trend, ratio, volatility] = [5, 6, 7].map(|place| block.embedding[place]);
            println!(
                "{index:>6}  {name:<8} {:<16} {:>10} {trend:>6.2} {ratio:>6.2} {volatility:>6.2}",
                block.regime.name(),
                block.size_scale
            );
            hot.retired.push(block).map_err(|_| "no room for a retired block")?;
            index += 1;
        }
    }

    drop(hot);
    let summary = cold.join()?;
    println!("{} records, {} windows, regimes {:?}", summary.records, summary.windows, summary.regimes);
    Ok(())
}

/// Waits for room, as a replay does.
fn send(hot: &mut HotEnds, record: ColdRecord) -> Result<(), &'static str> {
    while hot.records.is_full() {
        if hot.records.is_abandoned() {
            return Err("the cold path is gone");
        }
        std::thread::yield_now();
    }
    hot.records.push(record).map_err(|_| "the ring is full")
}

/// Waits for the block that is due.
fn receive(hot: &mut HotEnds) -> Result<Box<ParameterBlock>, &'static str> {
    loop {
        let is_abandoned = hot.blocks.is_abandoned();
        match hot.blocks.pop() {
            Ok(block) => return Ok(block),
            Err(_) if is_abandoned => return Err("the cold path is gone"),
            Err(_) => std::thread::yield_now(),
        }
    }
}
