//! ITCH 5.0 against itchy, field by field and as messages in normal form, in NASDAQ's file form and on captured packets.

mod captures;

use captures::{Lines, hex, packets, small_captures};
use chronos_market::decode::{
    BinaryFileStep, DecodeError, Decoder, FeedMessage, Ignored, ItchBody, ItchDecoder, ItchMessage, Link, Message, OrderAction,
    OrderMessage, RestingOrder, StatusMessage, TradeMessage, TradingStatus, UdpDatagram, split_binary_file,
};
use chronos_market::{Price, Qty, Side, Timestamp};
use itchy::{Body, MessageStream};
use proptest::prelude::*;
use std::collections::HashMap;

/// The fields of one message in the order sent: numbers, then texts and letters.
type Fields = (u64, u64, u64, Vec<u64>, String);

fn price(raw: itchy::Price4) -> u64 {
    u64::from(raw.raw()) * 100_000
}

fn their_side(side: itchy::Side) -> &'static str {
    match side {
        itchy::Side::Buy => "B",
        itchy::Side::Sell => "S",
    }
}

/// A message's fields as itchy reads them. Letters it turns into names of its own are left out, except where one matters here.
fn their_fields(message: &itchy::Message) -> Fields {
    let yes_no = |flag: bool| if flag { "Y" } else { "N" };
    let (numbers, text) = match &message.body {
        Body::AddOrder(order) => {
            let mpid = order.mpid.as_ref().map(|mpid| mpid.as_str()).unwrap_or_default();
            let text = format!("{}{}{mpid}", their_side(order.side), order.stock);
            (vec![order.reference, order.shares.into(), price(order.price)], text)
        }
        Body::Breach(level) => (vec![], format!("{}", *level as u8)),
        Body::BrokenTrade { match_number } => (vec![*match_number], String::new()),
        Body::CrossTrade(cross) => (vec![cross.shares, price(cross.cross_price), cross.match_number], cross.stock.to_string()),
        Body::DeleteOrder { reference } => (vec![*reference], String::new()),
        Body::Imbalance(i) => {
            let numbers =
                vec![i.paired_shares, i.imbalance_shares, price(i.far_price), price(i.near_price), price(i.current_ref_price)];
            (numbers, format!("{}{}", i.stock, i.price_variation_indicator))
        }
        Body::IpoQuotingPeriod(ipo) => (vec![ipo.release_time.into(), price(ipo.price)], ipo.stock.to_string()),
        Body::LULDAuctionCollar { stock, ref_price, upper_price, lower_price, extension } => {
            (vec![price(*ref_price), price(*upper_price), price(*lower_price), (*extension).into()], stock.to_string())
        }
        Body::MwcbDeclineLevel { level1, level2, level3 } => (vec![level1.raw(), level2.raw(), level3.raw()], String::new()),
        Body::NonCrossTrade(trade) => {
            let numbers = vec![trade.reference, trade.shares.into(), price(trade.price), trade.match_number];
            (numbers, format!("{}{}", their_side(trade.side), trade.stock))
        }
        Body::OrderCancelled { reference, cancelled } => (vec![*reference, (*cancelled).into()], String::new()),
        Body::OrderExecuted { reference, executed, match_number } => {
            (vec![*reference, (*executed).into(), *match_number], String::new())
        }
        Body::OrderExecutedWithPrice { reference, executed, match_number, printable, price: at } => {
            (vec![*reference, (*executed).into(), *match_number, price(*at)], yes_no(*printable).into())
        }
        Body::ParticipantPosition(position) => {
            let primary = yes_no(position.primary_market_maker);
            (vec![], format!("{}{}{primary}", position.mpid, position.stock))
        }
        Body::RegShoRestriction { stock, .. } => (vec![], stock.to_string()),
        Body::ReplaceOrder(order) => {
            (vec![order.old_reference, order.new_reference, order.shares.into(), price(order.price)], String::new())
        }
        Body::StockDirectory(directory) => {
            let flags = [yes_no(directory.round_lots_only), yes_no(directory.inverse_indicator)].concat();
            let numbers = vec![directory.round_lot_size.into(), directory.etp_leverage_factor.into()];
            (numbers, format!("{}{flags}", directory.stock))
        }
        Body::SystemEvent { .. } => (vec![], String::new()),
        Body::TradingAction { stock, reason, .. } => (vec![], format!("{stock}{reason}")),
        Body::RetailPriceImprovementIndicator(interest) => (vec![], interest.stock.to_string()),
    };
    (message.stock_locate.into(), message.tracking_number.into(), message.timestamp, numbers, text)
}

