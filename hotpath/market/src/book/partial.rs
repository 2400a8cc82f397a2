//! From best levels sent whole each time to the changes of a book: for feeds of quotes, or of partial depth.

use crate::decode::{BookMessage, LevelChange, Link};
use crate::event::Side;
use crate::fixed::Qty;
use crate::frame::{Bbo, Level};

/// The best levels of a feed that sends no others, as a book in one stream: the first message is its snapshot, of each further one what is
/// other than before.
#[derive(Clone, Debug)]
pub struct PartialBook {
    levels_max: usize,
    /// Sorted by side, each best first.
    held: Vec<LevelChange>,
    next: Vec<LevelChange>,
    changes: Vec<LevelChange>,
}

/// Most levels a side.
pub const PARTIAL_LEVELS_MAX: usize = 1_000;

impl PartialBook {
    /// A feed of so many best levels a side, 1 to [`PARTIAL_LEVELS_MAX`]: 1 takes quotes, more takes partial depth. Levels beyond are left
    /// out.
    pub fn new(levels_max: usize) -> PartialBook {
        let levels_max = levels_max.clamp(1, PARTIAL_LEVELS_MAX);
        PartialBook {
            levels_max,
            held: Vec::with_capacity(2 * levels_max),
            next: Vec::with_capacity(2 * levels_max),
            changes: Vec::with_capacity(4 * levels_max),
        }
    }

    /// Whether quotes are the book, and not partial depth.
    #[inline]
    pub fn is_of_quotes(&self) -> bool {
        self.levels_max == 1
    }

    /// A quote as a message of a book.
    #[inline]
    pub fn on_quote(&mut self, bbo: &Bbo, exchange_ns: i64, is_synced: bool) -> BookMessage<'_> {
        let level = |side, level: Level| LevelChange { side, price: level.price, qty: level.qty };
        self.on_levels(&[level(Side::Buy, bbo.bid), level(Side::Sell, bbo.ask)], exchange_ns, is_synced)
    }

    /// Levels as a message of a book, in whatever order they are sent. `is_synced` tells whether the book stands where the message before
    /// left it: it gets a snapshot otherwise.
    pub fn on_levels(&mut self, levels: &[LevelChange], exchange_ns: i64, is_synced: bool) -> BookMessage<'_> {
        self.next.clear();
        for side in [Side::Buy, Side::Sell] {
            let first = self.next.len();
            for level in levels.iter().filter(|level| level.side == side && level.qty.0 > 0) {
                let place = first + self.next[first..].partition_point(|held| is_before(held, level));
                if place - first == self.levels_max || self.next.get(place).is_some_and(|held| held.price == level.price) {
                    continue;
                }
                if self.next.len() - first == self.levels_max {
                    self.next.pop();
                }
                self.next.insert(place, *level);
            }
        }
        self.changes.clear();
        if is_synced {
            let (mut held, mut next) = (self.held.iter().peekable(), self.next.iter().peekable());
            // Both in one order: what only the old has is gone, what only the new has or has otherwise is told.
            loop {
                match (held.peek(), next.peek()) {
                    (Some(&old), Some(&new)) if (old.side, old.price) == (new.side, new.price) => {
                        if old.qty != new.qty {
                            self.changes.push(*new);
                        }
                        held.next();
                        next.next();
                    }
                    (Some(&old), Some(&new)) if !is_before(old, new) => {
                        self.changes.push(*new);
                        next.next();
                    }
                    (Some(&old), _) => {
                        self.changes.push(LevelChange { qty: Qty::ZERO, ..*old });
                        held.next();
                    }
                    (None, Some(&new)) => {
                        self.changes.push(*new);
                        next.next();
                    }
                    (None, None) => break,
                }
            }
        }
        std::mem::swap(&mut self.held, &mut self.next);
        BookMessage {
            symbol: "",
            link: Link::None,
            exchange_ns,
            is_snapshot: !is_synced,
            is_last: true,
            depth_max: None,
            checksum: None,
            levels: if is_synced { &self.changes } else { &self.held },
        }
    }
}

