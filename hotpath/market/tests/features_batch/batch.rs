//! Every feature by its definition, from the list of all events: slow, plain, and without a line of the streaming form.

use crate::Event;
use chronos_market::book::DepthView;
use chronos_market::features::FeatureConfig;
use chronos_market::{Bbo, Level, Side};
use std::cmp::Ordering;
use std::f64::consts::PI;
use std::ops::Range;

/// The events since the last reset, sorted out, and the logical time to look back from.
pub(crate) struct Batch<'a> {
    now: i64,
    config: &'a FeatureConfig,
    books: Vec<(i64, &'a DepthView)>,
    quotes: Vec<(i64, Bbo)>,
    trades: Vec<Trade>,
    bars: Vec<Bar>,
}

#[derive(Clone, Copy)]
struct Trade {
    at: i64,
    price: i64,
    qty: i64,
    sign: f64,
    /// Mid of the latest quote before it, of the book before the first quote.
    mid: Option<f64>,
    /// Book batches before it.
    books_before: usize,
}

struct Bar {
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    units: i64,
    flow: f64,
    notional: f64,
    signed_notional: f64,
    /// Trades up to its end.
    trades_until: usize,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(events: &'a [(i64, Event)], now: i64, config: &'a FeatureConfig) -> Batch<'a> {
        let (mut books, mut quotes, mut trades) = (Vec::new(), Vec::<(i64, Bbo)>::new(), Vec::new());
        for (at, event) in events {
            match event {
                Event::Book(view) => books.push((*at, &**view)),
                Event::Quote(bbo) => quotes.push((*at, *bbo)),
                Event::Trade(_, qty, _) if *qty <= 0 => {}
                Event::Trade(price, qty, side) => {
                    let book = books.last().map(|(_, view): &(i64, &DepthView)| (view.bids[0], view.asks[0]));
                    let best = quotes.last().map(|(_, bbo)| (bbo.bid, bbo.ask)).or(book);
                    let mid = best.and_then(|(bid, ask)| mid_of(bid, ask));
                    let sign = match side {
                        Some(Side::Buy) => 1.0,
                        Some(Side::Sell) => -1.0,
                        None => guessed_sign(*price, mid, &trades),
                    };
                    trades.push(Trade { at: *at, price: *price, qty: *qty, sign, mid, books_before: books.len() });
                }
            }
        }
        let bars = trades.chunks_exact(25).enumerate().map(|(number, trades)| Bar::of(trades, 25 * (number + 1))).collect();
        Batch { now, config, books, quotes, trades, bars }
    }

    pub(crate) fn feature(&self, name: &str) -> f64 {
        match name {
            "spread_bps" => 1e4 * self.quoted().last().copied().flatten().unwrap_or(0.0),
            "spread_relative_60s" => self.spread_relative(),
            "effective_spread_bps" => smoothed(&self.effective_spreads()),
            "realized_spread_bps" => smoothed(&self.after_batches(5, |trade, _, later| price(trade.price) - later)),
            "price_impact_bps" => smoothed(&self.after_batches(20, |_, mid, later| later - mid)),
            "roll_spread_10s_bps" => self.roll(10),
            "roll_spread_60s_bps" => self.roll(60),
            "microprice_offset_bps" => self.microprice_offset(),
            "quote_lead_bps" => {
                let latest = self.latest_best().and_then(|(bid, ask)| mid_of(bid, ask));
                latest.zip(self.mid()).map_or(0.0, |(quote, book)| 1e4 * (quote / book - 1.0))
            }
            "quote_ofi_1s" => self.quote_flow(),
            "imbalance_1" => self.imbalance(1),
            "imbalance_5" => self.imbalance(5),
            "imbalance_10" => self.imbalance(10),
            "imbalance_5_change_10s" => {
                let past: Vec<f64> = self.books_inside(10).map(|place| imbalance(self.books[place].1, 5)).collect();
                if past.is_empty() { 0.0 } else { self.imbalance(5) - mean(&past) }
            }
            "depth_slope_log_ratio" => self.slope_log_ratio(),
            "depth_ratio_log" => self.mid().map_or(0.0, |_| {
                (self.total(10, true) + self.total(10, false)).ln() - (self.total(1, true) + self.total(1, false)).ln()
            }),
            "depth_relative_60s" => {
                let depth = |view: &DepthView| total(view, 10, true) + total(view, 10, false);
                let past: Vec<f64> = self.books_inside(60).map(|place| depth(self.books[place].1)).collect();
                let now = self.total(10, true) + self.total(10, false);
                if past.is_empty() || now == 0.0 { 0.0 } else { now.ln() - mean(&past).ln() }
            }
            "depth_centre_bid" => self.centre(true),
            "depth_centre_ask" => self.centre(false),
            "depth_concentration_bid" => self.concentration(true),
            "depth_concentration_ask" => self.concentration(false),
            "depth_range_bid_bps" => self.range(true),
            "depth_range_ask_bps" => self.range(false),
            "level_gap_imbalance" => self.gap_imbalance(),
            "ofi_1_1s" => self.order_flow(0..1, 1),
            "ofi_1_10s" => self.order_flow(0..1, 10),
            "ofi_1_60s" => self.order_flow(0..1, 60),
            "ofi_2_to_5_1s" => self.order_flow(1..5, 1),
            "ofi_2_to_10_10s" => self.order_flow(1..10, 10),
            "ofi_integrated_1s" => self.integrated_flow(1),
            "ofi_integrated_10s" => self.integrated_flow(10),
            "book_turnover_1s" => {
                let places: Vec<usize> = self.books_inside(1).collect();
                let gross: f64 = places.iter().map(|place| self.flow(*place, 0).abs()).sum();
                let depths: Vec<f64> = places.iter().map(|place| self.depth(*place, 0)).collect();
                if depths.iter().sum::<f64>() > 0.0 { (1.0 + gross / mean(&depths)).ln() } else { 0.0 }
            }
            "ofi_persistence_10s" => {
                let before = |place: usize| if place == 0 { 0.0 } else { self.flow(place - 1, 0) };
                let (mut products, mut squares) = (0.0, 0.0);
                for place in self.books_inside(10) {
                    products += self.flow(place, 0) * before(place);
                    squares += self.flow(place, 0).powi(2);
                }
                if squares > 0.0 { products / squares } else { 0.0 }
            }
            "ofi_impact_bps" => self.impact_line().map_or(0.0, |line| line.slope),
            "ofi_impact_r2" => self.impact_line().and_then(|line| line.r2).unwrap_or(0.0),
            "trade_imbalance_1s" => self.trade_imbalance(1),
            "trade_imbalance_10s" => self.trade_imbalance(10),
            "trade_imbalance_60s" => self.trade_imbalance(60),
            "trade_count_imbalance_10s" => mean_or_zero(self.trades_inside(10).map(|place| self.trades[place].sign)),
            "tick_rule_imbalance_10s" => mean_or_zero(self.trades_inside(10).map(|place| self.tick_sign(place))),
            "trade_sign_persistence_10s" => mean_or_zero(
                self.trades_inside(10)
                    .map(|place| if place == 0 { 0.0 } else { self.trades[place].sign * self.trades[place - 1].sign }),
            ),
            "vwap_offset_10s_bps" => self.vwap_offset(10),
            "vwap_offset_60s_bps" => self.vwap_offset(60),
            "trade_size_relative_1s" => {
                let size = |seconds| mean_or_zero(self.trades_inside(seconds).map(|place| self.trades[place].qty as f64));
                if size(1) > 0.0 { size(1).ln() - size(60).ln() } else { 0.0 }
            }
            "trade_size_dispersion_60s" => dispersion(self.trades_inside(60).map(|place| self.trades[place].qty as f64)),
            "vpin" => {
                let one_sided: Vec<f64> = self.signed_buckets().iter().map(|(bought, sold)| (bought - sold).abs()).collect();
                self.vpin(&one_sided)
            }
            "vpin_bvc" => self.bulk_vpin(),
            "volume_bucket_imbalance" => {
                self.signed_buckets().last().map_or(0.0, |(bought, sold)| (bought - sold) / (bought + sold))
            }
            "kyle_lambda_20_bps" => self.kyle(20).map_or(0.0, |(line, scale)| line.slope * scale),
            "kyle_lambda_60_bps" => self.kyle(60).map_or(0.0, |(line, scale)| line.slope * scale),
            "kyle_r2_60" => self.kyle(60).and_then(|(line, _)| line.r2).unwrap_or(0.0),
            "hasbrouck_lambda_20_bps" => self.hasbrouck(),
            "amihud_20_log_bps" => self.amihud(),
            "corwin_schultz_20_bps" => self.corwin_schultz(),
            "realized_volatility_1s_bps" => self.realized_volatility(1),
            "realized_volatility_10s_bps" => self.realized_volatility(10),
            "realized_volatility_60s_bps" => self.realized_volatility(60),
            "mid_return_1s_bps" => self.mid_return(1),
            "mid_return_10s_bps" => self.mid_return(10),
            "mid_return_60s_bps" => self.mid_return(60),
            "signed_variance_10s" => self.signed_variance(10),
            "signed_variance_60s" => self.signed_variance(60),
            "path_efficiency_60s" => {
                let changes = self.returns(60);
                let path: f64 = changes.iter().map(|change| change.abs()).sum();
                if path > 0.0 { changes.iter().sum::<f64>().abs() / path } else { 0.0 }
            }
            "return_autocorrelation_60s" => {
                let all: Vec<(i64, f64)> = self.all_returns();
                let inside: Vec<usize> = (0..all.len()).filter(|place| self.is_inside(all[*place].0, 60)).collect();
                let before = |place: usize| if place == 0 { 0.0 } else { all[place - 1].1 };
                let squares: f64 = inside.iter().map(|place| all[*place].1.powi(2)).sum();
                if squares > 0.0 { inside.iter().map(|place| all[*place].1 * before(*place)).sum::<f64>() / squares } else { 0.0 }
            }
            "volatility_burst_10s" => {
                let variance = |seconds| self.realized_volatility(seconds).powi(2);
                let (short, long) = (variance(10) * 10.0, variance(60) * 60.0);
                if short > 0.0 { short / (short + long / 6.0) } else { 0.0 }
            }
            "close_to_close_20_bps" => self.last_returns(20).map_or(0.0, |changes| 1e4 * sample_variance(&changes).sqrt()),
            "close_to_close_60_bps" => self.last_returns(60).map_or(0.0, |changes| 1e4 * sample_variance(&changes).sqrt()),
            "parkinson_20_bps" => self.mean_of_bars(|bar| (bar.high / bar.low).ln().powi(2) / (4.0 * 2f64.ln())),
            "garman_klass_20_bps" => self.mean_of_bars(|bar| {
                (bar.high / bar.low).ln().powi(2) / 2.0 - (2.0 * 2f64.ln() - 1.0) * (bar.close / bar.open).ln().powi(2)
            }),
            "rogers_satchell_20_bps" => self.mean_of_bars(rogers_satchell),
            "yang_zhang_20_bps" => self.yang_zhang(),
            "bipower_volatility_20_bps" => {
                let bipower = self.neighbours(2, 20, |sizes| sizes[0] * sizes[1]);
                bipower.map_or(0.0, |products| 1e4 * (PI / 2.0 * mean(&products)).sqrt())
            }
            "median_volatility_20_bps" => {
                let medians = self.neighbours(3, 20, |sizes| {
                    let mut sorted = sizes.to_vec();
                    sorted.sort_by(f64::total_cmp);
                    sorted[1].powi(2)
                });
                medians.map_or(0.0, |medians| 1e4 * (PI / (6.0 - 4.0 * 3f64.sqrt() + PI) * mean(&medians)).sqrt())
            }
            "jump_share_60" => {
                let bipower = self.neighbours(2, 60, |sizes| sizes[0] * sizes[1]).map(|products| PI / 2.0 * mean(&products));
                let realized =
                    self.last_returns(60).map(|changes| changes.iter().map(|change| change * change).sum::<f64>() / 60.0);
                bipower
                    .zip(realized)
                    .filter(|(_, realized)| *realized > 0.0)
                    .map_or(0.0, |(bipower, realized)| (1.0 - bipower / realized).max(0.0))
            }
            "ewma_volatility_bps" => {
                let squares: Vec<f64> = self.bar_returns().iter().map(|change| change * change).collect();
                1e4 * weighted(&squares, 0.06).sqrt()
            }
            "rsi_14" => self.rsi(),
            "macd_bps" => self.macd(),
            "trade_intensity_1s" => (1.0 + self.trades_inside(1).count() as f64).log10(),
            "trade_intensity_10s" => (1.0 + self.trades_inside(10).count() as f64 / 10.0).log10(),
            "book_intensity_1s" => (1.0 + self.updates(1)).log10(),
            "book_intensity_10s" => (1.0 + self.updates(10) / 10.0).log10(),
            "time_since_trade_log_ms" => self.trades.last().map_or(0.0, |trade| (1.0 + (self.now - trade.at) as f64 / 1e6).log10()),
            "time_since_mid_change_log_ms" => {
                self.all_returns().last().map_or(0.0, |(at, _)| (1.0 + (self.now - at) as f64 / 1e6).log10())
            }
            "trade_burst_1s" => burst(self.trades_inside(1).count() as f64, self.trades_inside(60).count() as f64),
            "volume_burst_1s" => {
                let volume = |seconds| self.trades_inside(seconds).map(|place| self.trades[place].qty as f64).sum();
                burst(volume(1), volume(60))
            }
            "trade_duration_dispersion_60s" => {
                let duration = |place: usize| (self.trades[place].at - self.trades[place - 1].at) as f64;
                dispersion(self.trades_inside(60).filter(|place| *place > 0).map(duration))
            }
            "time_of_day_sin" => self.phase(86_400).sin(),
            "time_of_day_cos" => self.phase(86_400).cos(),
            "time_of_quarter_hour_sin" => self.phase(900).sin(),
            "time_of_quarter_hour_cos" => self.phase(900).cos(),
            "time_of_minute_sin" => self.phase(60).sin(),
            "time_of_minute_cos" => self.phase(60).cos(),
            // 1969-12-29 was a Monday.
            "weekday_sin" => (2.0 * PI * (self.second() + 3 * 86_400).rem_euclid(7 * 86_400).div_euclid(86_400) as f64 / 7.0).sin(),
            "funding_before" => (-(28_800 - self.second().rem_euclid(28_800)) as f64 / 900.0).exp(),
            "funding_after" => (-self.second().rem_euclid(28_800) as f64 / 900.0).exp(),
            other => panic!("{other} has no batch form"),
        }
    }

    /// Whether an instant is in the window of so many seconds: in one of its last 64 buckets.
    fn is_inside(&self, at: i64, seconds: i64) -> bool {
        let bucket = |time: i64| i128::from(time).div_euclid(i128::from(seconds * 1_000_000_000 / 64));
        bucket(self.now) - bucket(at) < 64
    }

    fn books_inside(&self, seconds: i64) -> impl Iterator<Item = usize> + '_ {
        (0..self.books.len()).filter(move |place| self.is_inside(self.books[*place].0, seconds))
    }

    fn trades_inside(&self, seconds: i64) -> impl Iterator<Item = usize> + '_ {
        (0..self.trades.len()).filter(move |place| self.is_inside(self.trades[*place].at, seconds))
    }

    fn updates(&self, seconds: i64) -> f64 {
        let quotes = self.quotes.iter().filter(|(at, _)| self.is_inside(*at, seconds)).count();
        (self.books_inside(seconds).count() + quotes) as f64
    }

    fn second(&self) -> i64 {
        self.now.div_euclid(1_000_000_000)
    }

    fn phase(&self, period: i64) -> f64 {
        2.0 * PI * self.second().rem_euclid(period) as f64 / period as f64
    }

    fn book(&self) -> DepthView {
        self.books.last().map(|(_, view)| **view).unwrap_or_default()
    }

    fn mid(&self) -> Option<f64> {
        mid_of(self.book().bids[0], self.book().asks[0])
    }

    fn latest_best(&self) -> Option<(Level, Level)> {
        let book = self.books.last().map(|(_, view)| (view.bids[0], view.asks[0]));
        self.quotes.last().map(|(_, bbo)| (bbo.bid, bbo.ask)).or(book)
    }

    /// Of each batch the spread by the mid.
    fn quoted(&self) -> Vec<Option<f64>> {
        let quoted = |view: &DepthView| {
            let (bid, ask) = (view.bids[0], view.asks[0]);
            Some((px(ask) - px(bid)) / mid_of(bid, ask)?)
        };
        self.books.iter().map(|(_, view)| quoted(view)).collect()
    }

    fn spread_relative(&self) -> f64 {
        let quoted = self.quoted();
        let past: Vec<f64> = self.books_inside(60).filter_map(|place| quoted[place]).collect();
        match quoted.last().copied().flatten() {
            Some(now) if now > 0.0 && past.iter().sum::<f64>() > 0.0 => now.ln() - mean(&past).ln(),
            _ => 0.0,
        }
    }

    fn effective_spreads(&self) -> Vec<f64> {
        self.trades
            .iter()
            .filter(|trade| trade.sign != 0.0)
            .filter_map(|trade| Some(2e4 * trade.sign * (price(trade.price) / trade.mid? - 1.0)))
            .collect()
    }

    /// Of the last trade before each batch, `difference(trade, its mid, mid at the n-th batch after it)` for a round trip.
    fn after_batches(&self, batches: usize, difference: impl Fn(&Trade, f64, f64) -> f64) -> Vec<f64> {
        (0..self.books.len())
            .filter_map(|later| {
                let first = (later + 1).checked_sub(batches)?;
                let trade = self.trades.iter().rfind(|trade| trade.books_before == first)?;
                let (_, view) = self.books[later];
                let (mid, later_mid) = (trade.mid.filter(|_| trade.sign != 0.0)?, mid_of(view.bids[0], view.asks[0])?);
                Some(2e4 * trade.sign * difference(trade, mid, later_mid) / mid)
            })
            .collect()
    }

    fn roll(&self, seconds: i64) -> f64 {
        let change = |place: usize| self.trades[place].price as f64 / self.trades[place - 1].price as f64 - 1.0;
        let pairs: Vec<(f64, f64)> =
            self.trades_inside(seconds).filter(|place| *place >= 2).map(|place| (change(place), change(place - 1))).collect();
        if pairs.len() < 2 {
            return 0.0;
        }
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let covariance = pairs.iter().map(|(a, b)| (a - mean(&x)) * (b - mean(&y))).sum::<f64>() / (pairs.len() - 1) as f64;
        if covariance < 0.0 { 2e4 * (-covariance).sqrt() } else { 0.0 }
    }

    fn microprice_offset(&self) -> f64 {
        let offset = self.latest_best().and_then(|(bid, ask)| {
            let micro = (px(bid) * units(ask) + px(ask) * units(bid)) / (units(bid) + units(ask));
            Some(1e4 * (micro / mid_of(bid, ask)? - 1.0))
        });
        offset.unwrap_or(0.0)
    }

    fn quote_flow(&self) -> f64 {
        let inside: Vec<usize> = (0..self.quotes.len()).filter(|place| self.is_inside(self.quotes[*place].0, 1)).collect();
        let flow = |place: usize| {
            let (before, after) = (self.quotes[place - 1].1, self.quotes[place].1);
            level_flow((before.bid, before.ask), (after.bid, after.ask))
        };
        let flows: f64 = inside.iter().filter(|place| **place > 0).map(|place| flow(*place)).sum();
        let depths: Vec<f64> =
            inside.iter().map(|place| (units(self.quotes[*place].1.bid) + units(self.quotes[*place].1.ask)) / 2.0).collect();
        per_depth(flows, &depths)
    }

    fn total(&self, levels: usize, is_bid: bool) -> f64 {
        total(&self.book(), levels, is_bid)
    }

    fn imbalance(&self, levels: usize) -> f64 {
        imbalance(&self.book(), levels)
    }

    fn side(&self, is_bid: bool) -> Vec<Level> {
        let view = self.book();
        if is_bid { view.bids[..view.bid_levels].to_vec() } else { view.asks[..view.ask_levels].to_vec() }
    }

    fn slope_log_ratio(&self) -> f64 {
        let Some(mid) = self.mid() else { return 0.0 };
        let distance = |is_bid: bool| (px(*self.side(is_bid).last().unwrap()) - mid) * if is_bid { -1.0 } else { 1.0 };
        if distance(true) <= 0.0 || distance(false) <= 0.0 {
            return 0.0;
        }
        self.total(10, true).ln() - distance(true).ln() - self.total(10, false).ln() + distance(false).ln()
    }

    fn centre(&self, is_bid: bool) -> f64 {
        let side = self.side(is_bid);
        let total: f64 = side.iter().map(|level| units(*level)).sum();
        side.iter().enumerate().map(|(place, level)| place as f64 / 9.0 * units(*level) / total).sum()
    }

    fn concentration(&self, is_bid: bool) -> f64 {
        let side = self.side(is_bid);
        let total: f64 = side.iter().map(|level| units(*level)).sum();
        side.iter().map(|level| (units(*level) / total).powi(2)).sum()
    }

    fn range(&self, is_bid: bool) -> f64 {
        self.mid().map_or(0.0, |mid| {
            let side = self.side(is_bid);
            1e4 * (px(side[0]) - px(side[side.len() - 1])).abs() / mid
        })
    }

    fn gap_imbalance(&self) -> f64 {
        let (bids, asks) = (self.side(true), self.side(false));
        if bids.len() < 2 || asks.len() < 2 {
            return 0.0;
        }
        let (bid, ask) = ((bids[0].price.0 - bids[1].price.0) as f64, (asks[1].price.0 - asks[0].price.0) as f64);
        (bid - ask) / (bid + ask)
    }

    /// Order flow of one level at one batch.
    fn flow(&self, place: usize, level: usize) -> f64 {
        if place == 0 {
            return 0.0;
        }
        let (before, after) = (self.books[place - 1].1, self.books[place].1);
        level_flow((before.bids[level], before.asks[level]), (after.bids[level], after.asks[level]))
    }

    fn depth(&self, place: usize, level: usize) -> f64 {
        let view = self.books[place].1;
        (units(view.bids[level]) + units(view.asks[level])) / 2.0
    }

    fn mean_depth(&self, place: usize, levels: Range<usize>) -> f64 {
        levels.clone().map(|level| self.depth(place, level)).sum::<f64>() / levels.len() as f64
    }

    fn order_flow(&self, levels: Range<usize>, seconds: i64) -> f64 {
        let flow: f64 =
            self.books_inside(seconds).map(|place| levels.clone().map(|level| self.flow(place, level)).sum::<f64>()).sum();
        let depths: Vec<f64> = self.books_inside(seconds).map(|place| self.mean_depth(place, levels.clone())).collect();
        per_depth(flow / levels.len() as f64, &depths)
    }

    /// The flow of each whole block of 20 batches by its mean depth, where it has one, with its number.
    fn blocks(&self) -> Vec<(usize, [f64; 10])> {
        (0..self.books.len() / 20)
            .filter_map(|number| {
                let places = 20 * number..20 * (number + 1);
                let depth = places.clone().map(|place| self.mean_depth(place, 0..10)).sum::<f64>() / 20.0;
                let flow = |level: usize| places.clone().map(|place| self.flow(place, level)).sum::<f64>() / depth;
                (depth > 0.0).then(|| (number, std::array::from_fn(flow)))
            })
            .collect()
    }

    /// The weights before the first block and after each: a power iteration's step on the covariance of all blocks so far.
    fn weights(blocks: &[(usize, [f64; 10])]) -> Vec<[f64; 10]> {
        let (mut all, mut sums, mut products) = (vec![[0.1; 10]], [0.0; 10], [[0.0; 10]; 10]);
        for (count, (_, flow)) in blocks.iter().enumerate() {
            let count = (count + 1) as f64;
            for row in 0..10 {
                sums[row] += flow[row];
                for column in 0..10 {
                    products[row][column] += flow[row] * flow[column];
                }
            }
            let last = all[all.len() - 1];
            let covariance = |row: usize, column: usize| products[row][column] / count - sums[row] * sums[column] / count / count;
            let turned: [f64; 10] = std::array::from_fn(|row| (0..10).map(|column| covariance(row, column) * last[column]).sum());
            let size: f64 = turned.iter().map(|weight| weight.abs()).sum();
            let sign = if turned.iter().sum::<f64>() < 0.0 { -1.0 } else { 1.0 };
            all.push(if count > 1.0 && size > 0.0 { turned.map(|weight| sign * weight / size) } else { last });
        }
        all
    }

    fn integrated_flow(&self, seconds: i64) -> f64 {
        let weights = Batch::weights(&self.blocks());
        let weights = weights[weights.len() - 1];
        let flow = |place: usize| (0..10).map(|level| weights[level] * self.flow(place, level)).sum::<f64>();
        let depths: Vec<f64> = self.books_inside(seconds).map(|place| self.mean_depth(place, 0..10)).collect();
        per_depth(self.books_inside(seconds).map(flow).sum(), &depths)
    }

    fn impact_line(&self) -> Option<Line> {
        let blocks = self.blocks();
        let weights = Batch::weights(&blocks);
        let mid_after = |block: usize| {
            let (_, view) = self.books[20 * block + 19];
            mid_of(view.bids[0], view.asks[0])
        };
        let pairs: Vec<(f64, f64)> = blocks
            .iter()
            .zip(&weights)
            .filter_map(|((number, flow), weights)| {
                let (before, after) = (mid_after(number.checked_sub(1)?)?, mid_after(*number)?);
                let integrated = (0..10).map(|level| weights[level] * flow[level]).sum();
                Some((integrated, 1e4 * (after / before - 1.0)))
            })
            .collect();
        Line::through(&pairs[pairs.len().saturating_sub(30)..])
    }

    fn trade_imbalance(&self, seconds: i64) -> f64 {
        let volume = |sign: f64| -> i64 {
            self.trades_inside(seconds)
                .map(|place| self.trades[place])
                .filter(|trade| trade.sign == sign)
                .map(|trade| trade.qty)
                .sum()
        };
        let (bought, sold) = (volume(1.0) as f64, volume(-1.0) as f64);
        let all = bought + sold + volume(0.0) as f64;
        if all == 0.0 { 0.0 } else { (bought - sold) / all }
    }

    fn tick_sign(&self, place: usize) -> f64 {
        tick_sign(self.trades[place].price, &self.trades[..place])
    }

    fn vwap_offset(&self, seconds: i64) -> f64 {
        let trades: Vec<Trade> = self.trades_inside(seconds).map(|place| self.trades[place]).collect();
        let Some(mid) = self.mid().filter(|_| !trades.is_empty()) else { return 0.0 };
        let volume: f64 = trades.iter().map(|trade| trade.qty as f64).sum();
        let vwap: f64 = trades.iter().map(|trade| price(trade.price) * (trade.qty as f64 / volume)).sum();
        1e4 * (1.0 - vwap / mid) / (seconds as f64).sqrt()
    }

    /// Bucket volume, and the trades that set it.
    fn bucket(&self) -> Option<(i64, usize)> {
        match self.config.vpin_bucket {
            Some(volume) => Some((volume.0, 0)),
            None if self.trades.len() < 512 => None,
            None => {
                let volume: i64 = self.trades[..512].iter().map(|trade| trade.qty).sum();
                Some(((volume / 2).max(1), 512))
            }
        }
    }

    fn signed_buckets(&self) -> Vec<(f64, f64)> {
        let Some((bucket, learnt)) = self.bucket() else { return Vec::new() };
        let volumes = self.trades[learnt..].iter().map(|trade| (trade.qty, 0.5 + 0.5 * trade.sign));
        buckets(bucket, volumes)
    }

    fn bulk_vpin(&self) -> f64 {
        let Some((bucket, learnt)) = self.bucket() else { return 0.0 };
        let closes: Vec<f64> = self.bars.iter().map(|bar| bar.close).collect();
        let changes: Vec<f64> = closes.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let bought = |number: usize| {
            let last = &changes[number.saturating_sub(50)..number];
            let sd = if last.len() > 1 { sample_variance(last).sqrt() } else { 0.0 };
            // A change of nothing but rounding is none.
            if sd > 1e-9 { phi(changes[number - 1] / sd) } else { 0.5 }
        };
        let known = (0..self.bars.len()).filter(|number| self.bars[*number].trades_until >= learnt);
        let filled = buckets(bucket, known.map(|number| (self.bars[number].units, bought(number))));
        let one_sided: Vec<f64> = filled.iter().map(|(bought, sold)| (bought - sold).abs()).collect();
        self.vpin(&one_sided)
    }

    fn vpin(&self, one_sided: &[f64]) -> f64 {
        let buckets = self.config.vpin_buckets.get();
        match (self.bucket(), one_sided.len().checked_sub(buckets)) {
            (Some((bucket, _)), Some(first)) => one_sided[first..].iter().sum::<f64>() / (buckets as f64 * bucket as f64),
            _ => 0.0,
        }
    }

    /// The last so many pairs of neighbouring bars.
    fn pairs(&self, count: usize) -> Option<Vec<(&Bar, &Bar)>> {
        let first = self.bars.len().checked_sub(count + 1)?;
        Some(self.bars[first..].windows(2).map(|pair| (&pair[0], &pair[1])).collect())
    }

    /// The line, and what scales its slope to basis points of the last close at mean flow.
    fn kyle(&self, window: usize) -> Option<(Line, f64)> {
        let pairs: Vec<(f64, f64)> = self.pairs(window)?.iter().map(|(before, bar)| (bar.flow, bar.close - before.close)).collect();
        let flows: Vec<f64> = pairs.iter().map(|(flow, _)| flow.abs()).collect();
        Some((Line::through(&pairs)?, 1e4 * mean(&flows) / self.bars.last()?.close))
    }

    fn hasbrouck(&self) -> f64 {
        let Some(pairs) = self.pairs(20) else { return 0.0 };
        let root = |bar: &Bar| bar.signed_notional.signum() * bar.signed_notional.abs().sqrt();
        let x: Vec<f64> = pairs.iter().map(|(_, bar)| root(bar)).collect();
        let y: Vec<f64> = pairs.iter().map(|(before, bar)| (bar.close / before.close).ln()).collect();
        let squares: f64 = x.iter().map(|x| x * x).sum();
        let products: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
        let sizes: Vec<f64> = x.iter().map(|x| x.abs()).collect();
        if squares > 0.0 { 1e4 * products / squares * mean(&sizes) } else { 0.0 }
    }

    fn amihud(&self) -> f64 {
        let Some(pairs) = self.pairs(20) else { return 0.0 };
        let illiquidity: Vec<f64> =
            pairs.iter().map(|(before, bar)| (bar.close.ln() - before.close.ln()).abs() / bar.notional).collect();
        let notional: Vec<f64> = pairs.iter().map(|(_, bar)| bar.notional).collect();
        (1.0 + 1e4 * mean(&illiquidity) * mean(&notional)).ln()
    }

    fn corwin_schultz(&self) -> f64 {
        let Some(pairs) = self.pairs(20) else { return 0.0 };
        let spread = |a: &Bar, b: &Bar| {
            let range = |high: f64, low: f64| high.ln() - low.ln();
            let beta = range(a.high, a.low).powi(2) + range(b.high, b.low).powi(2);
            let gamma = range(a.high.max(b.high), a.low.min(b.low)).powi(2);
            let divisor = 3.0 - 2.0 * 2f64.sqrt();
            let alpha = (2f64.sqrt() - 1.0) * beta.sqrt() / divisor - (gamma / divisor).sqrt();
            (2.0 * (alpha.exp() - 1.0) / (1.0 + alpha.exp())).max(0.0)
        };
        1e4 * pairs.iter().map(|(before, bar)| spread(before, bar)).sum::<f64>() / 20.0
    }

    /// Log returns of the mid from batch to batch, where there is one.
    fn all_returns(&self) -> Vec<(i64, f64)> {
        let mids: Vec<(i64, Option<f64>)> = self.books.iter().map(|(at, view)| (*at, mid_of(view.bids[0], view.asks[0]))).collect();
        let changes = mids.windows(2).filter_map(|pair| Some((pair[1].0, pair[1].1? / pair[0].1?)));
        changes.filter(|(_, quotient)| *quotient != 1.0).map(|(at, quotient)| (at, quotient.ln())).collect()
    }

    fn returns(&self, seconds: i64) -> Vec<f64> {
        self.all_returns().into_iter().filter(|(at, _)| self.is_inside(*at, seconds)).map(|(_, change)| change).collect()
    }

    fn realized_volatility(&self, seconds: i64) -> f64 {
        1e4 * (self.returns(seconds).iter().map(|change| change * change).sum::<f64>() / seconds as f64).sqrt()
    }

    fn mid_return(&self, seconds: i64) -> f64 {
        1e4 * self.returns(seconds).iter().sum::<f64>() / (seconds as f64).sqrt()
    }

    fn signed_variance(&self, seconds: i64) -> f64 {
        let squares = |is_up: bool| -> f64 {
            self.returns(seconds).iter().filter(|change| (**change > 0.0) == is_up).map(|change| change * change).sum()
        };
        let (up, down) = (squares(true), squares(false));
        if up + down > 0.0 { (up - down) / (up + down) } else { 0.0 }
    }

    fn bar_returns(&self) -> Vec<f64> {
        self.bars.windows(2).map(|pair| (pair[1].close / pair[0].close).ln()).collect()
    }

    fn last_returns(&self, count: usize) -> Option<Vec<f64>> {
        let returns = self.bar_returns();
        Some(returns[returns.len().checked_sub(count)?..].to_vec())
    }

    /// The last `count` values of neighbouring absolute returns.
    fn neighbours(&self, length: usize, count: usize, of: impl Fn(&[f64]) -> f64) -> Option<Vec<f64>> {
        let sizes: Vec<f64> = self.bar_returns().iter().map(|change| change.abs()).collect();
        let all: Vec<f64> = sizes.windows(length).map(of).collect();
        Some(all[all.len().checked_sub(count)?..].to_vec())
    }

    /// A volatility from the mean of a term over the last 20 bars.
    fn mean_of_bars(&self, term: impl Fn(&Bar) -> f64) -> f64 {
        let Some(first) = self.bars.len().checked_sub(20) else { return 0.0 };
        1e4 * (self.bars[first..].iter().map(term).sum::<f64>() / 20.0).max(0.0).sqrt()
    }

    fn yang_zhang(&self) -> f64 {
        let Some(pairs) = self.pairs(20) else { return 0.0 };
        let overnight: Vec<f64> = pairs.iter().map(|(before, bar)| (bar.open / before.close).ln()).collect();
        let body: Vec<f64> = pairs.iter().map(|(_, bar)| (bar.close / bar.open).ln()).collect();
        let terms: Vec<f64> = pairs.iter().map(|(_, bar)| rogers_satchell(bar)).collect();
        let k = 0.34 / (1.34 + 21.0 / 19.0);
        1e4 * (sample_variance(&overnight) + k * sample_variance(&body) + (1.0 - k) * mean(&terms)).sqrt()
    }

    fn rsi(&self) -> f64 {
        let changes: Vec<f64> = self.bars.windows(2).map(|pair| pair[1].close - pair[0].close).collect();
        if changes.len() < 14 {
            return 0.0;
        }
        let wilder = |of: fn(f64) -> f64| {
            let parts: Vec<f64> = changes.iter().map(|change| of(*change)).collect();
            let mut means = vec![mean(&parts[..14])];
            means.extend(&parts[14..]);
            weighted(&means, 1.0 / 14.0)
        };
        let (gain, loss) = (wilder(|change| change.max(0.0)), wilder(|change| (-change).max(0.0)));
        if gain + loss > 0.0 { (gain - loss) / (gain + loss) } else { 0.0 }
    }

    fn macd(&self) -> f64 {
        let closes: Vec<f64> = self.bars.iter().map(|bar| bar.close).collect();
        let line = |count: usize| weighted(&closes[..count], 2.0 / 13.0) - weighted(&closes[..count], 2.0 / 27.0);
        let lines: Vec<f64> = (1..=closes.len()).map(line).collect();
        match (lines.last(), closes.last()) {
            (Some(last), Some(close)) => 1e4 * (last - weighted(&lines, 0.2)) / close,
            _ => 0.0,
        }
    }
}

