//! NASDAQ TotalView-ITCH 5.0 messages, section 1 of the specification: big-endian, prices in 1e-4 dollars.

use chronos_market::Side;

/// What every message begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The instrument's number on this day; 0 where the message is about none.
    pub(super) locate: u16,
    pub(super) tracking: u16,
    /// Nanoseconds since midnight, of which 48 bits are sent.
    pub(super) time_ns: u64,
}

impl Head {
    fn begin<const N: usize>(self, kind: u8) -> [u8; N] {
        let mut message = [0; N];
        message[0] = kind;
        message[1..3].copy_from_slice(&self.locate.to_be_bytes());
        message[3..5].copy_from_slice(&self.tracking.to_be_bytes());
        message[5..11].copy_from_slice(&self.time_ns.to_be_bytes()[2..]);
        message
    }
}

/// What a participant shows: an order in the book.
#[derive(Clone, Copy, Debug)]
pub(super) struct DisplayedOrder {
    pub(super) reference: u64,
    pub(super) side: Side,
    pub(super) shares: u32,
    pub(super) stock: [u8; 8],
    pub(super) price4: u32,
}

pub(super) fn system_event(head: Head, event: u8) -> [u8; 12] {
    let mut message = head.begin(b'S');
    message[11] = event;
    message
}

/// An ordinary share of the Global Select market, in round lots of 100.
pub(super) fn stock_directory(head: Head, stock: [u8; 8]) -> [u8; 39] {
    let mut message = head.begin(b'R');
    message[11..19].copy_from_slice(&stock);
    message[19] = b'Q';
    message[20] = b'N';
    message[21..25].copy_from_slice(&100u32.to_be_bytes());
    message[25] = b'N';
    // Common stock, no subtype, production, no short-sale threshold, no IPO, LULD tier 1, no ETP, leverage 0, not inverse.
    message[26..34].copy_from_slice(b"CZ PNN1N");
    message[38] = b'N';
    message
}

pub(super) fn trading_action(head: Head, stock: [u8; 8], state: u8, reason: [u8; 4]) -> [u8; 25] {
    let mut message = head.begin(b'H');
    message[11..19].copy_from_slice(&stock);
    message[19] = state;
    message[20] = b' ';
    message[21..25].copy_from_slice(&reason);
    message
}

pub(super) fn add_order(head: Head, order: DisplayedOrder) -> [u8; 36] {
    let mut message = head.begin(b'A');
    put_order(&mut message, order);
    message
}

pub(super) fn add_order_attributed(head: Head, order: DisplayedOrder, participant: [u8; 4]) -> [u8; 40] {
    let mut message = head.begin(b'F');
    put_order(&mut message, order);
    message[36..40].copy_from_slice(&participant);
    message
}

pub(super) fn order_executed(head: Head, reference: u64, shares: u32, match_number: u64) -> [u8; 31] {
    let mut message = head.begin(b'E');
    message[11..19].copy_from_slice(&reference.to_be_bytes());
    message[19..23].copy_from_slice(&shares.to_be_bytes());
    message[23..31].copy_from_slice(&match_number.to_be_bytes());
    message
}

pub(super) fn order_executed_with_price(
    head: Head,
    reference: u64,
    shares: u32,
    match_number: u64,
    is_printable: bool,
    price4: u32,
) -> [u8; 36] {
    let mut message = head.begin(b'C');
    message[11..19].copy_from_slice(&reference.to_be_bytes());
    message[19..23].copy_from_slice(&shares.to_be_bytes());
    message[23..31].copy_from_slice(&match_number.to_be_bytes());
    message[31] = if is_printable { b'Y' } else { b'N' };
    message[32..36].copy_from_slice(&price4.to_be_bytes());
    message
}

pub(super) fn order_cancel(head: Head, reference: u64, shares: u32) -> [u8; 23] {
    let mut message = head.begin(b'X');
    message[11..19].copy_from_slice(&reference.to_be_bytes());
    message[19..23].copy_from_slice(&shares.to_be_bytes());
    message
}

pub(super) fn order_delete(head: Head, reference: u64) -> [u8; 19] {
    let mut message = head.begin(b'D');
    message[11..19].copy_from_slice(&reference.to_be_bytes());
    message
}

pub(super) fn order_replace(head: Head, reference: u64, new_reference: u64, shares: u32, price4: u32) -> [u8; 35] {
    let mut message = head.begin(b'U');
    message[11..19].copy_from_slice(&reference.to_be_bytes());
    message[19..27].copy_from_slice(&new_reference.to_be_bytes());
    message[27..31].copy_from_slice(&shares.to_be_bytes());
    message[31..35].copy_from_slice(&price4.to_be_bytes());
    message
}

/// A trade with an order that was not displayed: the book stays as it is. The venue sends no reference and always the buy side.
pub(super) fn hidden_trade(head: Head, stock: [u8; 8], shares: u32, price4: u32, match_number: u64) -> [u8; 44] {
    let mut message = head.begin(b'P');
    put_order(&mut message, DisplayedOrder { reference: 0, side: Side::Buy, shares, stock, price4 });
    message[36..44].copy_from_slice(&match_number.to_be_bytes());
    message
}

pub(super) fn cross_trade(head: Head, stock: [u8; 8], shares: u64, price4: u32, match_number: u64, cross_type: u8) -> [u8; 40] {
    let mut message = head.begin(b'Q');
    message[11..19].copy_from_slice(&shares.to_be_bytes());
    message[19..27].copy_from_slice(&stock);
    message[27..31].copy_from_slice(&price4.to_be_bytes());
    message[31..39].copy_from_slice(&match_number.to_be_bytes());
    message[39] = cross_type;
    message
}

pub(super) fn broken_trade(head: Head, match_number: u64) -> [u8; 19] {
    let mut message = head.begin(b'B');
    message[11..19].copy_from_slice(&match_number.to_be_bytes());
    message
}

/// The part that A, F and P have in common.
fn put_order<const N: usize>(message: &mut [u8; N], order: DisplayedOrder) {
    message[11..19].copy_from_slice(&order.reference.to_be_bytes());
    message[19] = if order.side == Side::Buy { b'B' } else { b'S' };
    message[20..24].copy_from_slice(&order.shares.to_be_bytes());
    message[24..32].copy_from_slice(&order.stock);
    message[32..36].copy_from_slice(&order.price4.to_be_bytes());
}
