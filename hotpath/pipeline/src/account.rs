//! Positions, open orders and money.

use chronos_market::{
    Contract, ExecutionReport, Instrument, InstrumentId, NewOrder, OrderId, PRICE_SCALE, Price, QTY_SCALE, Qty, ReportKind, Side,
};

/// The largest number of orders open at once.
pub const OPEN_ORDERS_MAX: usize = 64;

/// Units of a base coin in the ledger of an inverse contract.
const COIN_SCALE: i128 = 1_000_000_000_000;

/// An order that the venue may still fill.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct OpenOrder {
    /// The order as sent.
    pub order: NewOrder,
    /// What of it is still open.
    pub leaves: Qty,
    /// Whether a cancel for it is under way.
    pub is_cancelling: bool,
}

/// Positions, open orders and money of a session, kept by execution reports alone.
#[derive(Debug)]
pub struct Account {
    instruments: Vec<Instrument>,
    ledgers: Vec<Ledger>,
    open: Vec<OpenOrder>,
    fills: u64,
}

/// What has been paid and received for one instrument.
#[derive(Clone, Copy, Default, Debug)]
struct Ledger {
    position: Qty,
    /// Linear: quote currency received less paid, units of 1e-9. Inverse: coin claims from fills, sum of `qty * face / price` over
    /// buys less sells, units of 1e-12.
    flow: i128,
    fees_quote: i128,
    mark: Price,
}

/// What a strategy may know of the account.
#[derive(Clone, Copy, Debug)]
pub struct AccountView<'a> {
    account: &'a Account,
}

impl Account {
    /// An account without positions.
    pub fn new(instruments: &[Instrument]) -> Account {
        Account {
            instruments: instruments.to_vec(),
            ledgers: vec![Ledger::default(); instruments.len()],
            open: Vec::with_capacity(OPEN_ORDERS_MAX),
            fills: 0,
        }
    }

    /// The view for a strategy.
    #[inline]
    pub fn view(&self) -> AccountView<'_> {
        AccountView { account: self }
    }

    /// The instruments, by id.
    #[inline]
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// Signed position.
    #[inline]
    pub fn position(&self, id: InstrumentId) -> Qty {
        self.ledgers.get(id.index()).map(|ledger| ledger.position).unwrap_or_default()
    }

    /// Orders that may still fill, oldest first.
    #[inline]
    pub fn open_orders(&self) -> &[OpenOrder] {
        &self.open
    }

    /// Fills so far.
    pub fn fills(&self) -> u64 {
        self.fills
    }

    /// Notes an order as open from the moment it is sent. `false` where there is no room; it must then not be sent.
    #[inline]
    pub fn on_sent(&mut self, order: &NewOrder) -> bool {
        if self.open.len() == OPEN_ORDERS_MAX {
            return false;
        }
        self.open.push(OpenOrder { order: *order, leaves: order.qty, is_cancelling: false });
        true
    }

    /// Forgets an order that did not leave after all.
    pub fn on_unsent(&mut self, id: OrderId) {
        self.open.retain(|open| open.order.id != id);
    }

    /// Notes that a cancel is under way.
    pub fn on_cancel_sent(&mut self, id: OrderId) {
        if let Some(open) = self.open.iter_mut().find(|open| open.order.id == id) {
            open.is_cancelling = true;
        }
    }

    /// Forgets a cancel that did not leave after all.
    pub fn on_cancel_unsent(&mut self, id: OrderId) {
        if let Some(open) = self.open.iter_mut().find(|open| open.order.id == id) {
            open.is_cancelling = false;
        }
    }

    /// Takes a report.
    pub fn on_report(&mut self, report: &ExecutionReport) {
        let place = self.open.iter().position(|open| open.order.id == report.order);
        if let Some(place) = place {
            self.open[place].leaves = report.leaves;
            let is_over = match report.kind {
                ReportKind::Accepted => false,
                ReportKind::Fill => report.leaves.0 == 0,
                ReportKind::Cancelled => true,
                // A refused cancel leaves the order as it is.
                ReportKind::Rejected => !self.open[place].is_cancelling || report.leaves.0 == 0,
            };
            if is_over {
                self.open.remove(place);
            } else if report.kind == ReportKind::Rejected {
                self.open[place].is_cancelling = false;
            }
        }
        if report.kind != ReportKind::Fill {
            return;
        }
        self.fills += 1;
        let Some(instrument) = self.instruments.get(report.instrument.index()) else { return };
        let ledger = &mut self.ledgers[report.instrument.index()];
        let signed = Qty(report.qty.0.saturating_mul(report.side.sign()));
        ledger.position.0 = ledger.position.0.saturating_add(signed.0);
        ledger.flow = ledger.flow.saturating_add(match instrument.contract {
            Contract::Linear { .. } => -instrument.notional_quote(report.price, signed),
            Contract::Inverse { .. } => coin_claim(instrument.notional_quote(report.price, signed), report.price),
        });
        ledger.fees_quote = ledger.fees_quote.saturating_add(i128::from(report.fee_quote));
        ledger.mark = report.price;
    }

    /// Values positions at `mark` from here on.
    #[inline]
    pub fn set_mark(&mut self, id: InstrumentId, mark: Price) {
        if let Some(ledger) = self.ledgers.get_mut(id.index()) {
            ledger.mark = mark;
        }
    }

    /// Profit before fees, open positions at their mark, in quote currency, units of 1e-9.
    ///
    /// An inverse contract's profit arises in coin, `sum(qty * face / price)` of its fills less `position * face / mark`, and is
    /// valued at the mark.
    pub fn pnl_quote(&self) -> i128 {
        let of_one = |(instrument, ledger): (&Instrument, &Ledger)| {
            let held = instrument.notional_quote(ledger.mark, ledger.position);
            match instrument.contract {
                Contract::Linear { .. } => ledger.flow + held,
                Contract::Inverse { .. } => {
                    let coin = ledger.flow - coin_claim(held, ledger.mark);
                    coin.saturating_mul(i128::from(ledger.mark.0)) / COIN_SCALE
                }
            }
        };
        self.instruments.iter().zip(&self.ledgers).map(of_one).sum()
    }

    /// Fees paid less rebates, in quote currency, units of 1e-9.
    pub fn fees_quote(&self) -> i128 {
        self.ledgers.iter().map(|ledger| ledger.fees_quote).sum()
    }
}

