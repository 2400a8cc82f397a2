//! A generated market and what a session of it is made from.

use chronos_exchange::{GeneratorConfig, generate};
use chronos_inference::{NativeModel, StepSpec, StepWeights};
use chronos_market::decode::{Feed, split_capture_line};
use chronos_market::features::registry;
use chronos_market::{Contract, Exchange, Instrument, InstrumentId, PRICE_SCALE, Price, QTY_SCALE, Qty, Timestamp};
use chronos_pipeline::predictor::{Predictor, Scale};
use chronos_pipeline::topology::Source;

/// Receive time and message of each line, in memory before anything is measured.
pub(crate) fn market(seconds: u32, symbols: u16) -> Vec<(Timestamp, Vec<u8>)> {
    let mut capture = Vec::new();
    let config = GeneratorConfig { seconds, symbols, depth_interval_ms: 10, ..GeneratorConfig::default() };
    generate(&config, &mut capture, &mut |_| {}).unwrap();
    let lines = capture.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| split_capture_line(line).map(|line| (line.recv, line.message.to_vec())).unwrap()).collect()
}

/// The first instrument of the generated market.
pub(crate) fn instrument() -> Instrument {
    Instrument {
        exchange: Exchange::BinanceUsdm,
        symbol: "BTCUSDT".into(),
        tick: Price(PRICE_SCALE / 10),
        lot: Qty(QTY_SCALE / 1_000),
        contract: Contract::spot(),
    }
}

/// Its connection.
pub(crate) fn source() -> Source {
    Source { feed: Feed::Binance(Exchange::BinanceUsdm), instruments: vec![InstrumentId(0)], is_filtered: false }
}

/// A model small enough to be asked often.
pub(crate) fn predictor() -> Predictor {
    let features = registry().len();
    let spec = StepSpec { features, d_model: 32, layers: 2, d_state: 8, d_conv: 4, expand: 2, dt_rank: 4, head_hidden: 32 };
    let scales = (0..features).map(|feature| Scale { feature, mean: 0.0, std: 1.0, clip: 5.0 }).collect();
    Predictor::new(Box::new(NativeModel::new(&StepWeights::untrained(&spec, 1))), scales)
}
