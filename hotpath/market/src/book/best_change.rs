//! The best level that a message changed.

use super::l2::L2Book;
use crate::decode::LevelChange;
use crate::event::Side;
use crate::fixed::Price;

/// The best price changed on each side.
#[derive(Default)]
pub(super) struct BestChange {
    bid: Option<Price>,
    ask: Option<Price>,
}

impl BestChange {
    /// Takes note of a change that changed something.
    #[inline]
    pub(super) fn note(&mut self, change: &LevelChange) {
        let price = change.price;
        match change.side {
            Side::Buy => self.bid = Some(self.bid.map_or(price, |best| best.max(price))),
            Side::Sell => self.ask = Some(self.ask.map_or(price, |best| best.min(price))),
        }
    }

    /// How many levels are better than the best one changed, as [`L2Book::better_levels`] tells it; `None` where nothing changed.
    ///
    /// The levels better than it are as they were, so the book after the changes tells what it would have told at each.
    #[inline]
    pub(super) fn better_levels(&self, book: &L2Book) -> Option<usize> {
        let better = |side, price: Option<Price>| price.map(|price| book.better_levels(side, price));
        [better(Side::Buy, self.bid), better(Side::Sell, self.ask)].into_iter().flatten().min()
    }
}