impl<'a> AccountView<'a> {
    /// An instrument, if the id is known.
    #[inline]
    pub fn instrument(&self, id: InstrumentId) -> Option<&'a Instrument> {
        self.account.instruments.get(id.index())
    }

    /// Signed position.
    #[inline]
    pub fn position(&self, id: InstrumentId) -> Qty {
        self.account.position(id)
    }

    /// Whether an order of ours on the instrument may still fill.
    #[inline]
    pub fn has_open_order(&self, id: InstrumentId) -> bool {
        self.account.open.iter().any(|open| open.order.instrument == id)
    }

    /// Orders that may still fill, oldest first.
    #[inline]
    pub fn open_orders(&self) -> &'a [OpenOrder] {
        &self.account.open
    }
}

/// Position after everything open on `side` had filled too.
#[inline]
pub(crate) fn worst_position(account: &Account, id: InstrumentId, side: Side) -> i128 {
    let open: i128 = account
        .open
        .iter()
        .filter(|open| open.order.instrument == id && open.order.side == side)
        .map(|open| i128::from(open.leaves.0))
        .sum();
    i128::from(account.position(id).0) + i128::from(side.sign()) * open
}

/// Coin that `face_quote` (units of 1e-9) buys at `price`, units of 1e-12; 0 at a price of 0.
fn coin_claim(face_quote: i128, price: Price) -> i128 {
    if price.0 == 0 { 0 } else { face_quote.saturating_mul(COIN_SCALE) / i128::from(price.0) }
}