/// The same fields as read here.
fn our_fields(message: &ItchMessage<'_>) -> Fields {
    let price = |price: Price| price.0 as u64;
    let text = |parts: &[&[u8]]| String::from_utf8_lossy(&parts.concat()).into_owned();
    let side = |side: Side| if side == Side::Buy { b"B" } else { b"S" };
    let (numbers, text) = match message.body {
        ItchBody::AddOrder(order) => {
            let mpid = order.mpid.map(|mpid| &mpid[..]).unwrap_or_default();
            (vec![order.reference, order.shares.into(), price(order.price)], text(&[side(order.side), order.stock, mpid]))
        }
        ItchBody::BreakerStatus { level } => (vec![], format!("{}", level - b'1')),
        ItchBody::BrokenTrade { match_number } => (vec![match_number], String::new()),
        ItchBody::CrossTrade { shares, stock, price: at, match_number, .. } => {
            (vec![shares, price(at), match_number], text(&[stock]))
        }
        ItchBody::OrderDelete { reference } => (vec![reference], String::new()),
        ItchBody::Imbalance(i) => {
            let numbers = vec![i.paired, i.imbalance, price(i.far), price(i.near), price(i.reference)];
            (numbers, text(&[i.stock, &[i.variation]]))
        }
        ItchBody::IpoQuoting { stock, release_s, price: at, .. } => (vec![release_s.into(), price(at)], text(&[stock])),
        ItchBody::AuctionCollar { stock, reference, upper, lower, extension } => {
            (vec![price(reference), price(upper), price(lower), extension.into()], text(&[stock]))
        }
        ItchBody::BreakerLevels { levels } => (levels.to_vec(), String::new()),
        ItchBody::Trade { reference, side: letter, shares, stock, price: at, match_number } => {
            (vec![reference, shares.into(), price(at), match_number], text(&[side(letter), stock]))
        }
        ItchBody::OrderCancel { reference, shares } => (vec![reference, shares.into()], String::new()),
        ItchBody::OrderExecuted { reference, shares, match_number } => {
            (vec![reference, shares.into(), match_number], String::new())
        }
        ItchBody::OrderExecutedWithPrice { reference, shares, match_number, printable, price: at } => {
            (vec![reference, shares.into(), match_number, price(at)], text(&[&[printable]]))
        }
        ItchBody::ParticipantPosition { mpid, stock, primary, .. } => (vec![], text(&[mpid, stock, &[primary]])),
        ItchBody::RegSho { stock, .. } | ItchBody::RetailInterest { stock, .. } => (vec![], text(&[stock])),
        ItchBody::OrderReplace { reference, new_reference, shares, price: at } => {
            (vec![reference, new_reference, shares.into(), price(at)], String::new())
        }
        ItchBody::StockDirectory(directory) => {
            let numbers = vec![directory.round_lot.into(), directory.etp_leverage.into()];
            (numbers, text(&[directory.stock, &[directory.round_lots_only, directory.inverse]]))
        }
        ItchBody::TradingAction { stock, reason, .. } => (vec![], text(&[stock, reason])),
        _ => (vec![], String::new()),
    };
    (message.locate.into(), message.tracking.into(), message.since_midnight_ns, numbers, text)
}

const MIDNIGHT: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// itchy's messages in normal form.
#[derive(Default)]
struct Reference {
    symbols: HashMap<u16, String>,
}

impl Reference {
    fn trade(&self, stock: &str, id: u64, at: u64, qty: i64, exchange_ns: i64) -> String {
        let (price, qty, aggressor) = (Price(at as i64), Qty(qty), None);
        format!("{:?}", Message::Trade(TradeMessage { symbol: stock, id, price, qty, aggressor, exchange_ns }))
    }

