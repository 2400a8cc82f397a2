use super::*;
use chronos_market::*;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Row = BTreeMap<String, Field>;
type FromRow = fn(&Row) -> ColdRecord;
type IsOfTable = fn(&&ColdRecord) -> bool;

/// A segment read back: its metadata and its rows.
fn read(path: &Path) -> (BTreeMap<String, String>, Vec<Row>) {
    let reader = SerializedFileReader::new(File::open(path).expect("segment")).expect("parquet");
    let pairs = reader.metadata().file_metadata().key_value_metadata().expect("metadata");
    let metadata = pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect();
    let rows = reader.get_row_iter(None).expect("rows");
    (metadata, rows.map(|row| row.expect("row").into_columns().into_iter().collect()).collect())
}

fn read_all(segments: &[PathBuf], table: &str) -> Vec<Row> {
    let of_table = |path: &&PathBuf| path.file_name().expect("name").to_string_lossy().starts_with(table);
    segments.iter().filter(of_table).flat_map(|path| read(path).1).collect()
}

fn int(row: &Row, name: &str) -> i64 {
    match row.get(name) {
        Some(Field::Long(value)) => *value,
        Some(Field::UShort(value)) => i64::from(*value),
        Some(Field::UByte(value)) => i64::from(*value),
        other => panic!("{name}: {other:?}"),
    }
}

fn id(row: &Row, name: &str) -> u64 {
    let Some(Field::ULong(value)) = row.get(name) else { panic!("{name}: {:?}", row.get(name)) };
    *value
}

fn boolean(row: &Row, name: &str) -> bool {
    let Some(Field::Bool(value)) = row.get(name) else { panic!("{name}: {:?}", row.get(name)) };
    *value
}

fn one_of<T: Copy>(all: &[T], row: &Row, name: &str) -> T {
    all[usize::try_from(int(row, name)).expect("code")]
}

const KINDS: [EventKind; 13] = [
    EventKind::LevelSet,
    EventKind::Trade,
    EventKind::Bbo,
    EventKind::BookCleared,
    EventKind::BookSynced,
    EventKind::BookStale,
    EventKind::Mark,
    EventKind::Liquidation,
    EventKind::OrderAdd,
    EventKind::OrderModify,
    EventKind::OrderDelete,
    EventKind::OrderExecute,
    EventKind::Heartbeat,
];
const SIDES: [Side; 2] = [Side::Buy, Side::Sell];
const TIMES: [TimeInForce; 3] = [TimeInForce::GoodTilCancelled, TimeInForce::ImmediateOrCancel, TimeInForce::PostOnly];
const REPORT_KINDS: [ReportKind; 4] = [ReportKind::Accepted, ReportKind::Fill, ReportKind::Cancelled, ReportKind::Rejected];

fn market_of(row: &Row) -> ColdRecord {
    ColdRecord::Market(MarketEvent {
        seq: id(row, "seq"),
        recv_ns: int(row, "recv_ns"),
        exchange_ns: int(row, "exchange_ns"),
        price: Price(int(row, "price")),
        qty: Qty(int(row, "qty")),
        id: id(row, "id"),
        instrument: InstrumentId(int(row, "instrument") as u16),
        kind: one_of(&KINDS, row, "kind"),
        side: one_of(&SIDES, row, "side"),
        flags: EventFlags(int(row, "flags") as u8),
    })
}

fn order_of(row: &Row) -> ColdRecord {
    let (order, instrument) = (OrderId(id(row, "order_id")), InstrumentId(int(row, "instrument") as u16));
    let Some(Field::Double(signal)) = row.get("signal") else { panic!("no signal") };
    let command = match int(row, "command") {
        0 => OrderCommand::New(NewOrder {
            id: order,
            instrument,
            side: one_of(&SIDES, row, "side"),
            price: Price(int(row, "price")),
            qty: Qty(int(row, "qty")),
            time_in_force: one_of(&TIMES, row, "time_in_force"),
            reduce_only: boolean(row, "reduce_only"),
            signal: *signal,
        }),
        _ => OrderCommand::Cancel { id: order, instrument },
    };
    ColdRecord::Order { now: Timestamp(int(row, "now_ns")), command }
}

fn report_of(row: &Row) -> ColdRecord {
    ColdRecord::Report(ExecutionReport {
        order: OrderId(id(row, "order_id")),
        instrument: InstrumentId(int(row, "instrument") as u16),
        kind: one_of(&REPORT_KINDS, row, "kind"),
        side: one_of(&SIDES, row, "side"),
        is_maker: boolean(row, "is_maker"),
        recv: Timestamp(int(row, "recv_ns")),
        venue_time: Timestamp(int(row, "venue_ns")),
        price: Price(int(row, "price")),
        qty: Qty(int(row, "qty")),
        leaves: Qty(int(row, "leaves")),
        fee_quote: int(row, "fee_quote"),
    })
}

