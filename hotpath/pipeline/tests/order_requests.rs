//! Order requests and signatures against documented ones: `binance-spot.md`, `binance-usdm.md` and the requests recorded by ccxt.

use chronos_market::{
    Contract, Exchange, Instrument, InstrumentId, NewOrder, OrderCommand, OrderId, Price, Qty, Side, TimeInForce, Timestamp,
};
use chronos_pipeline::gateway::{
    ApiKey, OrderBytes, OrderChannel, OrderEncoder, OrderKind, OrderRequest, OrderResponse, OrderTerms, RequestTemplate,
    SelfTradePrevention, Signer, Values,
};
use chronos_tests::formats_file;
use serde_json::Value;
use std::collections::BTreeMap;

fn instrument(exchange: Exchange, symbol: &str) -> Instrument {
    Instrument { exchange, symbol: symbol.into(), tick: Price(1), lot: Qty(1), contract: Contract::spot() }
}

/// A text between backticks behind `before`.
fn quoted<'a>(text: &'a str, before: &str) -> &'a str {
    let from = text.find(before).unwrap_or_else(|| panic!("`{before}` is not in the sheet")) + before.len();
    text[from..].split('`').nth(1).unwrap()
}

/// A line of a sheet that says what the HMAC of a payload is.
struct HmacLine {
    /// What stands in backticks and is a payload, or a part of one.
    payloads: Vec<String>,
    /// Texts of 64 hexadecimal digits.
    signatures: Vec<String>,
}

fn hmac_lines(sheet: &str) -> impl Iterator<Item = HmacLine> + '_ {
    sheet.lines().filter_map(|line| {
        let is_hex = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let words = line.split(|character: char| !character.is_ascii_alphanumeric());
        let signatures: Vec<String> = words.filter(is_hex).map(str::to_owned).collect();
        let is_payload = |text: &&str| text.contains('=') || text.starts_with('%');
        let payloads: Vec<String> = line.split('`').skip(1).step_by(2).filter(is_payload).map(str::to_owned).collect();
        (!signatures.is_empty() && !payloads.is_empty()).then_some(HmacLine { payloads, signatures })
    })
}

#[test]
fn hmac_signatures_are_the_documented_ones() {
    for (name, key_before) in [("binance-spot.md", "apiKey"), ("binance-usdm.md", "Vectors (key")] {
        let Some(path) = formats_file(name) else { continue };
        let sheet = std::fs::read_to_string(path).unwrap();
        let keys = sheet.lines().find(|line| line.contains(key_before) && line.contains("secret `")).unwrap();
        let key = quoted(keys, key_before);
        let signer = Signer::hmac_sha256(quoted(keys, "secret").as_bytes()).unwrap();
        let sign = |payload: &str| String::from_utf8(signer.sign(payload.as_bytes()).as_bytes().to_vec()).unwrap();
        let mut compared = 0;
        let mut first = None::<String>;
        for line in hmac_lines(&sheet) {
            // A payload with a stray space is one that the sheet calls an error of the documents.
            let (strays, parts): (Vec<String>, Vec<String>) = line.payloads.into_iter().partition(|text| text.contains("= "));
            let mut payload = parts.concat().replace("<apiKey>", key);
            if payload.starts_with('%') {
                // "same but symbol=": only what differs is named.
                let base = first.as_ref().expect("a payload before it");
                payload = base.replacen(base.split(['=', '&']).nth(1).unwrap(), &payload, 1);
            }
            assert_eq!(sign(&payload), line.signatures[0], "{name}: {payload}");
            compared += 1;
            for (stray, signature) in strays.iter().zip(&line.signatures[1..]) {
                let with_error = payload.replacen(&stray.replacen("= ", "=", 1), stray, 1);
                assert_eq!(sign(&with_error), *signature, "{name}: {with_error}");
                compared += 1;
            }
            first.get_or_insert(payload);
        }
        assert!(compared >= 2, "{name}: only {compared} signatures were found");
        println!("{name}: {compared} signatures");
    }
}

#[cfg(feature = "live")]
#[test]
fn ed25519_signatures_are_the_documented_ones() {
    let Some(path) = formats_file("binance-spot.md") else { return };
    let sheet = std::fs::read_to_string(path).unwrap();
    let seed = quoted(&sheet, "RFC 8032 test-1 seed");
    let seed: Vec<u8> = (0..32).map(|place| u8::from_str_radix(&seed[place * 2..place * 2 + 2], 16).unwrap()).collect();
    let signer = Signer::ed25519(&seed).unwrap();
    let is_signature = |text: &&str| text.len() == 88 && text.ends_with("==");
    let mut payload = "";
    let mut compared = 0;
    for text in sheet.split('`').skip(1).step_by(2) {
        if is_signature(&text) {
            assert_eq!(signer.sign(payload.as_bytes()).as_bytes(), text.as_bytes(), "{payload}");
            compared += 1;
        } else {
            payload = text;
        }
    }
    assert!(compared >= 2, "only {compared} signatures were found");
}

