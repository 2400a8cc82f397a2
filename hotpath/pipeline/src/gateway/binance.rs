//! Binance's order requests, REST and WebSocket API, as signed templates (spot, USD-M and COIN-M; the venue's documents of 2026).
//!
//! Orders of a venue that has no templates of its own are written as Binance spot's: a replay sends them to a sink.

use super::encode::{EncodeError, OrderBytes};
use super::signer::{ApiKey, Signer};
use super::template::{Field, SIGNATURE_NAME, Signed, Template, Values, percent_encoded};
use chronos_market::{Exchange, Instrument, NANOS_PER_MILLI, NewOrder, OrderCommand, Price, Qty, Side, TimeInForce, Timestamp};
use std::fmt::Write as _;

/// What is asked of the venue.
#[derive(Clone, PartialEq, Debug)]
pub enum OrderRequest {
    /// Place an order, [`Field::ClientId`] being its identity.
    Place(OrderTerms),
    /// Cancel the order [`Field::ClientId`].
    Cancel,
    /// Cancel these orders (USD-M and COIN-M, at most 10).
    CancelMany(Vec<String>),
    /// Ask for the order [`Field::ClientId`].
    Query,
    /// Change price and quantity of the order [`Field::ClientId`] (USD-M and COIN-M).
    Modify(Side),
}

/// The terms of an order that stay the same from one to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderTerms {
    /// Buy or sell.
    pub side: Side,
    /// What kind of order.
    pub kind: OrderKind,
    /// Whether it may only make the position smaller. Spot has no such term: what is held is all that can be sold.
    pub reduce_only: bool,
    /// How much the venue answers; `None` leaves it to the venue.
    pub response: Option<OrderResponse>,
    /// What happens where it would trade with an order of ours; `None` leaves it to the venue.
    pub self_trade_prevention: Option<SelfTradePrevention>,
    /// How much of it is displayed (spot); `None` shows all.
    pub iceberg_qty: Option<Qty>,
    /// Have it checked and not placed.
    pub is_test: bool,
}

impl OrderTerms {
    /// Terms with nothing special.
    pub fn new(side: Side, kind: OrderKind) -> OrderTerms {
        OrderTerms {
            side,
            kind,
            reduce_only: false,
            response: None,
            self_trade_prevention: None,
            iceberg_qty: None,
            is_test: false,
        }
    }
}

/// The kinds of orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderKind {
    /// At [`Field::Price`] or better.
    Limit(TimeInForce),
    /// At once, [`Field::Quantity`] of it.
    Market,
    /// At once, [`Field::Quantity`] being the amount of quote currency (spot).
    MarketQuote,
    /// A limit order once the price reaches the trigger.
    StopLimit {
        /// That price.
        trigger: Price,
    },
}

/// How much the venue answers to an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderResponse {
    /// That it was received.
    Ack,
    /// What became of it.
    Result,
    /// And each fill (spot).
    Full,
}

/// Which of two orders of one account gives way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SelfTradePrevention {
    /// The one that comes.
    ExpireTaker,
    /// The one at rest.
    ExpireMaker,
    /// Both.
    ExpireBoth,
}

/// Where requests go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrderChannel {
    /// HTTP/1.1 requests on a connection that stays open.
    Rest {
        /// Host, as in the URL.
        host: String,
    },
    /// Text messages of the WebSocket API.
    WebSocketApi,
}

/// How long after its time a request is still taken, in milliseconds; `None` leaves it to the venue (5,000).
pub type ReceiveWindow = Option<u32>;

/// A request with its signature still to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestTemplate {
    payload: Template,
    request: Template,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Value {
    /// A text or a decimal, as it is.
    Text(String),
    Integer(u64),
    Field(Field),
}

