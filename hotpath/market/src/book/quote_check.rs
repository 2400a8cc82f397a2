//! Checks a book against an independent witness: where a depth message's final id equals a bookTicker's id, best prices and sizes
//! of both must be the same.

use crate::frame::Bbo;

/// Quotes and book tops remembered while their counterpart may still come.
const REMEMBERED: usize = 16_384;

/// Compares books with quotes at equal update ids, whichever of the two comes first.
#[derive(Debug)]
pub struct QuoteCheck {
    quotes: Ring,
    tops: Ring,
    compared: u64,
    mismatched: u64,
    first_mismatch: Option<Mismatch>,
}

/// A book that differs from the quote at the same id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The update id.
    pub id: u64,
    /// What the book says.
    pub book: Bbo,
    /// What the quote says.
    pub quote: Bbo,
}

impl Default for QuoteCheck {
    fn default() -> Self {
        Self::new()
    }
}

impl QuoteCheck {
    /// A check with nothing seen.
    pub fn new() -> QuoteCheck {
        QuoteCheck { quotes: Ring::new(), tops: Ring::new(), compared: 0, mismatched: 0, first_mismatch: None }
    }

    /// Takes the best of a synced book after the message that ends at `id`.
    pub fn on_book(&mut self, id: u64, book: Bbo) {
        match self.quotes.take(id) {
            Some(quote) => self.compare(Mismatch { id, book, quote }),
            None => self.tops.push(id, book),
        }
    }

    /// Takes a quote.
    pub fn on_quote(&mut self, id: u64, quote: Bbo) {
        match self.tops.take(id) {
            Some(book) => self.compare(Mismatch { id, book, quote }),
            None => self.quotes.push(id, quote),
        }
    }

    /// Pairs compared.
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// Pairs that differ.
    pub fn mismatched(&self) -> u64 {
        self.mismatched
    }

    /// The first pair that differs.
    pub fn first_mismatch(&self) -> Option<Mismatch> {
        self.first_mismatch
    }

    fn compare(&mut self, pair: Mismatch) {
        self.compared += 1;
        if pair.book != pair.quote {
            self.mismatched += 1;
            self.first_mismatch.get_or_insert(pair);
        }
    }
}

/// The newest entries by ascending id, each taken at most once.
#[derive(Debug)]
struct Ring {
    entries: Vec<(u64, Option<Bbo>)>,
}

impl Ring {
    fn new() -> Ring {
        Ring { entries: Vec::with_capacity(2 * REMEMBERED) }
    }

    fn push(&mut self, id: u64, bbo: Bbo) {
        if self.entries.len() == 2 * REMEMBERED {
            self.entries.drain(..REMEMBERED);
        }
        match self.entries.last_mut() {
            // Ids only grow on a sound feed; a repeated one says the same again, an older one has no counterpart any more.
            Some(newest) if id <= newest.0 => {}
            _ => self.entries.push((id, Some(bbo))),
        }
    }

    fn take(&mut self, id: u64) -> Option<Bbo> {
        let place = self.entries.binary_search_by_key(&id, |entry| entry.0).ok()?;
        self.entries[place].1.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::{Price, Qty};
    use crate::frame::Level;

    fn bbo(size: i64) -> Bbo {
        let level = |price| Level { price: Price(price), qty: Qty(size) };
        Bbo { bid: level(1), ask: level(2) }
    }

    #[test]
    fn compares_each_pair_once_whichever_comes_first() {
        let mut check = QuoteCheck::new();
        check.on_quote(5, bbo(1));
        check.on_quote(6, bbo(2));
        check.on_book(6, bbo(2));
        check.on_book(9, bbo(3));
        check.on_quote(9, bbo(4));
        check.on_quote(9, bbo(4));
        assert_eq!((check.compared(), check.mismatched()), (2, 1));
        assert_eq!(check.first_mismatch(), Some(Mismatch { id: 9, book: bbo(3), quote: bbo(4) }));
    }

    #[test]
    fn remembers_a_bounded_past() {
        let mut check = QuoteCheck::new();
        for id in 1..=100_000 {
            check.on_quote(id, bbo(1));
        }
        check.on_book(1, bbo(1));
        assert_eq!(check.compared(), 0);
        check.on_book(99_999, bbo(1));
        assert_eq!(check.compared(), 1);
        assert!(check.quotes.entries.len() <= 2 * REMEMBERED);
    }
}