impl Bar {
    fn of(trades: &[Trade], trades_until: usize) -> Bar {
        let prices: Vec<f64> = trades.iter().map(|trade| price(trade.price)).collect();
        let sum = |of: fn(&Trade) -> f64| trades.iter().map(of).sum::<f64>();
        let units = trades.iter().map(|trade| trade.qty).sum();
        Bar {
            open: prices[0],
            high: prices.iter().copied().fold(f64::MIN, f64::max),
            low: prices.iter().copied().fold(f64::MAX, f64::min),
            close: prices[prices.len() - 1],
            units,
            flow: sum(|trade| trade.sign * trade.qty as f64) / 1e8,
            notional: sum(|trade| price(trade.price) * trade.qty as f64) / 1e8,
            signed_notional: sum(|trade| trade.sign * price(trade.price) * trade.qty as f64) / 1e8,
            trades_until,
        }
    }
}

/// Against the last trade before at another price; 0 without one.
fn tick_sign(price: i64, before: &[Trade]) -> f64 {
    match before.iter().rfind(|trade| trade.price != price) {
        // An equal price has the sign that the change to it had.
        Some(other) if price > other.price => 1.0,
        Some(_) => -1.0,
        None => 0.0,
    }
}

/// Lee and Ready 1991: by the mid, at it or without it by the tick rule.
fn guessed_sign(at: i64, mid: Option<f64>, before: &[Trade]) -> f64 {
    match mid.and_then(|mid| price(at).partial_cmp(&mid)) {
        Some(Ordering::Greater) => 1.0,
        Some(Ordering::Less) => -1.0,
        _ => tick_sign(at, before),
    }
}