fn decision_of(row: &Row) -> ColdRecord {
    ColdRecord::Decision(DecisionTelemetry {
        recv: Timestamp(int(row, "recv_ns")),
        instrument: InstrumentId(int(row, "instrument") as u16),
        seq: id(row, "seq"),
        inference_ns: id(row, "inference_ns"),
        tick_ns: id(row, "tick_ns"),
    })
}

fn a_decision() -> impl Strategy<Value = ColdRecord> {
    (any::<i64>(), any::<[u64; 3]>(), any::<u16>()).prop_map(|(recv, [seq, inference_ns, tick_ns], instrument)| {
        ColdRecord::Decision(DecisionTelemetry {
            recv: Timestamp(recv),
            instrument: InstrumentId(instrument),
            seq,
            inference_ns,
            tick_ns,
        })
    })
}

fn a_market_event() -> impl Strategy<Value = ColdRecord> {
    let fields = (any::<[i64; 4]>(), any::<[u64; 2]>(), any::<u16>(), 0..KINDS.len(), 0..2usize, any::<u8>());
    fields.prop_map(|([recv_ns, exchange_ns, price, qty], [seq, id], instrument, kind, side, flags)| {
        ColdRecord::Market(MarketEvent {
            seq,
            recv_ns,
            exchange_ns,
            price: Price(price),
            qty: Qty(qty),
            id,
            instrument: InstrumentId(instrument),
            kind: KINDS[kind],
            side: SIDES[side],
            flags: EventFlags(flags),
        })
    })
}

fn an_order() -> impl Strategy<Value = ColdRecord> {
    let fields = (any::<[i64; 3]>(), any::<u64>(), any::<u16>(), (0..2usize, 0..3usize), any::<[bool; 2]>(), any::<f64>());
    fields.prop_map(|([now, price, qty], id, instrument, (side, time), [reduce_only, is_cancel], signal)| {
        let (id, instrument) = (OrderId(id), InstrumentId(instrument));
        let new = NewOrder {
            id,
            instrument,
            side: SIDES[side],
            price: Price(price),
            qty: Qty(qty),
            time_in_force: TIMES[time],
            reduce_only,
            signal,
        };
        let command = if is_cancel { OrderCommand::Cancel { id, instrument } } else { OrderCommand::New(new) };
        ColdRecord::Order { now: Timestamp(now), command }
    })
}

fn a_report() -> impl Strategy<Value = ColdRecord> {
    let fields = (any::<[i64; 6]>(), any::<u64>(), any::<u16>(), 0..4usize, 0..2usize, any::<bool>());
    fields.prop_map(|([recv, venue_time, price, qty, leaves, fee_quote], order, instrument, kind, side, is_maker)| {
        ColdRecord::Report(ExecutionReport {
            order: OrderId(order),
            instrument: InstrumentId(instrument),
            kind: REPORT_KINDS[kind],
            side: SIDES[side],
            is_maker,
            recv: Timestamp(recv),
            venue_time: Timestamp(venue_time),
            price: Price(price),
            qty: Qty(qty),
            leaves: Qty(leaves),
            fee_quote,
        })
    })
}

fn folder_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn segments_read_back_equal(
        records in prop::collection::vec(prop_oneof![3 => a_market_event(), 1 => an_order(), 1 => a_report(), 1 => a_decision()], 0..80),
        rows_per_segment in 1..30usize,
    ) {
        let folder = tempfile::tempdir().expect("folder");
        let config = RecordConfig { rows_per_segment, ..RecordConfig::new(folder.path()) };
        let mut sink = ParquetSink::create(&config).expect("sink");
        for record in &records {
            sink.write(record).expect("write");
        }
        sink.finish().expect("finish");
        let written = sink.written();
        prop_assert_eq!(written.rows, records.len() as u64);

        let mut expected_names = Vec::new();
        let tables: [(&str, FromRow, IsOfTable); 4] = [
            ("decisions", decision_of, |record| matches!(record, ColdRecord::Decision(_))),
            ("market", market_of, |record| matches!(record, ColdRecord::Market(_))),
            ("orders", order_of, |record| matches!(record, ColdRecord::Order { .. })),
            ("reports", report_of, |record| matches!(record, ColdRecord::Report(_))),
        ];
        for (table, from_row, is_of_table) in tables {
            let expected: Vec<ColdRecord> = records.iter().filter(is_of_table).copied().collect();
            let rows: Vec<ColdRecord> = read_all(&written.segments, table).iter().map(from_row).collect();
            expected_names.extend((1..=expected.len().div_ceil(rows_per_segment)).map(|number| format!("{table}-{number:06}.parquet")));
            prop_assert_eq!(rows, expected);
        }
        prop_assert_eq!(folder_names(folder.path()), expected_names);
    }
}

fn trade(seq: u64) -> ColdRecord {
    ColdRecord::Market(MarketEvent {
        seq,
        recv_ns: seq as i64 * 1_000,
        exchange_ns: 0,
        price: Price(seq as i64 % 97),
        qty: Qty(1),
        id: seq,
        instrument: InstrumentId(0),
        kind: EventKind::Trade,
        side: Side::Buy,
        flags: EventFlags::BATCH_END,
    })
}