#[cfg(feature = "live")]
#[test]
fn an_ed25519_signature_is_percent_encoded_in_a_url_and_not_in_json() {
    let usdm = instrument(Exchange::BinanceUsdm, "X");
    let values = Values { price: Price(0), qty: Qty(0), client_id: b"1", timestamp_ms: 5 };
    let written = |channel: &OrderChannel| {
        let key = ApiKey::new("k", Signer::ed25519(&[3; 32]).unwrap());
        let template = RequestTemplate::new(&usdm, &OrderRequest::Cancel, None, channel, &key);
        let (mut payload, mut request) = (OrderBytes::new(), OrderBytes::new());
        let signer = Signer::ed25519(&[3; 32]).unwrap();
        template.write(&values, &signer, &mut payload, &mut request).unwrap();
        let signature = String::from_utf8(signer.sign(payload.as_bytes()).as_bytes().to_vec()).unwrap();
        (String::from_utf8(request.as_bytes().to_vec()).unwrap(), signature)
    };
    let (rest, signature) = written(&OrderChannel::Rest { host: "h".into() });
    let encoded = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    assert!(rest.contains(&format!("&signature={encoded} HTTP/1.1\r\n")), "{rest}");
    let (json, signature) = written(&OrderChannel::WebSocketApi);
    assert!(json.ends_with(&format!("\"signature\":\"{signature}\"}}}}")), "{json}");
}

/// What a recorded case asks for, read from its input.
struct Asked {
    exchange: Exchange,
    symbol: String,
    request: OrderRequest,
    client_id: String,
    price: Price,
    qty: Qty,
}

fn decimal(value: &Value) -> String {
    value.as_f64().map(|number| format!("{number}")).unwrap_or_default()
}

/// A number of the input cut to the places that the recorded request has, as the venue's steps demand; rounded where `is_rounded`.
fn cut(value: &Value, recorded: Option<&String>, is_rounded: bool) -> String {
    let places = recorded.and_then(|text| text.split_once('.')).map_or(0, |(_, fraction)| fraction.len()) as i32;
    let scaled = value.as_f64().unwrap_or_default() * 10_f64.powi(places);
    let steps = if is_rounded { scaled.round() } else { (scaled + 1e-9).floor() };
    format!("{:.*}", places as usize, steps / 10_f64.powi(places))
}

