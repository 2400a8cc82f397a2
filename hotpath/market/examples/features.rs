//! Feeds a few seconds of a made-up market to the features and prints them with their units and windows.
//!
//! `cargo run -p chronos-market --example features`

use chronos_market::book::L2Book;
use chronos_market::features::registry;
use chronos_market::{
    Bbo, FEATURES_MAX, FeatureConfig, FeatureEngine, NANOS_PER_MILLI, Price, QTY_SCALE, Qty, Side, TickClock, TickConfig,
    TickDecision, Timestamp,
};

const TICK: i64 = 100_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut book = L2Book::new();
    let mut engine = FeatureEngine::new(&FeatureConfig::default());
    let mut ticks = TickClock::new(&TickConfig::default());
    let mut features = [0.0; FEATURES_MAX];
    let mut view = Default::default();
    let mut decisions = 0;
    for step in 0..4_000i64 {
        let now = Timestamp(1_700_000_000_000_000_000 + step * 5 * NANOS_PER_MILLI);
        let centre = 600_000 + (40.0 * (step as f64 / 90.0).sin()) as i64;
        book.clear();
        for level in 1..=15 {
            // Sizes that vary by level and step, so that neither side is always heavier.
            let size = |salt: i64| Qty(QTY_SCALE * (1 + (level * 7 + step / 3 * salt) % 11));
            book.set(Side::Buy, Price((centre - level) * TICK), size(5)).map_err(|_| "book full")?;
            book.set(Side::Sell, Price((centre + level) * TICK), size(3)).map_err(|_| "book full")?;
        }
        let quote: Bbo = book.bbo();
        engine.on_quote(now, &quote);
        if step % 4 == 0 {
            let aggressor = if step % 12 == 0 { Side::Sell } else { Side::Buy };
            let price = if aggressor == Side::Buy { quote.ask.price } else { quote.bid.price };
            engine.on_trade(now, price, Qty(QTY_SCALE * (1 + step % 5)), Some(aggressor));
        }
        if step % 10 == 0 {
            book.view(&mut view);
            engine.on_book(now, &view);
            if ticks.on_change(now) == TickDecision::Fire {
                engine.write(now, &mut features);
                decisions += 1;
            }
        }
    }
    println!("{decisions} decisions; features at the last:");
    for (spec, value) in registry().iter().zip(features) {
        let window = spec.window.map(|window| window.to_string()).unwrap_or_default();
        println!("{:<32} {:>10.4} {:<10} {window:>13}  {}", spec.name, value, spec.unit, spec.source);
    }
    Ok(())
}