/// Bids before asks, the better price before the worse.
fn is_before(a: &LevelChange, b: &LevelChange) -> bool {
    match (a.side, b.side) {
        (Side::Buy, Side::Buy) => a.price > b.price,
        (Side::Sell, Side::Sell) => a.price < b.price,
        (Side::Buy, Side::Sell) => true,
        (Side::Sell, Side::Buy) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::{DepthView, MarketBook, SyncOutcome, TOP_LEVELS};
    use crate::decode::FeedMessage;
    use crate::fixed::Price;
    use crate::frame::BookState;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Bids below 100, asks above, in any order, some prices twice and some without quantity.
    fn levels() -> impl Strategy<Value = Vec<LevelChange>> {
        let level = (1i64..200, 0i64..4).prop_map(|(price, qty)| {
            let side = if price < 100 { Side::Buy } else { Side::Sell };
            LevelChange { side, price: Price(price), qty: Qty(qty) }
        });
        prop::collection::vec(level, 0..40)
    }

    proptest! {
        /// After each message the book is what the message says, whatever was before, and whatever was lost between.
        #[test]
        fn a_book_of_partial_depth_is_the_last_message(messages in prop::collection::vec((levels(), 0u8..10), 1..30), levels_max in 1usize..12) {
            let mut partial = PartialBook::new(levels_max);
            let mut book = MarketBook::new();
            for (levels, lost) in messages {
                if lost == 0 {
                    book.on_feed(&FeedMessage::Gap { first: 1, last: 1 }, &mut |_| {});
                }
                let is_synced = book.state() == BookState::Synced;
                let message = partial.on_levels(&levels, 0, is_synced);
                let outcome = book.on_book(&message, &mut |_| {});
                prop_assert_eq!(matches!(outcome, SyncOutcome::Synced), !is_synced);
                let of_side = |side: Side| {
                    let mut sorted: BTreeMap<i64, Qty> = BTreeMap::new();
                    for level in levels.iter().filter(|level| level.side == side && level.qty.0 > 0) {
                        sorted.entry(-side.sign() * level.price.0).or_insert(level.qty);
                    }
                    let level = move |(key, qty): (i64, Qty)| Level { price: Price(-side.sign() * key), qty };
                    sorted.into_iter().map(level).take(levels_max.min(TOP_LEVELS)).collect::<Vec<_>>()
                };
                let mut view = DepthView::default();
                book.view(&mut view);
                prop_assert_eq!(&view.bids[..view.bid_levels], &of_side(Side::Buy));
                prop_assert_eq!(&view.asks[..view.ask_levels], &of_side(Side::Sell));
            }
        }
    }

    #[test]
    fn a_quote_tells_what_is_other_than_before() {
        let level = |price, qty| Level { price: Price(price), qty: Qty(qty) };
        let change = |side, price, qty| LevelChange { side, price: Price(price), qty: Qty(qty) };
        let mut partial = PartialBook::new(1);
        assert!(partial.is_of_quotes());
        let first = Bbo { bid: level(9, 1), ask: level(11, 2) };
        let told = partial.on_quote(&first, 5, false);
        assert_eq!(
            (told.is_snapshot, told.exchange_ns, told.levels),
            (true, 5, &[change(Side::Buy, 9, 1), change(Side::Sell, 11, 2)][..])
        );
        assert_eq!(partial.on_quote(&first, 6, true).levels, []);
        let told = partial.on_quote(&Bbo { bid: level(10, 1), ask: Level::default() }, 7, true);
        assert_eq!(
            (told.is_snapshot, told.levels),
            (false, &[change(Side::Buy, 10, 1), change(Side::Buy, 9, 0), change(Side::Sell, 11, 0)][..])
        );
    }
}