/// A straight line by least squares, from deviations.
struct Line {
    slope: f64,
    r2: Option<f64>,
}

impl Line {
    fn through(pairs: &[(f64, f64)]) -> Option<Line> {
        if pairs.len() < 3 {
            return None;
        }
        let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        let deviations = |values: &[f64]| -> Vec<f64> { values.iter().map(|value| value - mean(values)).collect() };
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let varies = |values: &[f64], deviations: &[f64]| product(deviations, deviations) > 1e-12 * product(values, values);
        let (dx, dy) = (deviations(&x), deviations(&y));
        let r2 = varies(&y, &dy).then(|| product(&dx, &dy).powi(2) / (product(&dx, &dx) * product(&dy, &dy)));
        varies(&x, &dx).then(|| Line { slope: product(&dx, &dy) / product(&dx, &dx), r2 })
    }
}

/// Bought and sold volume of each full bucket, from volumes and the share of each that was bought, laid end to end.
fn buckets(bucket: i64, volumes: impl Iterator<Item = (i64, f64)>) -> Vec<(f64, f64)> {
    let (mut bought, mut end) = (Vec::<f64>::new(), 0i128);
    for (volume, share) in volumes {
        let start = end;
        end += i128::from(volume);
        for number in start / i128::from(bucket)..=(end - 1) / i128::from(bucket) {
            let edge = number * i128::from(bucket);
            let overlap = end.min(edge + i128::from(bucket)) - start.max(edge);
            bought.resize(bought.len().max(number as usize + 1), 0.0);
            bought[number as usize] += overlap as f64 * share;
        }
    }
    bought.truncate((end / i128::from(bucket)) as usize);
    bought.into_iter().map(|bought| (bought, bucket as f64 - bought)).collect()
}