#[test]
fn a_segment_of_several_row_groups_reads_back_equal() {
    let folder = tempfile::tempdir().expect("folder");
    let mut sink = ParquetSink::create(&RecordConfig::new(folder.path())).expect("sink");
    let rows = ROW_GROUP_ROWS as u64 + 1_000;
    for seq in 1..=rows {
        sink.write(&trade(seq)).expect("write");
    }
    sink.finish().expect("finish");
    let segments = sink.written().segments;
    assert_eq!(segments, [folder.path().join("market-000001.parquet")]);
    let reader = SerializedFileReader::new(File::open(&segments[0]).expect("segment")).expect("parquet");
    assert_eq!(reader.num_row_groups(), 2);
    assert!(read_all(&segments, "market").iter().map(market_of).eq((1..=rows).map(trade)));
}

#[test]
fn a_reader_finds_scales_codes_and_names_in_the_metadata() {
    let folder = tempfile::tempdir().expect("folder");
    let instruments = vec!["binance-usdm:BTCUSDT".to_string(), "binance-usdm:ETHUSDT".to_string()];
    let mut sink = ParquetSink::create(&RecordConfig { instruments, ..RecordConfig::new(folder.path()) }).expect("sink");
    sink.write(&trade(1)).expect("write");
    sink.finish().expect("finish");
    let (metadata, _) = read(&sink.written().segments[0]);
    let value = |key: &str| metadata.get(key).map(String::as_str);
    assert_eq!(value("chronos.schema"), Some("1"));
    assert_eq!(value("chronos.table"), Some("market"));
    assert_eq!(value("chronos.segment"), Some("1"));
    assert_eq!(value("chronos.price_scale"), Some("1000000000"));
    assert_eq!(value("chronos.qty_scale"), Some("100000000"));
    assert_eq!(value("chronos.instruments"), Some("0=binance-usdm:BTCUSDT,1=binance-usdm:ETHUSDT"));
    assert_eq!(value("chronos.codes.side"), Some("0=buy,1=sell"));
    assert_eq!(value("chronos.codes.flags"), Some("1=batch_end,2=snapshot,4=no_side"));
}

#[test]
fn what_is_cut_off_in_the_middle_never_has_a_final_name() {
    let folder = tempfile::tempdir().expect("folder");
    let config = RecordConfig { rows_per_segment: ROW_GROUP_ROWS + 10, ..RecordConfig::new(folder.path()) };
    let mut sink = ParquetSink::create(&config).expect("sink");
    // One whole segment, and a second one with a row group already on disk.
    for seq in 1..=(2 * ROW_GROUP_ROWS as u64 + 15) {
        sink.write(&trade(seq)).expect("write");
    }
    assert_eq!(folder_names(folder.path()), ["market-000001.parquet", "market-000002.parquet.part"]);
    // As a kill: nothing is dropped, nothing flushed.
    std::mem::forget(sink);
    assert_eq!(read(&folder.path().join("market-000001.parquet")).1.len(), ROW_GROUP_ROWS + 10);
}

#[test]
fn a_folder_with_a_recording_is_refused() {
    for name in ["orders-000001.parquet", "market-000007.parquet.part"] {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("notes.txt"), "").expect("file");
        ParquetSink::create(&RecordConfig::new(folder.path())).map(|_| ()).expect("other files are no recording");
        fs::write(folder.path().join(name), "").expect("file");
        let error = ParquetSink::create(&RecordConfig::new(folder.path())).map(|_| ()).expect_err("refused");
        let expected =
            format!("{} already holds a recording ({name}); name a new folder or move that one away", folder.path().display());
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn one_table_that_fails_takes_no_other_with_it() {
    let folder = tempfile::tempdir().expect("folder");
    let config = RecordConfig { rows_per_segment: 2, ..RecordConfig::new(folder.path()) };
    let mut sink = ParquetSink::create(&config).expect("sink");
    let cancel = OrderCommand::Cancel { id: OrderId(5), instrument: InstrumentId(0) };
    sink.write(&ColdRecord::Order { now: Timestamp(1), command: cancel }).expect("write");
    // Somebody else has the name.
    fs::write(folder.path().join("market-000001.parquet.part"), "").expect("file");
    sink.write(&trade(1)).expect("held");
    let error = sink.write(&trade(2)).expect_err("cannot create");
    assert!(error.to_string().starts_with("cannot create ") && error.to_string().contains("market-000001"), "{error}");
    sink.finish().expect("the rest is completed");
    let written = sink.written();
    assert_eq!((written.rows, written.segments), (1, vec![folder.path().join("orders-000001.parquet")]));
}

#[test]
fn a_setting_out_of_range_is_named() {
    let config = RecordConfig { rows_per_segment: 0, ..RecordConfig::new("unused") };
    let error = ParquetSink::create(&config).map(|_| ()).expect_err("refused");
    assert_eq!(error.to_string(), "record.rows_per_segment must be at least 1");
}
