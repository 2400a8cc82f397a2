use super::reference::{Shown, capture, corpus, decimal, folded, mutated, mutations, rate};
use chronos_market::decode::*;
use chronos_market::{Bbo, Level, Price, Qty, Side, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Whether each line was taken, and all that was handed over.
type Answer = (Vec<bool>, Vec<String>);

fn decoded(file_name: &str, lines: &[String]) -> Answer {
    let (mut decoder, mut sink) = (TardisCsvDecoder::new(file_name), Shown::default());
    let taken = lines.iter().map(|line| decoder.decode(line.as_bytes(), Timestamp(0), &mut sink).is_ok()).collect();
    decoder.finish(&mut sink);
    (taken, sink.0)
}

type Fields<'a> = BTreeMap<&'a str, &'a str>;

/// A change of one level, with the key of its batch.
struct Change {
    symbol: String,
    recv: i64,
    exchange_ns: i64,
    is_snapshot: bool,
    level: Option<LevelChange>,
}

/// The slow decoder: every row a map by column name, book changes gathered afterwards.
fn reference(file_name: &str, lines: &[String]) -> Answer {
    let mut header: Option<Vec<&str>> = None;
    let (mut taken, mut messages, mut changes) = (Vec::new(), Vec::new(), Vec::<Change>::new());
    for line in lines {
        let columns: Vec<&str> = line.trim_ascii_end().split(',').collect();
        if line.starts_with("exchange,symbol,timestamp,local_timestamp,") {
            let is_known = ["side", "asks[0].price", "bid_price", "funding_rate", "strike_price", "is_snapshot"];
            let is_header = columns.iter().any(|name| is_known.contains(name));
            taken.push(is_header);
            if is_header {
                gather(&mut changes, &mut messages);
                header = Some(columns);
            }
            continue;
        }
        let row = header.as_ref().filter(|names| names.len() == columns.len()).and_then(|names| {
            // The first of two columns of one name.
            let fields: Fields = names.iter().copied().zip(columns.iter().copied()).rev().collect();
            let recv = time(&fields, "local_timestamp")?;
            if !fields.contains_key("is_snapshot") {
                messages.push(format!("{recv} {}", message(&fields, names, &columns, file_name)?));
                return Some(());
            }
            changes.push(change(&fields, recv)?);
            Some(())
        });
        taken.push(row.is_some());
    }
    gather(&mut changes, &mut messages);
    (taken, messages)
}

fn time(fields: &Fields, name: &str) -> Option<i64> {
    let micros: i64 = fields.get(name)?.parse().ok()?;
    (100_000_000_000_000..10_000_000_000_000_000).contains(&micros).then_some(micros)?.checked_mul(1_000)
}

fn price(text: &str) -> Option<Price> {
    decimal(text, 9).filter(|_| !text.starts_with('-')).map(Price)
}

fn qty(text: &str) -> Option<Qty> {
    decimal(text, 8).filter(|qty| *qty >= 0).map(Qty)
}

fn change(fields: &Fields, recv: i64) -> Option<Change> {
    let side = match *fields.get("side")? {
        "bid" => Side::Buy,
        "ask" => Side::Sell,
        _ => return None,
    };
    let (text, qty) = (*fields.get("price")?, qty(fields.get("amount")?)?);
    let is_far =
        side == Side::Sell && text.parse::<f64>().is_ok_and(|price| price >= 9_223_372_036.854_775) && price(text).is_none();
    let level = if is_far { None } else { Some(LevelChange { side, price: price(text).filter(|price| price.0 > 0)?, qty }) };
    Some(Change {
        symbol: fields.get("symbol").filter(|symbol| !symbol.is_empty())?.to_string(),
        recv,
        exchange_ns: time(fields, "timestamp")?,
        is_snapshot: match *fields.get("is_snapshot")? {
            "true" => true,
            "false" => false,
            _ => return None,
        },
        level,
    })
}

fn gather(changes: &mut Vec<Change>, messages: &mut Vec<String>) {
    let mut in_snapshot = BTreeMap::new();
    for batch in changes.chunk_by(|a, b| (&a.symbol, a.recv, a.is_snapshot) == (&b.symbol, b.recv, b.is_snapshot)) {
        let last = batch.last().unwrap();
        let levels: Vec<LevelChange> = batch.iter().filter_map(|change| change.level).collect();
        let was_snapshot = in_snapshot.insert(last.symbol.clone(), last.is_snapshot) == Some(true);
        let book = BookMessage {
            symbol: &last.symbol,
            link: Link::None,
            exchange_ns: last.exchange_ns,
            is_snapshot: last.is_snapshot && !was_snapshot,
            is_last: true,
            depth_max: None,
            checksum: None,
            levels: &levels,
        };
        messages.push(format!("{} {:?}", last.recv, Message::Book(book)));
    }
    changes.clear();
}

fn message(fields: &Fields, names: &[&str], columns: &[&str], file_name: &str) -> Option<String> {
    let symbol = || fields.get("symbol").copied().filter(|symbol| !symbol.is_empty());
    let exchange_ns = || time(fields, "timestamp");
    let ignored = |ignored| Some(format!("{:?}", Message::Ignored(ignored)));
    let optional = |name: &str| match *fields.get(name)? {
        "" => Some(None),
        text => price(text).map(Some),
    };
    let has = |name: &str| fields.contains_key(name);
    let mut levels = Vec::new();
    let message = if has("asks[0].price") {
        for (letter, side) in [("bids", Side::Buy), ("asks", Side::Sell)] {
            for (at, name) in names.iter().enumerate() {
                if name.starts_with(&format!("{letter}[")) && name.ends_with("].price") && !columns[at].is_empty() {
                    levels.push(LevelChange { side, price: price(columns[at])?, qty: qty(columns.get(at + 1)?)? });
                }
            }
        }
        Message::PartialDepth(SnapshotMessage { symbol: Some(symbol()?), last_id: 0, exchange_ns: exchange_ns()?, levels: &levels })
    } else if has("strike_price") {
        return ignored(Ignored::Ticker);
    } else if has("funding_rate") {
        let Some(price) = optional("mark_price")? else { return ignored(Ignored::Ticker) };
        let funding_rate = match *fields.get("funding_rate")? {
            "" => None,
            text => Some(rate(text)?),
        };
        let next_funding_ns = if fields.get("funding_timestamp")?.is_empty() { 0 } else { time(fields, "funding_timestamp")? };
        let (symbol, index_price, exchange_ns) = (symbol()?, optional("index_price")?, exchange_ns()?);
        Message::Mark(MarkMessage { symbol, price, index_price, funding_rate, next_funding_ns, exchange_ns })
    } else if has("bid_price") {
        let level = |price: &str, amount: &str| match optional(price)? {
            Some(price) => Some(Level { price, qty: qty(fields.get(amount)?)? }),
            None => Some(Level::default()),
        };
        let bbo = Bbo { bid: level("bid_price", "bid_amount")?, ask: level("ask_price", "ask_amount")? };
        Message::Quote(QuoteMessage { symbol: symbol()?, id: 0, bbo, exchange_ns: exchange_ns()? })
    } else {
        let side = *fields.get("side")?;
        let is_known = side == "buy" || side == "sell";
        let (symbol, price, qty, exchange_ns) =
            (symbol()?, price(fields.get("price")?)?, qty(fields.get("amount")?)?, exchange_ns()?);
        let of = if side == "buy" { Side::Buy } else { Side::Sell };
        if file_name.contains("liquidations") {
            Message::Liquidation(LiquidationMessage { symbol, side: Some(of).filter(|_| is_known)?, price, qty, exchange_ns })
        } else if is_known || side == "unknown" {
            let id = match *fields.get("id")? {
                "" => 0,
                id => folded(id),
            };
            Message::Trade(TradeMessage { symbol, id, price, qty, aggressor: Some(of).filter(|_| is_known), exchange_ns })
        } else {
            return None;
        }
    };
    Some(format!("{message:?}"))
}

fn lines_of(file: &str) -> Vec<String> {
    file.lines().map(str::to_owned).collect()
}

#[test]
fn agrees_on_the_committed_files() {
    let mut taken = 0;
    for (place, file) in corpus("tardis_csv_file").iter().enumerate() {
        let lines = lines_of(file);
        let name = ["x_trades_x", "x_liquidations_x"][place % 2];
        let ours = decoded(name, &lines);
        taken += ours.1.len();
        assert_eq!(ours, reference(name, &lines), "{file}");
    }
    assert!(taken >= 15, "{taken} messages");
}

/// File, rows, messages.
const FILES: [(&str, usize, usize); 7] = [
    ("binance-futures_trades_2020-02-22_BTCUSDT_first7000.csv.zst", 7_000, 7_000),
    ("binance-futures_quotes_2020-02-22_BTCUSDT_first7000.csv.zst", 7_000, 7_000),
    ("deribit_incremental_book_L2_BTC-PERPETUAL.csv", 15, 1),
    ("binance-futures_book_snapshot_25_BTCUSDT.csv", 10, 10),
    ("binance-futures_book_snapshot_5_BTCUSDT.csv", 10, 10),
    ("bitmex_trades_XBTUSD.csv", 10, 10),
    ("huobi-dm-swap_quotes_BTC-USD.csv", 10, 10),
];

#[test]
fn agrees_on_every_sample() {
    for (name, rows, messages) in FILES {
        let Some(lines) = capture(&format!("tardis_csv/{name}")) else { continue };
        let ours = decoded(name, &lines);
        assert!(ours.0.iter().all(|taken| *taken), "{name}");
        assert_eq!((ours.0.len() - 1, ours.1.len()), (rows, messages), "{name}");
        assert!(!ours.1.iter().any(|message| message.contains("Ignored")), "{name}");
        assert_eq!(ours, reference(name, &lines), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn agrees_on_changed_files(choice in any::<prop::sample::Index>(), mutations in mutations(), is_trades in any::<bool>()) {
        thread_local! {
            static CORPUS: Vec<String> = corpus("tardis_csv_file");
        }
        let name = if is_trades { "x_trades_x" } else { "x_liquidations_x" };
        let lines = lines_of(&CORPUS.with(|corpus| mutated(choice.get::<String>(corpus), &mutations)).replace('"', ""));
        prop_assert_eq!(decoded(name, &lines), reference(name, &lines), "{:?}", lines);
    }
}

/// A second snapshot begins the book anew; a snapshot in two parts does not.
#[test]
fn a_book_begins_anew_where_snapshot_turns_true() {
    let mut lines = vec!["exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount".to_owned()];
    for (time, is_snapshot, price) in [(1, true, 10), (1, true, 11), (2, true, 12), (3, false, 13), (4, true, 14), (4, false, 15)] {
        lines.push(format!("deribit,A,158569920024500{time},158569920035568{time},{is_snapshot},bid,{price},1"));
    }
    let (_, messages) = decoded("", &lines);
    let seen: Vec<_> = messages.iter().map(|m| (m.contains("is_snapshot: true"), m.matches("LevelChange").count())).collect();
    assert_eq!(seen, [(true, 2), (false, 1), (false, 1), (true, 1), (false, 1)]);
}