fn asked(case: &Value, recorded: &BTreeMap<String, String>) -> Asked {
    let input = case["input"].as_array().unwrap();
    let exchange = if case["url"].as_str().unwrap().contains("/fapi/") { Exchange::BinanceUsdm } else { Exchange::BinanceSpot };
    let text = |place: usize| input.get(place).and_then(Value::as_str).unwrap_or_default();
    let symbol_of = |market: &str| market.split(':').next().unwrap_or_default().replace('/', "");
    let recv_side = |side: &str| if side == "buy" { Side::Buy } else { Side::Sell };
    let plain = |request, symbol: &str, client_id: &str| Asked {
        exchange,
        symbol: symbol_of(symbol),
        request,
        client_id: client_id.into(),
        price: Price(0),
        qty: Qty(0),
    };
    match case["ccxt_method"].as_str().unwrap() {
        "cancelOrderWithClientOrderId" => plain(OrderRequest::Cancel, text(1), text(0)),
        "fetchOrderWithClientOrderId" => plain(OrderRequest::Query, text(1), text(0)),
        "cancelOrders" => {
            let ids = input[2]["clientOrderIds"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
            plain(OrderRequest::CancelMany(ids), text(1), "")
        }
        "editOrderWithClientOrderId" => Asked {
            price: Price::parse(decimal(&input[5]).as_bytes()).unwrap(),
            qty: Qty::parse(decimal(&input[4]).as_bytes()).unwrap(),
            ..plain(OrderRequest::Modify(recv_side(text(3))), text(1), text(0))
        },
        "createOrder" => {
            let more = input.get(5).cloned().unwrap_or_default();
            let is_market = text(1) == "market";
            let trigger = more.get("triggerPrice").map(|trigger| Price::parse(decimal(trigger).as_bytes()).unwrap());
            let is_quote = recorded.contains_key("quoteOrderQty");
            let kind = match trigger {
                Some(trigger) => OrderKind::StopLimit { trigger },
                None if is_market && is_quote => OrderKind::MarketQuote,
                None if is_market => OrderKind::Market,
                None if more.get("postOnly").is_some() => OrderKind::Limit(TimeInForce::PostOnly),
                None => OrderKind::Limit(TimeInForce::GoodTilCancelled),
            };
            let response = if exchange == Exchange::BinanceSpot { OrderResponse::Full } else { OrderResponse::Result };
            let terms = OrderTerms {
                response: Some(response),
                self_trade_prevention: more.get("selfTradePrevention").map(|mode| match mode.as_str().unwrap() {
                    "expire_maker" => SelfTradePrevention::ExpireMaker,
                    "expire_taker" => SelfTradePrevention::ExpireTaker,
                    _ => SelfTradePrevention::ExpireBoth,
                }),
                iceberg_qty: more.get("icebergAmount").map(|qty| Qty::parse(decimal(qty).as_bytes()).unwrap()),
                is_test: more.get("test").is_some(),
                ..OrderTerms::new(recv_side(text(2)), kind)
            };
            // ccxt turns a market buy on spot into an amount of quote currency: amount times price.
            let qty = match kind {
                OrderKind::MarketQuote => format!("{}", input[3].as_f64().unwrap() * input[4].as_f64().unwrap()),
                _ => cut(&input[3], recorded.get("quantity"), false),
            };
            let price = if is_market { "0".into() } else { cut(&input[4], recorded.get("price"), true) };
            Asked {
                price: Price::parse(price.as_bytes()).unwrap(),
                qty: Qty::parse(qty.as_bytes()).unwrap(),
                ..plain(OrderRequest::Place(terms), text(0), recorded.get("newClientOrderId").map_or("", String::as_str))
            }
        }
        other => panic!("no request is known for `{other}`"),
    }
}

fn parameters(form: &str) -> BTreeMap<String, String> {
    form.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn requests_are_those_recorded_by_ccxt() {
    let Some(path) = formats_file("samples/ccxt-binance-requests.json") else { return };
    let samples: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = samples["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let description = case["description"].as_str().unwrap();
        let url = case["url"].as_str().unwrap();
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let mut recorded = parameters(case["form_body"].as_str().unwrap_or(query));
        let asked = asked(case, &recorded);
        let window = recorded["recvWindow"].parse().unwrap();
        let signer = || Signer::hmac_sha256(b"never published").unwrap();
        let (scheme, rest) = address.split_once("://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        assert_eq!(scheme, "https");
        let template = RequestTemplate::new(
            &instrument(asked.exchange, &asked.symbol),
            &asked.request,
            Some(window),
            &OrderChannel::Rest { host: host.into() },
            &ApiKey::new("the key", signer()),
        );
        let values = Values {
            price: asked.price,
            qty: asked.qty,
            client_id: asked.client_id.as_bytes(),
            timestamp_ms: recorded["timestamp"].parse().unwrap(),
        };
        let (mut payload, mut request) = (OrderBytes::new(), OrderBytes::new());
        template.write(&values, &signer(), &mut payload, &mut request).unwrap();
        let request = String::from_utf8(request.as_bytes().to_vec()).unwrap();
        let payload = String::from_utf8(payload.as_bytes().to_vec()).unwrap();

        // Method, path, place of the parameters, headers, signature.
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap();
        let headers: Vec<&str> = lines.collect();
        let signature = String::from_utf8(signer().sign(payload.as_bytes()).as_bytes().to_vec()).unwrap();
        let signed = format!("{payload}&signature={signature}");
        let method = case["http_method"].as_str().unwrap();
        if case["form_body"].is_string() {
            assert_eq!((start, body), (format!("{method} /{path} HTTP/1.1").as_str(), signed.as_str()), "{description}");
            assert!(headers.contains(&"Content-Type: application/x-www-form-urlencoded"), "{description}");
            let length = headers.iter().find_map(|header| header.strip_prefix("Content-Length:")).unwrap();
            assert_eq!(length.trim().parse(), Ok(body.len()), "{description}");
        } else {
            assert_eq!((start, body), (format!("{method} /{path}?{signed} HTTP/1.1").as_str(), ""), "{description}");
        }
        assert!(headers.contains(&format!("Host: {host}").as_str()) && headers.contains(&"X-MBX-APIKEY: the key"));

        // The parameters. ccxt writes one name in lower case, leaves the venue's empty `orderId` in a change and says the id twice
        // there; it names a conditional order's id as a plain one's, and its test passes over that name.
        let mut ours = parameters(&payload);
        if let Some(list) = ours.remove("origClientOrderIdList") {
            ours.insert("origclientorderidlist".into(), list);
        }
        if matches!(asked.request, OrderRequest::Modify(_)) {
            assert_eq!(
                (recorded.remove("orderId").as_deref(), recorded.remove("clientOrderId")),
                (Some(""), Some(asked.client_id))
            );
        }
        if let Some(id) = ours.remove("clientAlgoId") {
            ours.insert("newClientOrderId".into(), id);
        }
        assert_eq!(ours, recorded, "{description}");
    }
    println!("{} requests", cases.len());
}

#[test]
fn commands_of_a_session_become_signed_requests() {
    let spot = instrument(Exchange::BinanceSpot, "BTCUSDT");
    let usdm = instrument(Exchange::BinanceUsdm, "ETHUSDT");
    let key = || ApiKey::new("K", Signer::hmac_sha256(b"S").unwrap());
    let mut rest = OrderEncoder::new(&[spot.clone(), usdm.clone()], Some(5_000), &OrderChannel::Rest { host: "h".into() }, key());
    let mut json = OrderEncoder::new(&[spot, usdm], Some(5_000), &OrderChannel::WebSocketApi, key());
    let order = NewOrder {
        id: OrderId::new(1, 2),
        instrument: InstrumentId(1),
        side: Side::Sell,
        price: Price::parse(b"2500.10").unwrap(),
        qty: Qty::parse(b"0.5").unwrap(),
        time_in_force: TimeInForce::PostOnly,
        reduce_only: true,
        signal: 0.0,
    };
    let sign =
        |payload: &str| String::from_utf8(Signer::hmac_sha256(b"S").unwrap().sign(payload.as_bytes()).as_bytes().to_vec()).unwrap();
    let now = Timestamp(1_700_000_000_123_456_789);
    let payload = "timestamp=1700000000123&symbol=ETHUSDT&side=SELL&newClientOrderId=4294967298&type=LIMIT&quantity=0.5&price=2500.1\
                   &timeInForce=GTX&reduceOnly=true&recvWindow=5000";
    let body = format!("{payload}&signature={}", sign(payload));
    let expected = format!(
        "POST /fapi/v1/order HTTP/1.1\r\nHost: h\r\nX-MBX-APIKEY: K\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {:>4}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..2 {
        assert_eq!(String::from_utf8_lossy(rest.encode(now, &OrderCommand::New(order)).unwrap()), expected);
    }
    let payload = "apiKey=K&newClientOrderId=4294967298&price=2500.1&quantity=0.5&recvWindow=5000&reduceOnly=true&side=SELL\
                   &symbol=ETHUSDT&timeInForce=GTX&timestamp=1700000000123&type=LIMIT";
    let text = String::from_utf8(json.encode(now, &OrderCommand::New(order)).unwrap().to_vec()).unwrap();
    let message: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&message["method"], &message["id"]), (&"order.place".into(), &"p4294967298".into()));
    let params = message["params"].as_object().unwrap();
    assert_eq!(params["signature"], sign(payload));
    let said: Vec<String> = payload.split('&').map(str::to_owned).collect();
    let mut ours: Vec<String> = params
        .iter()
        .filter(|(name, _)| *name != "signature")
        .map(|(name, value)| format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    ours.sort();
    assert_eq!(ours, said);
    assert!(params["timestamp"].is_u64() && params["recvWindow"].is_u64() && params["price"].is_string());

    // Spot has no reduce-only, and another name for post-only.
    let spot_order = NewOrder { instrument: InstrumentId(0), ..order };
    let text = String::from_utf8(rest.encode(now, &OrderCommand::New(spot_order)).unwrap().to_vec()).unwrap();
    assert!(text.starts_with("POST /api/v3/order ") && text.contains("type=LIMIT_MAKER") && !text.contains("reduceOnly"), "{text}");
    assert!(!text.contains("timeInForce"), "{text}");
    let cancel = OrderCommand::Cancel { id: OrderId::new(1, 2), instrument: InstrumentId(1) };
    let text = String::from_utf8(rest.encode(now, &cancel).unwrap().to_vec()).unwrap();
    assert!(
        text.starts_with("DELETE /fapi/v1/order?timestamp=1700000000123&symbol=ETHUSDT&origClientOrderId=4294967298&"),
        "{text}"
    );
    assert!(rest.encode(now, &OrderCommand::Cancel { id: OrderId(1), instrument: InstrumentId(9) }).is_err());
}
