//! Positions, open orders and money.

use chronos_market::{
    Contract, ExecutionReport, Instrument, InstrumentId, NewOrder, OrderId, PRICE_SCALE, Price, QTY_SCALE, Qty, ReportKind,
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
    /// `flow` and `fees_quote` when the trade under way began: when the position was last flat.
    begun_flow: i128,
    begun_fees: i128,
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

    /// Takes a report. Where it ends a trade, from flat to flat or to the other side, returns the trade's profit, fees subtracted, in
    /// quote currency, units of 1e-9; fees of a fill that turns the position count to the trade it ends.
    pub fn on_report(&mut self, report: &ExecutionReport) -> Option<i128> {
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
            return None;
        }
        self.fills += 1;
        let instrument = self.instruments.get(report.instrument.index())?;
        let ledger = &mut self.ledgers[report.instrument.index()];
        let signed = Qty(report.qty.0.saturating_mul(report.side.sign()));
        let before = ledger.position.0;
        ledger.position.0 = before.saturating_add(signed.0);
        ledger.flow = ledger.flow.saturating_add(paid(instrument, report.price, signed));
        ledger.fees_quote = ledger.fees_quote.saturating_add(i128::from(report.fee_quote));
        ledger.mark = report.price;
        if before == 0 || ledger.position.0.signum() == before.signum() {
            return None;
        }
        // What is held beyond flat is a trade of its own, begun at this fill's price.
        let begun_flow = paid(instrument, report.price, ledger.position);
        let closed = Ledger { flow: ledger.flow.saturating_sub(begun_flow), position: Qty::ZERO, ..*ledger };
        let net_quote = closed.trade_net_quote(instrument);
        (ledger.begun_flow, ledger.begun_fees) = (closed.flow, closed.fees_quote);
        Some(net_quote)
    }

    /// The price at which a position is valued.
    #[inline]
    pub fn mark(&self, id: InstrumentId) -> Price {
        self.ledgers.get(id.index()).map(|ledger| ledger.mark).unwrap_or_default()
    }

    /// Profit less fees of one instrument, an open position at its mark, in quote currency, units of 1e-9.
    pub fn net_quote_of(&self, id: InstrumentId) -> i128 {
        let (Some(instrument), Some(ledger)) = (self.instruments.get(id.index()), self.ledgers.get(id.index())) else { return 0 };
        ledger.value_quote(instrument, ledger.flow).saturating_sub(ledger.fees_quote)
    }

    /// Profit less fees of the trade under way in an instrument, that is since it was last flat.
    pub fn trade_net_quote(&self, id: InstrumentId) -> i128 {
        let (Some(instrument), Some(ledger)) = (self.instruments.get(id.index()), self.ledgers.get(id.index())) else { return 0 };
        ledger.trade_net_quote(instrument)
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
        let of_each =
            self.instruments.iter().zip(&self.ledgers).map(|(instrument, ledger)| ledger.value_quote(instrument, ledger.flow));
        of_each.fold(0, i128::saturating_add)
    }

    /// Fees paid less rebates, in quote currency, units of 1e-9.
    pub fn fees_quote(&self) -> i128 {
        self.ledgers.iter().fold(0, |sum, ledger| sum.saturating_add(ledger.fees_quote))
    }
}

impl Ledger {
    /// What a flow and the position at its mark come to, in quote currency.
    fn value_quote(&self, instrument: &Instrument, flow: i128) -> i128 {
        let held = instrument.notional_quote(self.mark, self.position);
        match instrument.contract {
            Contract::Linear { .. } => flow.saturating_add(held),
            Contract::Inverse { .. } => {
                let coin = flow.saturating_sub(coin_claim(held, self.mark));
                coin.saturating_mul(i128::from(self.mark.0)) / COIN_SCALE
            }
        }
    }

    fn trade_net_quote(&self, instrument: &Instrument) -> i128 {
        let fees_quote = self.fees_quote.saturating_sub(self.begun_fees);
        self.value_quote(instrument, self.flow.saturating_sub(self.begun_flow)).saturating_sub(fees_quote)
    }
}

/// What a fill adds to the flow of its ledger.
fn paid(instrument: &Instrument, price: Price, signed: Qty) -> i128 {
    match instrument.contract {
        Contract::Linear { .. } => -instrument.notional_quote(price, signed),
        Contract::Inverse { .. } => coin_claim(instrument.notional_quote(price, signed), price),
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

/// Coin that `face_quote` (units of 1e-9) buys at `price`, units of 1e-12; 0 at a price of 0.
fn coin_claim(face_quote: i128, price: Price) -> i128 {
    if price.0 == 0 { 0 } else { face_quote.saturating_mul(COIN_SCALE) / i128::from(price.0) }
}

const _: () = assert!(PRICE_SCALE == 1_000_000_000 && QTY_SCALE == 100_000_000);

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::{Exchange, Side, TimeInForce, Timestamp};

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
    fn a_trade_is_from_flat_to_flat_and_a_turn_begins_another() {
        let mut account = Account::new(&[instrument(Contract::spot())]);
        let id = InstrumentId(0);
        let quote = |amount: i64| i128::from(amount) * i128::from(PRICE_SCALE);
        assert_eq!(account.on_report(&fill(1, Side::Buy, 100, 3, 0, 1)), None);
        assert_eq!(account.on_report(&fill(2, Side::Sell, 110, 1, 0, 1)), None);
        // 10 on one, -5 on two, fees 3; the two beyond flat are sold short at 95.
        assert_eq!(account.on_report(&fill(3, Side::Sell, 95, 4, 0, 1)), Some(quote(10 - 10 - 3)));
        account.set_mark(id, Price(90 * PRICE_SCALE));
        assert_eq!(account.trade_net_quote(id), quote(10));
        assert_eq!(account.on_report(&fill(4, Side::Buy, 98, 2, 0, 2)), Some(quote(-6 - 2)));
        assert_eq!(account.trade_net_quote(id), 0);
        assert_eq!(account.net_quote_of(id), quote(-3 - 8));
        assert_eq!(account.net_quote_of(id), account.pnl_quote() - account.fees_quote());

        // Coin of an earlier trade that is now worth more is no profit of the later one.
        let mut account = Account::new(&[instrument(Contract::inverse(100))]);
        account.on_report(&fill(1, Side::Buy, 50_000, 10, 0, 0));
        assert_eq!(account.on_report(&fill(2, Side::Sell, 62_500, 10, 0, 0)), Some(quote(250)));
        account.on_report(&fill(3, Side::Buy, 125_000, 10, 0, 0));
        assert_eq!((account.trade_net_quote(id), account.net_quote_of(id)), (0, quote(500)));
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
        account.on_report(&fill(7, Side::Buy, 1, 2, 3, 0));
        assert_eq!(account.open_orders()[0].leaves, Qty(3 * QTY_SCALE));
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