const _: () = assert!(PRICE_SCALE == 1_000_000_000 && QTY_SCALE == 100_000_000);

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::{Exchange, TimeInForce, Timestamp};

    fn instrument(contract: Contract) -> Instrument {
        Instrument { exchange: Exchange::BinanceUsdm, symbol: "X".into(), tick: Price(PRICE_SCALE), lot: Qty(QTY_SCALE), contract }
    }

    fn fill(order: u64, side: Side, price: i64, qty: i64, leaves: i64, fee: i64) -> ExecutionReport {
        ExecutionReport {
            order: OrderId(order),
            instrument: InstrumentId(0),
            kind: ReportKind::Fill,
            side,
            is_maker: false,
            recv: Timestamp(0),
            venue_time: Timestamp(0),
            price: Price(price * PRICE_SCALE),
            qty: Qty(qty * QTY_SCALE),
            leaves: Qty(leaves * QTY_SCALE),
            fee_quote: fee * PRICE_SCALE,
        }
    }

    #[test]
    fn linear_money_is_exact() {
        let mut account = Account::new(&[instrument(Contract::spot())]);
        account.on_report(&fill(1, Side::Buy, 100, 3, 0, 1));
        account.on_report(&fill(2, Side::Sell, 110, 1, 0, 1));
        account.set_mark(InstrumentId(0), Price(120 * PRICE_SCALE));
        // 10 on the one sold, 20 on each of the two held.
        assert_eq!(account.pnl_quote(), 50 * i128::from(PRICE_SCALE));
        assert_eq!(account.fees_quote(), 2 * i128::from(PRICE_SCALE));
        assert_eq!(account.position(InstrumentId(0)), Qty(2 * QTY_SCALE));
    }

    #[test]
    fn inverse_money_arises_in_coin_and_is_valued_at_the_mark() {
        let mut account = Account::new(&[instrument(Contract::inverse(100))]);
        account.on_report(&fill(1, Side::Buy, 50_000, 10, 0, 0));
        account.set_mark(InstrumentId(0), Price(62_500 * PRICE_SCALE));
        // 1000 USD of face: 1000/50000 - 1000/62500 = 0.02 - 0.016 = 0.004 BTC, worth 250 USD.
        assert_eq!(account.pnl_quote(), 250 * i128::from(PRICE_SCALE));
        account.on_report(&fill(2, Side::Sell, 62_500, 10, 0, 0));
        account.set_mark(InstrumentId(0), Price(50_000 * PRICE_SCALE));
        // Closed: the 0.004 BTC stay, now worth 200 USD.
        assert_eq!(account.pnl_quote(), 200 * i128::from(PRICE_SCALE));
    }

    #[test]
    fn open_orders_follow_their_reports() {
        let mut account = Account::new(&[instrument(Contract::spot())]);
        let order = NewOrder {
            id: OrderId(7),
            instrument: InstrumentId(0),
            side: Side::Buy,
            price: Price(PRICE_SCALE),
            qty: Qty(5 * QTY_SCALE),
            time_in_force: TimeInForce::GoodTilCancelled,
            reduce_only: false,
            signal: 0.0,
        };
        assert!(account.on_sent(&order));
        assert!(account.view().has_open_order(InstrumentId(0)));
        assert_eq!(worst_position(&account, InstrumentId(0), Side::Buy), 5 * i128::from(QTY_SCALE));
        account.on_report(&fill(7, Side::Buy, 1, 2, 3, 0));
        assert_eq!(worst_position(&account, InstrumentId(0), Side::Buy), 5 * i128::from(QTY_SCALE));
        account.on_cancel_sent(OrderId(7));
        account.on_report(&ExecutionReport { kind: ReportKind::Rejected, ..fill(7, Side::Buy, 0, 0, 3, 0) });
        assert_eq!(account.open_orders().len(), 1, "a refused cancel leaves the order open");
        account.on_report(&ExecutionReport { kind: ReportKind::Cancelled, ..fill(7, Side::Buy, 0, 0, 3, 0) });
        assert!(account.open_orders().is_empty());
        assert_eq!(account.position(InstrumentId(0)), Qty(2 * QTY_SCALE));
    }

    #[test]
    fn room_for_open_orders_is_bounded() {
        let mut account = Account::new(&[instrument(Contract::spot())]);
        let order = |id| NewOrder {
            id: OrderId(id),
            instrument: InstrumentId(0),
            side: Side::Buy,
            price: Price(1),
            qty: Qty(1),
            time_in_force: TimeInForce::PostOnly,
            reduce_only: false,
            signal: 0.0,
        };
        for id in 0..OPEN_ORDERS_MAX as u64 {
            assert!(account.on_sent(&order(id)));
        }
        assert!(!account.on_sent(&order(999)));
        account.on_unsent(OrderId(3));
        assert!(account.on_sent(&order(999)));
    }
}
