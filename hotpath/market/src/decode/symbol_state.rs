//! What feeds that leave things unsaid need remembered of each symbol: some venues report the end of an operational halt without
//! whether the symbol is halted for another reason.

use super::TradingStatus;

/// Symbols remembered at most; the venues list some 12,000.
const SYMBOLS: usize = 1 << 15;
const PROBES: usize = 16;

/// One symbol.
#[derive(Clone, Copy)]
struct SymbolState {
    /// 0: nobody.
    key: u64,
    status: TradingStatus,
    is_operationally_halted: bool,
}

const NOBODY: SymbolState = SymbolState { key: 0, status: TradingStatus::Trading, is_operationally_halted: false };

/// The symbols of a feed, by any number that tells them apart. A fixed table: where one finds no place among [`PROBES`], it takes
/// the place of another, which is forgotten.
pub(super) struct SymbolStates(Vec<SymbolState>);

impl SymbolStates {
    /// A table with its memory taken.
    pub(super) fn new() -> SymbolStates {
        SymbolStates(vec![NOBODY; SYMBOLS])
    }

    /// What holds after a trading status message.
    pub(super) fn on_status(&mut self, key: u64, status: TradingStatus) -> TradingStatus {
        let state = self.state(key);
        state.status = status;
        state.effective()
    }

    /// What holds after an operational halt or its end; `None` where nothing changes.
    pub(super) fn on_operational_halt(&mut self, key: u64, is_halted: bool) -> Option<TradingStatus> {
        let state = self.state(key);
        let is_change = state.is_operationally_halted != is_halted;
        state.is_operationally_halted = is_halted;
        is_change.then(|| state.effective())
    }

    fn state(&mut self, key: u64) -> &mut SymbolState {
        let home = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 49) as usize;
        let places = (0..PROBES).map(|step| (home + step) % SYMBOLS);
        let found = places.clone().find(|&place| [key, 0].contains(&self.0[place].key)).unwrap_or(home);
        let state = &mut self.0[found];
        if state.key != key {
            *state = SymbolState { key, ..NOBODY };
        }
        state
    }
}

impl SymbolState {
    fn effective(&self) -> TradingStatus {
        if self.is_operationally_halted { TradingStatus::Halted } else { self.status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_operational_halt_does_not_end_another() {
        let mut symbols = SymbolStates::new();
        assert_eq!(symbols.on_operational_halt(7, false), None);
        assert_eq!(symbols.on_status(7, TradingStatus::QuotesOnly), TradingStatus::QuotesOnly);
        assert_eq!(symbols.on_operational_halt(7, true), Some(TradingStatus::Halted));
        assert_eq!(symbols.on_status(7, TradingStatus::Trading), TradingStatus::Halted);
        assert_eq!(symbols.on_operational_halt(7, false), Some(TradingStatus::Trading));
    }

    #[test]
    fn as_many_symbols_as_a_venue_lists_are_kept_apart() {
        let mut symbols = SymbolStates::new();
        for key in 1..=12_000 {
            symbols.on_status(key, TradingStatus::QuotesOnly);
            symbols.on_operational_halt(key, true);
        }
        for key in 1..=12_000 {
            assert_eq!(symbols.on_operational_halt(key, false), Some(TradingStatus::QuotesOnly));
        }
    }
}