type Parameters = Vec<(&'static str, Value)>;

impl RequestTemplate {
    /// A template of requests about one instrument, for the account of `key`.
    pub fn new(
        instrument: &Instrument,
        request: &OrderRequest,
        window: ReceiveWindow,
        channel: &OrderChannel,
        key: &ApiKey,
    ) -> RequestTemplate {
        let parameters = parameters(instrument, request, window);
        match channel {
            OrderChannel::Rest { host } => rest(instrument.exchange, request, &parameters, host, &key.key),
            OrderChannel::WebSocketApi => web_socket_api(request, parameters, &key.key),
        }
    }

    /// Fills in the fields, signs, and writes the whole request to `request`; `payload` is scratch space and then holds what was
    /// signed.
    ///
    /// # Errors
    /// [`EncodeError`] where it does not fit.
    #[inline]
    pub fn write(
        &self,
        values: &Values<'_>,
        signer: &Signer,
        payload: &mut OrderBytes,
        request: &mut OrderBytes,
    ) -> Result<(), EncodeError> {
        self.payload.write(values, None, payload)?;
        let signature = signer.sign(payload.as_bytes());
        self.request.write(values, Some(&Signed { payload: payload.as_bytes(), signature: &signature }), request)
    }
}

/// Turns the commands of a session into signed requests of one account. Takes no memory after it was made.
pub struct OrderEncoder {
    key: ApiKey,
    instruments: Vec<InstrumentTemplates>,
    payload: OrderBytes,
    request: OrderBytes,
    client_id: OrderBytes,
}

/// One template for each side, time in force and reduce-only.
struct InstrumentTemplates {
    place: Vec<RequestTemplate>,
    cancel: RequestTemplate,
}

const SIDES: [Side; 2] = [Side::Buy, Side::Sell];
const TIMES_IN_FORCE: [TimeInForce; 3] = [TimeInForce::GoodTilCancelled, TimeInForce::ImmediateOrCancel, TimeInForce::PostOnly];

fn place_index(order: &NewOrder) -> usize {
    let side = usize::from(order.side == Side::Sell);
    (side * TIMES_IN_FORCE.len() + order.time_in_force as usize) * 2 + usize::from(order.reduce_only)
}

impl OrderEncoder {
    /// Templates for every instrument.
    pub fn new(instruments: &[Instrument], window: ReceiveWindow, channel: &OrderChannel, key: ApiKey) -> OrderEncoder {
        let templates = |instrument: &Instrument| {
            let of = |request: &OrderRequest| RequestTemplate::new(instrument, request, window, channel, &key);
            let mut place = Vec::new();
            for side in SIDES {
                for time_in_force in TIMES_IN_FORCE {
                    for reduce_only in [false, true] {
                        let terms = OrderTerms::new(side, OrderKind::Limit(time_in_force));
                        place.push(of(&OrderRequest::Place(OrderTerms { reduce_only, ..terms })));
                    }
                }
            }
            InstrumentTemplates { place, cancel: of(&OrderRequest::Cancel) }
        };
        let instruments = instruments.iter().map(templates).collect();
        OrderEncoder { key, instruments, payload: OrderBytes::new(), request: OrderBytes::new(), client_id: OrderBytes::new() }
    }

    /// The request for a command, sent at `now`.
    ///
    /// # Errors
    /// [`EncodeError`] where it does not fit, or its instrument is unknown.
    #[inline]
    pub fn encode(&mut self, now: Timestamp, command: &OrderCommand) -> Result<&[u8], EncodeError> {
        let (id, instrument) = match command {
            OrderCommand::New(order) => (order.id, order.instrument),
            OrderCommand::Cancel { id, instrument } => (*id, *instrument),
        };
        let templates = self.instruments.get(instrument.index()).ok_or(EncodeError)?;
        let (template, price, qty) = match command {
            OrderCommand::New(order) => (templates.place.get(place_index(order)).ok_or(EncodeError)?, order.price, order.qty),
            OrderCommand::Cancel { .. } => (&templates.cancel, Price(0), Qty(0)),
        };
        self.client_id.clear();
        self.client_id.put_unsigned(id.0)?;
        let values = Values { price, qty, client_id: self.client_id.as_bytes(), timestamp_ms: now.0 / NANOS_PER_MILLI };
        template.write(&values, &self.key.signer, &mut self.payload, &mut self.request)?;
        Ok(self.request.as_bytes())
    }
}

/// The parameters of a request, in the order they are sent over REST.
fn parameters(instrument: &Instrument, request: &OrderRequest, window: ReceiveWindow) -> Parameters {
    let exchange = instrument.exchange;
    let text = |text: &str| Value::Text(text.to_owned());
    let mut parameters = vec![("timestamp", Value::Field(Field::Timestamp)), ("symbol", text(&instrument.symbol))];
    match request {
        OrderRequest::Place(terms) => place_parameters(exchange, terms, &mut parameters),
        OrderRequest::Cancel | OrderRequest::Query => parameters.push(("origClientOrderId", Value::Field(Field::ClientId))),
        OrderRequest::Modify(side) => parameters.extend([
            ("side", text(side_name(*side))),
            ("quantity", Value::Field(Field::Quantity)),
            ("price", Value::Field(Field::Price)),
            ("origClientOrderId", Value::Field(Field::ClientId)),
        ]),
        OrderRequest::CancelMany(ids) => {
            let list: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
            parameters.push(("origClientOrderIdList", Value::Text(format!("[{}]", list.join(",")))));
        }
    }
    if let Some(window) = window {
        parameters.push(("recvWindow", Value::Integer(window.into())));
    }
    parameters
}

fn place_parameters(exchange: Exchange, terms: &OrderTerms, parameters: &mut Parameters) {
    let is_futures = has_futures_rules(exchange);
    let text = |text: &str| Value::Text(text.to_owned());
    let is_conditional = is_futures && matches!(terms.kind, OrderKind::StopLimit { .. });
    let client_id = if is_conditional { "clientAlgoId" } else { "newClientOrderId" };
    parameters.extend([("side", text(side_name(terms.side))), (client_id, Value::Field(Field::ClientId))]);
    if let Some(response) = terms.response {
        let name = match response {
            OrderResponse::Ack => "ACK",
            OrderResponse::Result => "RESULT",
            OrderResponse::Full => "FULL",
        };
        parameters.push(("newOrderRespType", text(name)));
    }
    let kind = match (terms.kind, is_futures) {
        (OrderKind::Limit(TimeInForce::PostOnly), false) => "LIMIT_MAKER",
        (OrderKind::Limit(_), _) => "LIMIT",
        (OrderKind::Market | OrderKind::MarketQuote, _) => "MARKET",
        (OrderKind::StopLimit { .. }, false) => "STOP_LOSS_LIMIT",
        (OrderKind::StopLimit { .. }, true) => "STOP",
    };
    let quantity = if terms.kind == OrderKind::MarketQuote { "quoteOrderQty" } else { "quantity" };
    parameters.extend([("type", text(kind)), (quantity, Value::Field(Field::Quantity))]);
    if matches!(terms.kind, OrderKind::Limit(_) | OrderKind::StopLimit { .. }) {
        parameters.push(("price", Value::Field(Field::Price)));
    }
    let time_in_force = match (terms.kind, is_futures) {
        (OrderKind::Limit(TimeInForce::GoodTilCancelled), _) | (OrderKind::StopLimit { .. }, false) => Some("GTC"),
        (OrderKind::Limit(TimeInForce::ImmediateOrCancel), _) => Some("IOC"),
        (OrderKind::Limit(TimeInForce::PostOnly), true) => Some("GTX"),
        _ => None,
    };
    parameters.extend(time_in_force.map(|name| ("timeInForce", text(name))));
    if let OrderKind::StopLimit { trigger } = terms.kind {
        parameters.push((if is_futures { "triggerPrice" } else { "stopPrice" }, Value::Text(trigger.to_string())));
        parameters.extend(is_futures.then(|| ("algoType", text("CONDITIONAL"))));
    }
    if terms.reduce_only && is_futures {
        parameters.push(("reduceOnly", text("true")));
    }
    parameters.extend(terms.self_trade_prevention.map(|mode| {
        let name = match mode {
            SelfTradePrevention::ExpireTaker => "EXPIRE_TAKER",
            SelfTradePrevention::ExpireMaker => "EXPIRE_MAKER",
            SelfTradePrevention::ExpireBoth => "EXPIRE_BOTH",
        };
        ("selfTradePreventionMode", text(name))
    }));
    parameters.extend(terms.iceberg_qty.map(|qty| ("icebergQty", Value::Text(qty.to_string()))));
}

/// Whether orders follow the rules of Binance's futures.
fn has_futures_rules(exchange: Exchange) -> bool {
    matches!(exchange, Exchange::BinanceUsdm | Exchange::BinanceCoinm)
}

fn side_name(side: Side) -> &'static str {
    if side == Side::Buy { "BUY" } else { "SELL" }
}