    fn message(&mut self, message: &itchy::Message) -> String {
        let exchange_ns = MIDNIGHT.0 + message.timestamp as i64;
        let shares = |shares: u32| Qty(i64::from(shares) * 100_000_000);
        let stock = match &message.body {
            Body::AddOrder(order) => Some(order.stock),
            Body::NonCrossTrade(trade) => Some(trade.stock),
            Body::CrossTrade(trade) if trade.shares > 0 => Some(trade.stock),
            Body::TradingAction { stock, .. } => Some(*stock),
            Body::StockDirectory(directory) => Some(directory.stock),
            _ => None,
        };
        if let Some(stock) = stock {
            self.symbols.insert(message.stock_locate, stock.trim_end().to_owned());
        }
        let unexplained = format!("#{}", message.stock_locate);
        let symbol = self.symbols.get(&message.stock_locate).cloned().unwrap_or(unexplained);
        let action = match &message.body {
            Body::AddOrder(order) => OrderAction::Add(RestingOrder {
                id: order.reference,
                side: if order.side == itchy::Side::Buy { Side::Buy } else { Side::Sell },
                price: Price(price(order.price) as i64),
                qty: shares(order.shares),
            }),
            Body::OrderExecuted { reference, executed, match_number } => OrderAction::Execute {
                id: *reference,
                qty: shares(*executed),
                price: None,
                trade_id: *match_number,
                is_printable: true,
            },
            Body::OrderExecutedWithPrice { reference, executed, match_number, printable, price: at } => OrderAction::Execute {
                id: *reference,
                qty: shares(*executed),
                price: Some(Price(price(*at) as i64)),
                trade_id: *match_number,
                is_printable: *printable,
            },
            Body::OrderCancelled { reference, cancelled } => OrderAction::Reduce { id: *reference, qty: shares(*cancelled) },
            Body::DeleteOrder { reference } => OrderAction::Delete { id: *reference },
            Body::ReplaceOrder(order) => OrderAction::Replace {
                id: order.old_reference,
                new_id: order.new_reference,
                price: Price(price(order.price) as i64),
                qty: shares(order.shares),
            },
            Body::NonCrossTrade(trade) => {
                return self.trade(&symbol, trade.match_number, price(trade.price), shares(trade.shares).0, exchange_ns);
            }
            Body::CrossTrade(cross) if cross.shares > 0 => {
                let qty = cross.shares as i64 * 100_000_000;
                return self.trade(&symbol, cross.match_number, price(cross.cross_price), qty, exchange_ns);
            }
            Body::TradingAction { trading_state, .. } => {
                let status = match trading_state {
                    itchy::TradingState::Trading => TradingStatus::Trading,
                    itchy::TradingState::Halted => TradingStatus::Halted,
                    itchy::TradingState::Paused | itchy::TradingState::QuotationOnly => TradingStatus::QuotesOnly,
                };
                return format!("{:?}", Message::Status(StatusMessage { symbol: &symbol, exchange_ns, status }));
            }
            Body::StockDirectory(_) => return format!("{:?}", Message::Ignored(Ignored::Definition)),
            Body::SystemEvent { event } => {
                return format!(
                    "{:?}",
                    match event {
                        itchy::EventCode::StartOfMessages => Message::Feed(FeedMessage::Started),
                        itchy::EventCode::EndOfMessages => Message::Feed(FeedMessage::Ended),
                        _ => Message::Ignored(Ignored::Control),
                    }
                );
            }
            _ => return format!("{:?}", Message::Ignored(Ignored::Statistics)),
        };
        let order = OrderMessage { symbol: &symbol, link: Link::None, exchange_ns, is_last: true, action };
        format!("{:?}", Message::Order(order))
    }
}

/// Both decoders on one file; the last part of it may be the mark of its end.
fn compare(file: &[u8]) {
    let (mut decoder, mut found, mut fields, mut rest) = (ItchDecoder::new(MIDNIGHT), Lines::default(), Vec::new(), file);
    while let BinaryFileStep::Message { consumed, message } = split_binary_file(rest) {
        decoder.decode(message, Timestamp(5), &mut found).expect("decodes");
        fields.push(our_fields(&ItchMessage::parse(message).expect("parses")));
        rest = &rest[consumed..];
    }
    let messages: Vec<itchy::Message> = MessageStream::from_reader(file).map(|message| message.expect("parses")).collect();
    assert_eq!(fields, messages.iter().map(their_fields).collect::<Vec<_>>());
    let mut reference = Reference::default();
    assert_eq!(found.0, messages.iter().map(|message| reference.message(message)).collect::<Vec<_>>());
}

