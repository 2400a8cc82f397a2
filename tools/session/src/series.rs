//! What a plot of a session needs, gathered in bounded memory while it runs.

use chronos_market::features::index_of;
use chronos_market::{ExecutionReport, Frame, Instrument, PRICE_SCALE, ReportKind, Side};
use chronos_pipeline::topology::Observer;

/// Points kept for one instrument: when there are more, neighbours are merged two by two.
pub const POINTS_MAX: usize = 8_192;
/// Fills kept for one instrument; what comes after is counted.
pub const FILLS_MAX: usize = 20_000;

/// One or more neighbouring decision ticks of an instrument.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Point {
    /// Logical time of the last tick.
    pub recv_ns: i64,
    /// Lowest mid price.
    pub mid_low: f64,
    /// Highest mid price.
    pub mid_high: f64,
    /// Last mid price.
    pub mid: f64,
    /// Imbalance of the best five levels at the last tick, -1 to 1.
    pub imbalance: f64,
    /// VPIN at the last tick, 0 to 1.
    pub vpin: f64,
    /// Profit less fees of the whole session at the last tick, in quote currency.
    pub net_quote: f64,
}

/// One fill of ours.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fill {
    /// When its report reached us.
    pub recv_ns: i64,
    /// Side of our order.
    pub side: Side,
    /// Price.
    pub price: f64,
    /// Quantity.
    pub qty: f64,
    /// Whether it made liquidity.
    pub is_maker: bool,
}

/// One instrument's series.
#[derive(Clone, Debug)]
pub struct InstrumentSeries {
    /// The venue's symbol.
    pub symbol: String,
    /// The venue's name.
    pub venue: &'static str,
    /// Decision ticks, oldest first.
    pub points: Vec<Point>,
    /// Fills, oldest first.
    pub fills: Vec<Fill>,
    /// Fills beyond [`FILLS_MAX`].
    pub fills_omitted: u64,
    /// Ticks merged into one point.
    ticks_per_point: u64,
    /// Ticks in the last point.
    ticks_in_last: u64,
}

/// The series of a session, by instrument.
#[derive(Clone, Debug)]
pub struct Series {
    /// One for each instrument.
    pub instruments: Vec<InstrumentSeries>,
    /// Places of the features drawn; one that is not registered draws nothing.
    imbalance: Option<usize>,
    vpin: Option<usize>,
}

impl Series {
    /// Empty series.
    pub fn new(instruments: &[Instrument]) -> Series {
        let of_one = |instrument: &Instrument| InstrumentSeries {
            symbol: instrument.symbol.clone(),
            venue: instrument.exchange.name(),
            points: Vec::with_capacity(POINTS_MAX),
            fills: Vec::new(),
            fills_omitted: 0,
            ticks_per_point: 1,
            ticks_in_last: 0,
        };
        Series { instruments: instruments.iter().map(of_one).collect(), imbalance: index_of("imbalance_5"), vpin: index_of("vpin") }
    }
}

impl InstrumentSeries {
    fn push(&mut self, tick: Point) {
        if self.ticks_in_last < self.ticks_per_point
            && let Some(last) = self.points.last_mut()
        {
            *last = merged(last, &tick);
            self.ticks_in_last += 1;
            return;
        }
        if self.points.len() == POINTS_MAX {
            for place in 0..POINTS_MAX / 2 {
                self.points[place] = merged(&self.points[2 * place], &self.points[2 * place + 1]);
            }
            self.points.truncate(POINTS_MAX / 2);
            self.ticks_per_point *= 2;
        }
        self.points.push(tick);
        self.ticks_in_last = 1;
    }
}

impl Observer for Series {
    fn frame(&mut self, frame: &Frame, net_quote: i128) {
        let Some(series) = self.instruments.get_mut(frame.instrument.index()).filter(|_| frame.bbo.is_two_sided()) else { return };
        let mid = frame.bbo.mid();
        series.push(Point {
            recv_ns: frame.recv_ns,
            mid_low: mid,
            mid_high: mid,
            mid,
            imbalance: self.imbalance.map_or(f64::NAN, |place| frame.features[place]),
            vpin: self.vpin.map_or(f64::NAN, |place| frame.features[place]),
            net_quote: net_quote as f64 / PRICE_SCALE as f64,
        });
    }

    fn report(&mut self, report: &ExecutionReport) {
        let Some(series) = self.instruments.get_mut(report.instrument.index()) else { return };
        if report.kind != ReportKind::Fill {
            return;
        }
        if series.fills.len() == FILLS_MAX {
            series.fills_omitted += 1;
            return;
        }
        series.fills.push(Fill {
            recv_ns: report.recv.0,
            side: report.side,
            price: report.price.to_f64(),
            qty: report.qty.to_f64(),
            is_maker: report.is_maker,
        });
    }
}

fn merged(earlier: &Point, later: &Point) -> Point {
    Point { mid_low: earlier.mid_low.min(later.mid_low), mid_high: earlier.mid_high.max(later.mid_high), ..*later }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::{Bbo, BookState, Contract, Exchange, FEATURES_MAX, InstrumentId, Level, Price, Qty};

    #[test]
    fn the_features_it_draws_are_registered() {
        assert!(index_of("imbalance_5").is_some() && index_of("vpin").is_some());
    }

    #[test]
    fn a_million_ticks_stay_bounded_and_keep_their_extremes() {
        let instrument = Instrument {
            exchange: Exchange::BinanceSpot,
            symbol: "X".into(),
            tick: Price(1),
            lot: Qty(1),
            contract: Contract::spot(),
        };
        let mut series = Series::new(&[instrument]);
        for tick in 0..1_000_000i64 {
            let price = if tick == 777_777 { 5_000 } else { 1_000 + tick % 7 };
            let level = |price| Level { price: Price(price * PRICE_SCALE), qty: Qty(1) };
            let frame = Frame {
                seq: 1,
                recv_ns: tick,
                elapsed_ns: 1,
                instrument: InstrumentId(0),
                book: BookState::Synced,
                warmup_left: 0,
                bbo: Bbo { bid: level(price), ask: level(price + 2) },
                features: [0.0; FEATURES_MAX],
            };
            series.frame(&frame, i128::from(tick));
        }
        let points = &series.instruments[0].points;
        assert!(points.len() <= POINTS_MAX && points.len() >= POINTS_MAX / 4, "{}", points.len());
        assert!(points.windows(2).all(|pair| pair[0].recv_ns < pair[1].recv_ns));
        assert_eq!(points.iter().map(|point| point.mid_high).fold(0.0, f64::max), 5_001.0);
        assert_eq!(points.iter().map(|point| point.mid_low).fold(f64::MAX, f64::min), 1_001.0);
        assert_eq!(points.last().map(|point| point.recv_ns), Some(999_999));
    }
}