/// Payload and request over HTTP: in the query where the method has no body, as a form otherwise.
fn rest(exchange: Exchange, request: &OrderRequest, parameters: &Parameters, host: &str, key: &str) -> RequestTemplate {
    let is_conditional =
        matches!(request, OrderRequest::Place(OrderTerms { kind: OrderKind::StopLimit { .. }, .. })) && has_futures_rules(exchange);
    let root = match exchange {
        Exchange::BinanceUsdm => "/fapi/v1",
        Exchange::BinanceCoinm => "/dapi/v1",
        _ => "/api/v3",
    };
    let (method, path) = match request {
        OrderRequest::Place(_) if is_conditional => ("POST", "/algoOrder"),
        OrderRequest::Place(OrderTerms { is_test: true, .. }) => ("POST", "/order/test"),
        OrderRequest::Place(_) => ("POST", "/order"),
        OrderRequest::Cancel => ("DELETE", "/order"),
        OrderRequest::CancelMany(_) => ("DELETE", "/batchOrders"),
        OrderRequest::Query => ("GET", "/order"),
        OrderRequest::Modify(_) => ("PUT", "/order"),
    };
    let mut payload = Template::default();
    for (place, (name, value)) in parameters.iter().enumerate() {
        let joint = if place == 0 { "" } else { "&" };
        payload = payload.text(joint).text(name).text("=");
        payload = match value {
            Value::Text(text) => payload.text(&percent_encoded(text)),
            Value::Integer(number) => payload.text(&number.to_string()),
            Value::Field(field) => payload.field(*field),
        };
    }
    let signed = |template: Template| template.field(Field::Payload).text(SIGNATURE_NAME).field(Field::SignatureEncoded);
    let start = Template::default().text(&format!("{method} {root}{path}"));
    let headers = format!(" HTTP/1.1\r\nHost: {host}\r\nX-MBX-APIKEY: {key}\r\n");
    let request = if matches!(method, "GET" | "DELETE") {
        signed(start.text("?")).text(&headers).text("\r\n")
    } else {
        let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ";
        signed(start.text(&headers).text(form).field(Field::BodyLength).text("\r\n\r\n"))
    };
    RequestTemplate { payload, request }
}