/// What fills a message behind its prefix: the length of a number, or letters to choose from.
enum Part {
    Number(usize),
    Small(usize),
    Stock,
    Letters(&'static str),
}

/// Every type itchy knows, from the specification.
fn parts(kind: u8) -> Vec<Part> {
    use Part::{Letters, Number, Small, Stock};
    match kind {
        b'S' => vec![Letters("OSQMEC")],
        b'R' => vec![
            Stock,
            Letters("QGSNAPZV "),
            Letters("NDEQSGHJK"),
            Number(4),
            Letters("YN"),
            Letters("ABCFILNOPQRSTUVW"),
            Letters("Z"),
            Letters(" "),
            Letters("PT"),
            Letters("YN "),
            Letters("YN "),
            Letters("12 "),
            Letters("YN "),
            Number(4),
            Letters("YN"),
        ],
        b'H' => vec![Stock, Letters("HPQT"), Letters(" "), Letters("TLM"), Letters("123"), Letters(" "), Letters(" ")],
        b'Y' => vec![Stock, Letters("012")],
        b'L' => {
            vec![Letters("A"), Letters("BC"), Letters("D"), Letters("E"), Stock, Letters("YN"), Letters("NPSRL"), Letters("AEWSD")]
        }
        b'V' => vec![Number(8), Number(8), Number(8)],
        b'W' => vec![Letters("123")],
        b'K' => vec![Stock, Number(4), Letters("AC"), Number(4)],
        b'J' => vec![Stock, Number(4), Number(4), Number(4), Number(4)],
        b'A' => vec![Number(8), Letters("BS"), Number(4), Stock, Number(4)],
        b'F' => {
            vec![Number(8), Letters("BS"), Number(4), Stock, Number(4), Letters("AB"), Letters("C"), Letters("D"), Letters("E")]
        }
        b'E' => vec![Number(8), Number(4), Number(8)],
        b'C' => vec![Number(8), Number(4), Number(8), Letters("YN"), Number(4)],
        b'X' => vec![Number(8), Number(4)],
        b'D' | b'B' => vec![Number(8)],
        b'U' => vec![Number(8), Number(8), Number(4), Number(4)],
        b'P' => vec![Number(8), Letters("BS"), Number(4), Stock, Small(4), Number(8)],
        b'Q' => vec![Small(8), Stock, Small(4), Number(8), Letters("OCHI")],
        b'I' => {
            vec![Number(8), Number(8), Letters("BSNO"), Stock, Number(4), Number(4), Number(4), Letters("OCH"), Letters("L1AB ")]
        }
        b'N' => vec![Stock, Letters("BSAN")],
        _ => vec![],
    }
}

/// A message of a type, filled from a seed; preceded by its length.
fn message(kind: u8, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        state >> 16 ^ state << 48
    };
    let mut raw = vec![kind, 0, (next() % 4) as u8, 0, (next() % 3) as u8];
    raw.extend(&next().to_be_bytes()[2..]);
    for part in parts(kind) {
        match part {
            Part::Number(length) => raw.extend(&next().to_be_bytes()[8 - length..]),
            // From 1 (a price of 0 is none), now and then the same again.
            Part::Small(length) => raw.extend(&(next() % 5 + 1).to_be_bytes()[8 - length..]),
            Part::Stock => raw.extend(format!("{:<8}", ["A", "ZXZZT", "GOOG.L", "BRK.A+WS"][(next() % 4) as usize]).as_bytes()),
            Part::Letters(letters) => raw.push(letters.as_bytes()[next() as usize % letters.len()]),
        }
    }
    [&(raw.len() as u16).to_be_bytes()[..], &raw].concat()
}