/// Order flow imbalance between two states of one level's bid and ask.
fn level_flow((bid_before, ask_before): (Level, Level), (bid, ask): (Level, Level)) -> f64 {
    let bids = match bid.price.cmp(&bid_before.price) {
        Ordering::Greater => units(bid),
        Ordering::Equal => units(bid) - units(bid_before),
        Ordering::Less => -units(bid_before),
    };
    // No ask is an ask beyond every price.
    let beyond = |level: Level| if level.qty.0 == 0 { i64::MAX } else { level.price.0 };
    let asks = match beyond(ask).cmp(&beyond(ask_before)) {
        Ordering::Less => units(ask),
        Ordering::Equal => units(ask) - units(ask_before),
        Ordering::Greater => -units(ask_before),
    };
    bids - asks
}

/// Flow by the mean depth and the root of the number of depths.
fn per_depth(flow: f64, depths: &[f64]) -> f64 {
    if depths.iter().sum::<f64>() > 0.0 { flow / mean(depths) / (depths.len() as f64).sqrt() } else { 0.0 }
}

fn total(view: &DepthView, levels: usize, is_bid: bool) -> f64 {
    let side = if is_bid { view.bids } else { view.asks };
    side[..levels].iter().map(|level| units(*level)).sum()
}

fn imbalance(view: &DepthView, levels: usize) -> f64 {
    let (bid, ask) = (total(view, levels, true), total(view, levels, false));
    if bid + ask == 0.0 { 0.0 } else { (bid - ask) / (bid + ask) }
}