/// Payload and request of the WebSocket API: the payload has the parameters in the order of their names, not percent-encoded.
fn web_socket_api(request: &OrderRequest, mut parameters: Parameters, key: &str) -> RequestTemplate {
    parameters.push(("apiKey", Value::Text(key.to_owned())));
    parameters.sort_by_key(|(name, _)| *name);
    // Of its own for each request on a connection.
    let (mark, method) = match request {
        OrderRequest::Place(OrderTerms { kind: OrderKind::StopLimit { .. }, .. }) => ("a", "algoOrder.place"),
        OrderRequest::Place(OrderTerms { is_test: true, .. }) => ("t", "order.test"),
        OrderRequest::Place(_) => ("p", "order.place"),
        OrderRequest::Cancel | OrderRequest::CancelMany(_) => ("c", "order.cancel"),
        OrderRequest::Query => ("q", "order.status"),
        OrderRequest::Modify(_) => ("m", "order.modify"),
    };
    let mut payload = Template::default();
    let mut json = Template::default().text("{\"id\":\"").text(mark).field(Field::ClientId);
    json = json.text("\",\"method\":\"").text(method).text("\",\"params\":{");
    for (place, (name, value)) in parameters.iter().enumerate() {
        payload = payload.text(if place == 0 { "" } else { "&" }).text(name).text("=");
        json = json.text("\"").text(name).text("\":");
        match value {
            Value::Text(text) => {
                payload = payload.text(text);
                json = json.text(&json_text(text));
            }
            Value::Integer(number) => {
                payload = payload.text(&number.to_string());
                json = json.text(&number.to_string());
            }
            Value::Field(Field::Timestamp) => {
                payload = payload.field(Field::Timestamp);
                json = json.field(Field::Timestamp);
            }
            Value::Field(field) => {
                payload = payload.field(*field);
                json = json.text("\"").field(*field).text("\"");
            }
        }
        json = json.text(",");
    }
    let request = json.text("\"signature\":\"").field(Field::Signature).text("\"}}");
    RequestTemplate { payload, request }
}

/// A JSON string.
fn json_text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Writing to a string cannot fail.
            control if control < ' ' => drop(write!(quoted, "\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