const KINDS: &[u8] = b"SRHYLVWKJAFECXDUPQBIN";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn agrees_on_made_up_files(messages in prop::collection::vec((prop::sample::select(KINDS), any::<u64>()), 1..60)) {
        let file: Vec<u8> = messages.iter().flat_map(|&(kind, seed)| message(kind, seed)).collect();
        compare(&file);
    }

    #[test]
    fn a_shorter_message_is_refused(kind in prop::sample::select(KINDS), seed: u64, cut in 1..30_usize) {
        let whole = message(kind, seed);
        let raw = &whole[2..];
        prop_assert!(ItchMessage::parse(raw).is_ok());
        let cut = &raw[..raw.len().saturating_sub(cut)];
        prop_assert!(matches!(ItchMessage::parse(cut), Err(DecodeError::Truncated(..))));
    }
}

#[test]
fn agrees_on_captured_packets() {
    let mut messages = 0;
    for (name, capture) in small_captures().iter().filter(|(name, _)| name.starts_with("Nasdaq/")) {
        for packet in packets(capture).0 {
            // Behind the header of a packet stand the messages as they do in a file.
            let payload = UdpDatagram::parse(packet.link_type, &packet.bytes).expect("a datagram").payload;
            let count = u16::from_be_bytes([payload[18], payload[19]]);
            let file = &payload[20..];
            messages += count;
            // A direction of a paused auction is newer than itchy.
            if !name.contains("Imbalance") {
                compare(file);
            }
        }
    }
    assert!(messages == 0 || messages > 100, "{messages}");
}

#[test]
fn reads_the_order_of_the_specification() {
    let raw = hex("41 0001 0000 0A2D06E5A3C0 00000000000003E9 42 00000064 4141504C20202020 0016E360");
    let message = ItchMessage::parse(&raw).expect("parses");
    let ItchBody::AddOrder(order) = message.body else { panic!("{message:?}") };
    assert_eq!((message.locate, message.tracking, message.since_midnight_ns), (1, 0, 0x0A2D_06E5_A3C0));
    assert_eq!((order.reference, order.side, order.shares, order.stock), (1001, Side::Buy, 100, b"AAPL    "));
    assert_eq!((order.price.to_string(), order.mpid), ("150".into(), None));
}

#[test]
fn reads_what_itchy_does_not_know() {
    let halt = hex("68 0007 0000 000000000005 4141504C20202020 51 48");
    let listing =
        hex("4F 0007 0000 000000000005 4141504C20202020 59 00002710 00004E20 00007530 0000000000000006 00009C40 0000C350");
    let ItchBody::DirectListing(found) = ItchMessage::parse(&listing).expect("parses").body else { panic!() };
    let prices = [found.minimum, found.maximum, found.near, found.lower_collar, found.upper_collar].map(|price| price.to_string());
    assert_eq!(prices, ["1", "2", "3", "4", "5"]);
    assert_eq!((found.open_eligibility, found.near_since_midnight_ns, found.stock), (b'Y', 6, b"AAPL    "));

    let (mut decoder, mut lines) = (ItchDecoder::new(Timestamp(10)), Lines::default());
    let mut end = halt.clone();
    end[20] = b'T';
    for raw in [&halt, &halt, &end, &hex("7A 0007 0000 000000000005 FF")] {
        decoder.decode(raw, Timestamp(5), &mut lines).expect("decodes");
    }
    let status = |status| format!("{:?}", Message::Status(StatusMessage { symbol: "AAPL", exchange_ns: 15, status }));
    let statistics = format!("{:?}", Message::Ignored(Ignored::Statistics));
    let control = format!("{:?}", Message::Ignored(Ignored::Control));
    assert_eq!(lines.0, [status(TradingStatus::Halted), statistics, status(TradingStatus::Trading), control]);
}

#[test]
fn a_file_says_where_it_ends() {
    assert_eq!(split_binary_file(&[0]), BinaryFileStep::NeedMore(2));
    assert_eq!(split_binary_file(&[0, 3, 1]), BinaryFileStep::NeedMore(5));
    assert_eq!(split_binary_file(&[0, 1, 7, 9]), BinaryFileStep::Message { consumed: 3, message: &[7] });
    assert_eq!(split_binary_file(&[0, 0, 7]), BinaryFileStep::End);
}
