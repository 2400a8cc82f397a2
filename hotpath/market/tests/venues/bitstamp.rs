use super::reference::{Json, agrees_with_reference, capture, decimal, decoded, difference, pairs, received, shown};
use chronos_market::decode::*;
use chronos_market::{Price, Qty, Side};

/// The symbol given to replies and logs.
struct Reference(&'static str);

impl Reference {
    fn decode(&self, root: &Json) -> Option<Vec<String>> {
        let Some(event) = root.text("event") else {
            return if root.get("timestamp").is_some() { reply(root, self.0) } else { None };
        };
        if event.starts_with("bts:") {
            return Some(vec![shown(Message::Ignored(Ignored::Control))]);
        }
        let (channel, data) = (root.text("channel")?, root.get("data")?);
        if let Some(symbol) = channel.strip_prefix("live_orders_") {
            let (micros, exchange_ns) = micros(data)?;
            let link = match (root.text("pre_event_id"), root.text("event_id")) {
                (Some(previous), Some(this)) => Link::Chained { previous: id_time(previous)?, this: id_time(this)? },
                _ => Link::Rising(micros),
            };
            order(event, data, symbol, link, exchange_ns)
        } else if let Some(symbol) = channel.strip_prefix("live_trades_") {
            if event != "trade" {
                return None;
            }
            Some(vec![shown(Message::Trade(TradeMessage {
                symbol,
                id: data.get("id")?.unsigned()?,
                price: data.get("price_str")?.positive_price()?,
                qty: data.get("amount_str")?.qty()?,
                aggressor: Some(side(data.get("type")?)?),
                exchange_ns: micros(data)?.1,
            }))])
        } else if let Some(symbol) = channel.strip_prefix("diff_order_book_") {
            if event == "snapshot" {
                return reply(data, symbol);
            }
            let (micros, exchange_ns) = micros(data).filter(|_| event == "data")?;
            let mut levels = pairs(data.get("bids")?, Side::Buy)?;
            levels.extend(pairs(data.get("asks")?, Side::Sell)?);
            Some(vec![book(symbol, micros, exchange_ns, false, &levels)])
        } else {
            let symbol = channel.strip_prefix("detail_order_book_").or_else(|| channel.strip_prefix("order_book_"))?;
            let (last_id, exchange_ns) = time(data).filter(|_| event == "data")?;
            let levels = summed(data)?;
            let snapshot = SnapshotMessage { symbol: Some(symbol), last_id, exchange_ns, levels: &levels };
            Some(vec![shown(Message::PartialDepth(snapshot))])
        }
    }

    /// A line of the log after its receive time.
    fn decode_logged(&self, event: &str, data: &Json) -> Option<Vec<String>> {
        match event {
            "order_book" => {
                let levels = summed(data)?;
                let snapshot = SnapshotMessage { symbol: Some(self.0), last_id: 0, exchange_ns: 0, levels: &levels };
                Some(vec![shown(Message::PartialDepth(snapshot))])
            }
            "trade" => {
                let _: (f64, f64) = (data.get("price")?.digits()?.parse().ok()?, data.get("amount")?.digits()?.parse().ok()?);
                Some(vec![shown(Message::Ignored(Ignored::Statistics))])
            }
            _ => {
                let seconds = i64::try_from(data.get("datetime")?.unsigned()?).ok()?;
                order(event, data, self.0, Link::None, seconds.checked_mul(1_000_000_000)?)
            }
        }
    }
}

fn micros(data: &Json) -> Option<(u64, i64)> {
    let micros = data.get("microtimestamp")?.unsigned()?;
    Some((micros, i64::try_from(i128::from(micros) * 1_000).ok()?))
}

fn time(data: &Json) -> Option<(u64, i64)> {
    if data.get("microtimestamp").is_some() {
        return micros(data);
    }
    let nanos = i64::try_from(i128::from(data.get("timestamp")?.unsigned()?) * 1_000_000_000).ok()?;
    Some((nanos as u64 / 1_000, nanos))
}

fn id_time(id: &str) -> Option<u64> {
    let groups: Vec<&str> = id.split('-').collect();
    let is_id = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
    if !is_id || !groups.concat().chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(&groups[..3].concat(), 16).ok()
}

fn side(value: &Json) -> Option<Side> {
    match value.unsigned()? {
        0 => Some(Side::Buy),
        1 => Some(Side::Sell),
        _ => None,
    }
}

fn order(event: &str, data: &Json, symbol: &str, link: Link, exchange_ns: i64) -> Option<Vec<String>> {
    let first_of = |names: [&str; 2]| names.iter().find_map(|name| data.get(name));
    let id = first_of(["id_str", "id"])?.unsigned()?;
    let resting = || {
        let (side, qty) = (side(data.get("order_type")?)?, first_of(["amount_str", "amount"])?.qty()?);
        let price = first_of(["price_str", "price"])?.book_price(side)?;
        Some(price.map(|price| RestingOrder { id, side, price, qty }))
    };
    let action = match event {
        "order_created" => resting()?.map_or(OrderAction::Nothing, OrderAction::Add),
        "order_changed" => resting()?.map_or(OrderAction::Delete { id }, OrderAction::Modify),
        "order_deleted" => OrderAction::Delete { id },
        _ => return None,
    };
    Some(vec![shown(Message::Order(OrderMessage { symbol, link, exchange_ns, is_last: true, action }))])
}

fn book(symbol: &str, micros: u64, exchange_ns: i64, is_snapshot: bool, levels: &[LevelChange]) -> String {
    shown(Message::Book(BookMessage {
        symbol,
        link: Link::Rising(micros),
        exchange_ns,
        is_snapshot,
        is_last: true,
        depth_max: None,
        checksum: None,
        levels,
    }))
}

/// Both sides, neighbours of one price together.
fn summed(data: &Json) -> Option<Vec<LevelChange>> {
    let mut levels: Vec<LevelChange> = Vec::new();
    for (name, side) in [("bids", Side::Buy), ("asks", Side::Sell)] {
        for level in pairs(data.get(name)?, side)? {
            match levels.last_mut() {
                Some(last) if last.price == level.price && last.side == side => last.qty.0 = last.qty.0.checked_add(level.qty.0)?,
                _ => levels.push(level),
            }
        }
    }
    Some(levels)
}

fn reply(root: &Json, symbol: &str) -> Option<Vec<String>> {
    let (bids, asks) = (root.get("bids")?, root.get("asks")?);
    let (micros, exchange_ns) = time(root)?;
    let first = [bids, asks].into_iter().filter_map(Json::list).flatten().next();
    if first.and_then(Json::list).is_none_or(|row| row.len() < 3) {
        return Some(vec![book(symbol, micros, exchange_ns, true, &summed(root)?)]);
    }
    let mut orders = Vec::new();
    for (rows, side) in [(bids, Side::Buy), (asks, Side::Sell)] {
        for row in rows.list()? {
            let [price, qty, id, ..] = row.list()? else { return None };
            let (id, qty) = (id.unsigned()?, qty.qty()?);
            orders.extend(price.book_price(side)?.map(|price| RestingOrder { id, side, price, qty }));
        }
    }
    let (symbol, link) = (Some(symbol), Link::Rising(micros));
    Some(vec![shown(Message::OrderSnapshot(OrderSnapshotMessage { symbol, link, exchange_ns, orders: &orders }))])
}

fn of_symbol(symbol: &str) -> BitstampDecoder {
    let mut decoder = BitstampDecoder::new();
    decoder.set_symbol(symbol);
    decoder
}

agrees_with_reference!("bitstamp_message", of_symbol("ltcbtc"), Reference("ltcbtc"));

#[test]
fn agrees_on_the_capture_of_2022() {
    let Some(lines) = capture("cryptofeed/BITSTAMP.ws.1.0.txt.zst") else { return };
    let mut decoder = of_symbol("");
    let (mut messages, mut diffs, mut trades) = (0, 0, 0);
    for raw in received(&lines) {
        let ours = decoded(&mut decoder, raw.as_bytes());
        assert!(decoder.recognises(raw.as_bytes()) && ours.is_ok(), "{ours:?}: {raw}");
        messages += 1;
        diffs += ours.iter().flatten().filter(|message| message.contains("Book(")).count();
        trades += ours.iter().flatten().filter(|message| message.contains("Trade(")).count();
        if let Some(difference) = difference(ours, raw, |root| Reference("").decode(root)) {
            panic!("{difference}");
        }
    }
    assert_eq!((messages, diffs, trades), (747, 717, 10));
}

#[test]
fn agrees_on_the_replies_of_2022() {
    let Some(lines) = capture("cryptofeed/BITSTAMP.http.0.0.txt.zst") else { return };
    let mut replies = 0;
    for line in lines.iter().filter(|line| line.contains("/order_book/")) {
        let raw = line.split_once(" -> ").unwrap().1.split_once(": ").unwrap().1;
        let ours = decoded(&mut of_symbol("x"), raw.as_bytes());
        assert!(ours.iter().flatten().all(|message| message.contains("is_snapshot: true")), "{raw}");
        if let Some(difference) = difference(ours, raw, |root| Reference("x").decode(root)) {
            panic!("{difference}");
        }
        replies += 1;
    }
    assert_eq!(replies, 10);
}

#[test]
fn agrees_on_the_log_of_2015() {
    let Some(lines) = capture("l3_bitstamp/bitstamp_btcusd_2015-05-01.log.xz") else { return };
    let mut decoder = of_symbol("btcusd");
    let mut counts = [0; 5];
    for line in &lines {
        let (_, raw) = line.split_once(' ').unwrap();
        let (event, json) = raw.split_once(' ').unwrap();
        let kind =
            ["order_created", "order_deleted", "order_changed", "trade", "order_book"].iter().position(|name| *name == event);
        counts[kind.unwrap()] += 1;
        let ours = decoded(&mut decoder, raw.as_bytes());
        assert!(decoder.recognises(raw.as_bytes()) && ours.is_ok(), "{raw}");
        if let Some(difference) = difference(ours, json, |data| Reference("btcusd").decode_logged(event, data)) {
            panic!("{difference}");
        }
    }
    assert_eq!(counts, [24_894, 24_918, 602, 575, 5_011]);
}

/// The recorder's own table of the same events: id, receive ms, exchange ms, price, remaining 1e-8 BTC, action, side.
#[test]
fn the_log_becomes_the_recorders_table() {
    let Some(log) = capture("l3_bitstamp/bitstamp_btcusd_2015-05-01.log.xz") else { return };
    let Some(table) = capture("l3_bitstamp/bitstamp_btcusd_2015-05-01_orders.csv.xz") else { return };
    struct Rows(Vec<(String, i64)>);
    impl DecodeSink for Rows {
        fn message(&mut self, recv: chronos_market::Timestamp, message: &Message<'_>) {
            let Message::Order(order) = message else { return };
            let (id, action) = match order.action {
                OrderAction::Add(resting) => (resting.id, Some((resting, "created"))),
                OrderAction::Modify(resting) => (resting.id, Some((resting, "changed"))),
                OrderAction::Delete { id } => (id, None),
                other => panic!("{other:?}"),
            };
            let side = |side| if side == Side::Buy { "bid" } else { "ask" };
            self.0.push(match action {
                Some((RestingOrder { side: of, price: Price(price), qty: Qty(qty), .. }, action)) => {
                    let ms = order.exchange_ns / 1_000_000;
                    (format!("{id} {} {ms} {price} {action} {}", recv.0 / 1_000_000, side(of)), qty)
                }
                None => (format!("{id} {} deleted", recv.0 / 1_000_000), 0),
            });
        }
    }
    let mut rows = Rows(Vec::new());
    let mut decoder = of_symbol("btcusd");
    for line in &log {
        let line = split_capture_line(line.as_bytes()).unwrap();
        decoder.decode(line.message, line.recv, &mut rows).unwrap();
    }
    let header: Vec<&str> = table[0].split(',').map(|name| name.trim_matches('"')).collect();
    let mut expected: Vec<(String, i64)> = table[1..]
        .iter()
        .map(|row| {
            let columns: Vec<&str> = row.split(',').map(|column| column.trim_matches('"')).collect();
            let column =
                |name: &str| columns[header.iter().position(|known| *known == name).unwrap_or_else(|| panic!("{header:?}"))];
            let (id, recv, action) = (column("id"), column("timestamp"), column("action"));
            if action == "deleted" {
                return (format!("{id} {recv} deleted"), 0);
            }
            let price = decimal(column("price"), 9).unwrap();
            let ms = column("exchange.timestamp");
            (format!("{id} {recv} {ms} {price} {action} {}", column("direction")), column("volume").parse().unwrap())
        })
        .collect();
    rows.0.sort();
    expected.sort();
    assert_eq!(rows.0.len(), 50_414);
    for ((ours, qty), (theirs, volume)) in rows.0.iter().zip(&expected) {
        // The table cut 8.65238172 * 1e8, a float just below a whole number, down to one.
        assert!(ours == theirs && (0..=1).contains(&(qty - volume)), "{ours} {qty}, table: {theirs} {volume}");
    }
}

#[test]
fn messages_of_a_chain_name_the_one_before() {
    let message = |previous: &str, this: &str| {
        format!(
            r#"{{"data":{{"id":5,"id_str":"9007199254740993","order_type":1,"microtimestamp":"1788551766364000","amount":0.1,"amount_str":"0.10000000","price":7.5,"price_str":"7.50"}},"channel":"live_orders_btcusd","event":"order_changed","event_id":"{this}","pre_event_id":"{previous}"}}"#
        )
    };
    let raw = message("00065aad-a8b2-3408-0000-000102000020", "00065aad-a8b2-4f60-0000-000103000020");
    let order = RestingOrder { id: 9_007_199_254_740_993, side: Side::Sell, price: Price(7_500_000_000), qty: Qty(10_000_000) };
    let expected = shown(Message::Order(OrderMessage {
        symbol: "btcusd",
        link: Link::Chained { previous: 1_788_551_766_357_000, this: 1_788_551_766_364_000 },
        exchange_ns: 1_788_551_766_364_000_000,
        is_last: true,
        action: OrderAction::Modify(order),
    }));
    assert_eq!(decoded(&mut BitstampDecoder::new(), raw.as_bytes()), Ok(vec![expected]));
}
