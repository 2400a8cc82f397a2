//! The kinds of messages that are counted.

use chronos_market::decode::{Link, Message};

/// Kinds there are.
pub const KINDS: usize = 13;

/// What a message is, as it is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum MessageKind {
    /// A change to be joined to a snapshot.
    Depth,
    /// A snapshot.
    Snapshot,
    /// A snapshot or change of a book in one stream.
    Book,
    /// The best levels alone.
    PartialDepth,
    /// A change of one order.
    Order,
    /// Every order.
    OrderSnapshot,
    /// A trade.
    Trade,
    /// Trades of one taking order at one price.
    AggregateTrade,
    /// Best bid and ask.
    Quote,
    /// A mark price.
    Mark,
    /// A forced order.
    Liquidation,
    /// A bar.
    Bar,
    /// Whether an instrument trades.
    Status,
}

impl MessageKind {
    /// Every kind, in order of its number.
    pub const ALL: [MessageKind; KINDS] = [
        MessageKind::Depth,
        MessageKind::Snapshot,
        MessageKind::Book,
        MessageKind::PartialDepth,
        MessageKind::Order,
        MessageKind::OrderSnapshot,
        MessageKind::Trade,
        MessageKind::AggregateTrade,
        MessageKind::Quote,
        MessageKind::Mark,
        MessageKind::Liquidation,
        MessageKind::Bar,
        MessageKind::Status,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            MessageKind::Depth => "depth",
            MessageKind::Snapshot => "snapshot",
            MessageKind::Book => "book",
            MessageKind::PartialDepth => "partial_depth",
            MessageKind::Order => "order",
            MessageKind::OrderSnapshot => "order_snapshot",
            MessageKind::Trade => "trade",
            MessageKind::AggregateTrade => "aggregate_trade",
            MessageKind::Quote => "quote",
            MessageKind::Mark => "mark",
            MessageKind::Liquidation => "liquidation",
            MessageKind::Bar => "bar",
            MessageKind::Status => "status",
        }
    }

    /// Whether a book is kept of such messages.
    pub fn is_of_book(self) -> bool {
        matches!(
            self,
            MessageKind::Depth | MessageKind::Snapshot | MessageKind::Book | MessageKind::Order | MessageKind::OrderSnapshot
        )
    }
}

/// A message's kind and the exchange's time in it, 0 where it has none; `None` for what concerns no instrument.
pub(super) fn kind_and_time(message: &Message<'_>) -> Option<(MessageKind, i64)> {
    Some(match message {
        Message::Depth(depth) => (MessageKind::Depth, depth.exchange_ns),
        Message::Snapshot(snapshot) => (MessageKind::Snapshot, snapshot.exchange_ns),
        Message::Book(book) => (MessageKind::Book, book.exchange_ns),
        Message::PartialDepth(partial) => (MessageKind::PartialDepth, partial.exchange_ns),
        Message::Order(order) => (MessageKind::Order, order.exchange_ns),
        Message::OrderSnapshot(snapshot) => (MessageKind::OrderSnapshot, snapshot.exchange_ns),
        Message::Trade(trade) => (MessageKind::Trade, trade.exchange_ns),
        Message::AggregateTrade(aggregate) => (MessageKind::AggregateTrade, aggregate.trade.exchange_ns),
        Message::Quote(quote) => (MessageKind::Quote, quote.exchange_ns),
        Message::Mark(mark) => (MessageKind::Mark, mark.exchange_ns),
        Message::Liquidation(liquidation) => (MessageKind::Liquidation, liquidation.exchange_ns),
        // When a bar began says nothing of when it was sent.
        Message::Bar(_) => (MessageKind::Bar, 0),
        Message::Status(status) => (MessageKind::Status, status.exchange_ns),
        Message::Feed(_) | Message::Ignored(_) => return None,
    })
}

/// The number that a change of a book has and no other of its symbol may have again; `None` where the venue sends none.
pub(super) fn update_id(message: &Message<'_>) -> Option<u64> {
    let of_link = |link: Link| match link {
        Link::Consecutive(id) | Link::Chained { this: id, .. } => Some(id),
        Link::None | Link::Rising(_) => None,
    };
    match message {
        Message::Depth(depth) => Some(depth.final_id),
        Message::Book(book) if !book.is_snapshot => of_link(book.link),
        Message::Order(order) => of_link(order.link),
        _ => None,
    }
}

/// Whether a message is the last of its event. Orders of a snapshot, which all but the last are not, have the times they came at.
pub(super) fn is_event_end(message: &Message<'_>) -> bool {
    match message {
        Message::Order(order) => order.is_last,
        Message::Book(book) => book.is_last,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_numbered_in_order() {
        assert!(MessageKind::ALL.iter().enumerate().all(|(place, kind)| *kind as usize == place));
    }
}
