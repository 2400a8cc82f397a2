use super::reference::{Json, agrees_with_reference, capture, decimal, decoded, difference, shown};
use chronos_market::decode::*;
use chronos_market::{Qty, Side};
use std::collections::{BTreeMap, BTreeSet};

/// What each channel is about, and the orders at rest in it.
#[derive(Default)]
struct Reference(BTreeMap<u64, (&'static str, String, BTreeSet<u64>)>);

impl Reference {
    fn decode(&mut self, root: &Json) -> Option<Vec<String>> {
        let control = Some(vec![shown(Message::Ignored(Ignored::Control))]);
        if !root.fields().is_empty() {
            let has = |name| root.get(name).is_some();
            match root.text("event")? {
                "info" if has("version") => self.0.clear(),
                "info" if has("code") => {}
                "unsubscribed" => drop(self.0.remove(&root.get("chanId")?.unsigned()?)),
                "subscribed" => {
                    let id = root.get("chanId")?.unsigned()?;
                    let symbol = root.text("symbol").unwrap_or("");
                    let kind = match (root.text("channel")?, root.text("prec")) {
                        _ if !symbol.starts_with('t') => "other",
                        ("book", Some("R0")) => "orders",
                        ("book", _) => "levels",
                        ("trades", _) => "trades",
                        _ => "other",
                    };
                    self.0.insert(id, (kind, symbol.to_owned(), BTreeSet::new()));
                }
                "conf" if has("flags") => {}
                "pong" if has("ts") => {}
                "error" if has("code") => {}
                _ => return None,
            }
            return control;
        }
        let [Json::Number(id), content @ ..] = root.list()? else { return None };
        if content.iter().skip(1).any(|part| part.string().is_some()) {
            return None;
        }
        let first = content.first()?;
        let is_row_like = |row: &[Json]| row.first().is_none_or(|part| matches!(part, Json::List(_) | Json::Number(_)));
        let is_notice = first.string().is_some_and(|notice| ["hb", "cs", "te", "tu"].contains(&notice));
        if !is_notice && !first.list().is_some_and(is_row_like) {
            return None;
        }
        let last = if content.len() > 1 { content.last() } else { None };
        let time = match last {
            Some(Json::Number(number)) => {
                number.parse::<i64>().ok().filter(|ms| (100_000_000_000..10_000_000_000_000).contains(ms))
            }
            _ => None,
        };
        let exchange_ns = time.unwrap_or(0) * 1_000_000;
        let (kind, symbol, resting) = self.0.get_mut(&id.parse().ok()?)?;
        let rows = first.list().filter(|rows| rows.first().is_none_or(|row| row.list().is_some()));
        match (*kind, first.string()) {
            (_, Some("hb" | "cs")) => control,
            ("trades", Some("tu")) | ("trades", None) => Some(vec![shown(Message::Ignored(Ignored::Statistics))]),
            ("trades", Some("te")) => trade(content.get(1)?, symbol).map(|message| vec![message]),
            ("other", None) => Some(vec![shown(Message::Ignored(Ignored::Ticker))]),
            ("orders", None) => {
                let (link, message);
                let orders: Vec<RestingOrder>;
                match rows {
                    Some(rows) => {
                        orders = rows.iter().map(|row| order(row).ok().flatten()).collect::<Option<_>>()?;
                        *resting = orders.iter().map(|order| order.id).collect();
                        link = Link::None;
                        message = Message::OrderSnapshot(OrderSnapshotMessage {
                            symbol: Some(symbol),
                            link,
                            exchange_ns,
                            orders: &orders,
                        });
                    }
                    None => {
                        let id = first.list()?.first()?.unsigned()?;
                        let action = match order(first).ok()? {
                            None => {
                                resting.remove(&id);
                                OrderAction::Delete { id }
                            }
                            Some(order) if resting.insert(id) => OrderAction::Add(order),
                            Some(order) => OrderAction::Modify(order),
                        };
                        message = Message::Order(OrderMessage { symbol, link: Link::None, exchange_ns, is_last: true, action });
                    }
                }
                Some(vec![shown(message)])
            }
            ("levels", None) => {
                let levels: Option<Vec<LevelChange>> = match rows {
                    Some(rows) => rows.iter().map(level).collect(),
                    None => level(first).map(|level| vec![level]),
                };
                Some(vec![shown(Message::Book(BookMessage {
                    symbol,
                    link: Link::None,
                    exchange_ns,
                    is_snapshot: rows.is_some(),
                    is_last: true,
                    depth_max: None,
                    checksum: None,
                    levels: &levels?,
                }))])
            }
            _ => None,
        }
    }
}

fn amount(value: &Json) -> Option<(Side, Qty)> {
    let amount = decimal(value.digits()?, 8).filter(|amount| *amount != 0)?;
    Some((if amount > 0 { Side::Buy } else { Side::Sell }, Qty(amount.abs())))
}

/// `Ok(None)` where the order left.
fn order(row: &Json) -> Result<Option<RestingOrder>, ()> {
    let read = || {
        let [id, price, size, ..] = row.list()? else { return None };
        let (side, qty) = amount(size)?;
        Some(RestingOrder { id: id.unsigned()?, side, price: price.price()?, qty })
    };
    read().map(|order| (order.price.0 > 0).then_some(order)).ok_or(())
}

fn level(row: &Json) -> Option<LevelChange> {
    let [price, count, size, ..] = row.list()? else { return None };
    let (side, qty) = amount(size)?;
    let is_gone = count.unsigned()? == 0;
    Some(LevelChange { side, price: price.positive_price()?, qty: if is_gone { Qty(0) } else { qty } })
}

fn trade(row: &Json, symbol: &str) -> Option<String> {
    let [id, time, size, price, ..] = row.list()? else { return None };
    let (aggressor, qty) = amount(size)?;
    Some(shown(Message::Trade(TradeMessage {
        symbol,
        id: id.unsigned()?,
        price: price.positive_price()?,
        qty,
        aggressor: Some(aggressor),
        exchange_ns: i64::try_from(i128::from(time.unsigned()?) * 1_000_000).ok()?,
    })))
}

const SUBSCRIPTIONS: [&str; 5] = [
    r#"{"event":"subscribed","channel":"book","chanId":1,"symbol":"tBTCUSD","prec":"R0","freq":"F0","len":"25","pair":"BTCUSD"}"#,
    r#"{"event":"subscribed","channel":"book","chanId":2,"symbol":"tETHUSD","prec":"P0","freq":"F0","len":"25","pair":"ETHUSD"}"#,
    r#"{"event":"subscribed","channel":"trades","chanId":3,"symbol":"tBTCUSD","pair":"BTCUSD"}"#,
    r#"{"event":"subscribed","channel":"ticker","chanId":4,"symbol":"tBTCUSD","pair":"BTCUSD"}"#,
    "[1,[[11,100.5,0.25],[12,101,-3]]]",
];

/// A decoder that has been told of four channels and two orders.
fn told() -> BitfinexDecoder {
    let mut decoder = BitfinexDecoder::new();
    for raw in SUBSCRIPTIONS {
        decoded(&mut decoder, raw.as_bytes()).unwrap();
    }
    decoder
}

fn told_reference() -> Reference {
    let mut reference = Reference::default();
    for raw in SUBSCRIPTIONS {
        reference.decode(&Json::read(raw).unwrap()).unwrap();
    }
    reference
}

agrees_with_reference!("bitfinex_message", told(), told_reference());

#[test]
fn agrees_on_the_whole_capture() {
    let Some(lines) = capture("l3_bitfinex/bitfinex_tBTCUSD_R0_first40000.jsonl.zst") else { return };
    let (mut decoder, mut reference) = (BitfinexDecoder::new(), Reference::default());
    let mut counts = BTreeMap::<&str, i32>::new();
    for raw in &lines {
        let ours = decoded(&mut decoder, raw.as_bytes());
        assert!(decoder.recognises(raw.as_bytes()) && ours.is_ok(), "{raw}");
        for message in ours.iter().flatten() {
            let kind = ["OrderSnapshot(", "Add(", "Modify(", "Delete ", "Ignored("].into_iter().find(|kind| message.contains(kind));
            *counts.entry(kind.unwrap()).or_default() += 1;
        }
        if let Some(difference) = difference(ours, raw, |root| reference.decode(root)) {
            panic!("{difference}");
        }
    }
    assert_eq!((lines.len(), counts["OrderSnapshot("], counts["Ignored("]), (40_003, 1, 2));
    assert_eq!(counts["Add("] + counts["Modify("] + counts["Delete "], 40_000);
}

#[test]
fn a_new_connection_forgets_the_channels() {
    let mut decoder = told();
    assert!(decoded(&mut decoder, b"[1,[13,99,1]]").is_ok());
    decoded(&mut decoder, br#"{"event":"info","version":2}"#).unwrap();
    assert_eq!(decoded(&mut decoder, b"[1,[13,99,1]]"), Err(DecodeError::Unsupported("channel", 1)));
}