fn rogers_satchell(bar: &Bar) -> f64 {
    (bar.high / bar.close).ln() * (bar.high / bar.open).ln() + (bar.low / bar.close).ln() * (bar.low / bar.open).ln()
}

fn burst(second: f64, minute: f64) -> f64 {
    if second > 0.0 { second / (second + minute / 60.0) } else { 0.0 }
}

/// Logarithm of the root mean square over the mean.
fn dispersion(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    let squares: Vec<f64> = values.iter().map(|value| value * value).collect();
    if values.iter().sum::<f64>() > 0.0 { (mean(&squares).sqrt() / mean(&values)).ln() } else { 0.0 }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn mean_or_zero(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    if values.is_empty() { 0.0 } else { mean(&values) }
}

fn sample_variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

/// An exponentially weighted mean written out: the first weighs `(1 - w)^n`, the value k places before the last `w (1 - w)^k`.
fn weighted(values: &[f64], weight: f64) -> f64 {
    values.iter().rev().enumerate().fold(0.0, |mean, (age, value)| {
        let is_first = age + 1 == values.len();
        mean + value * (1.0 - weight).powi(age as i32) * if is_first { 1.0 } else { weight }
    })
}

/// The mean that moves a 32nd of the way to each value.
fn smoothed(values: &[f64]) -> f64 {
    weighted(values, 1.0 / 32.0)
}

/// The standard normal distribution function by Simpson's rule.
fn phi(x: f64) -> f64 {
    let (panels, x) = (2_000, x.clamp(-9.0, 9.0));
    let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * PI).sqrt();
    let width = x / f64::from(panels);
    let factor = |place: i32| {
        if place == 0 || place == panels {
            1.0
        } else if place % 2 == 1 {
            4.0
        } else {
            2.0
        }
    };
    0.5 + (0..=panels).map(|place| factor(place) * density(f64::from(place) * width)).sum::<f64>() * width / 3.0
}

fn price(units: i64) -> f64 {
    units as f64 / 1e9
}

fn px(level: Level) -> f64 {
    price(level.price.0)
}

fn units(level: Level) -> f64 {
    level.qty.0 as f64
}

fn mid_of(bid: Level, ask: Level) -> Option<f64> {
    (bid.qty.0 > 0 && ask.qty.0 > 0).then(|| (px(bid) + px(ask)) / 2.0)
}
