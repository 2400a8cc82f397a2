//! One file with a row of features for each decision tick: Parquet or CSV, told by the file's name.
//!
//! Columns: `recv_ns`, `instrument` (what [`FeatureTable::create`] was told it is called), `bid_price`, `bid_qty`, `ask_price`,
//! `ask_qty`, `elapsed_ns` since the instrument's tick before (0 at the first), `warmup_left`, and every feature by its registry
//! name. Parquet keeps prices and quantities as integers with the scales in its metadata (`chronos.price_scale`,
//! `chronos.qty_scale`), CSV as decimals; features are 64-bit floats in both, written in CSV so that they read back to the same bits.
//! As a recording's segments, the file is whole or absent: it has `.part` behind its name until it is complete.

use super::StoreError;
use chronos_market::features::registry;
use chronos_market::{Frame, PRICE_SCALE, QTY_SCALE};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows held in memory before they are written: a row group, 8 MiB.
const ROW_GROUP_ROWS: usize = 1 << 13;

/// A table of features being written.
pub struct FeatureTable {
    path: PathBuf,
    instruments: Vec<String>,
    output: Output,
    rows: u64,
}

enum Output {
    Csv { file: BufWriter<File>, line: String },
    Parquet { writer: SerializedFileWriter<File>, held: Vec<Frame> },
}

impl FeatureTable {
    /// Begins a file, which must not exist. `instruments` are what each instrument is called, in the order of the session's table.
    ///
    /// # Errors
    /// [`StoreError::Extension`] where the name ends in neither `.parquet` nor `.csv`; else what the file system or the writer says.
    pub fn create(path: &Path, instruments: Vec<String>) -> Result<FeatureTable, StoreError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !matches!(extension, "csv" | "parquet") {
            return Err(StoreError::Extension { path: path.to_owned(), known: ".parquet or .csv" });
        }
        if path.exists() {
            return Err(StoreError::Exists { path: path.to_owned() });
        }
        let part = part_path(path);
        let file = File::create(&part).map_err(|source| StoreError::Io { action: "create", path: part.clone(), source })?;
        let names = registry().iter().map(|spec| spec.name);
        let output = if extension == "csv" {
            let mut file = BufWriter::with_capacity(1 << 20, file);
            let header = FIXED_COLUMNS.iter().map(|(name, _)| *name).chain(names).collect::<Vec<_>>().join(",");
            writeln!(file, "{header}").map_err(|source| StoreError::Io { action: "write", path: part, source })?;
            Output::Csv { file, line: String::new() }
        } else {
            let writer = begin_parquet(file).map_err(|source| StoreError::Parquet { path: part, source })?;
            Output::Parquet { writer, held: Vec::with_capacity(ROW_GROUP_ROWS) }
        };
        Ok(FeatureTable { path: path.to_owned(), instruments, output, rows: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`StoreError`] where the file cannot be written.
    pub fn push(&mut self, frame: &Frame) -> Result<(), StoreError> {
        self.rows += 1;
        let name = self.instruments.get(frame.instrument.index()).map_or("", String::as_str);
        match &mut self.output {
            Output::Csv { file, line } => {
                line.clear();
                let bbo = &frame.bbo;
                // Writing to a string cannot fail.
                let _ = write!(line, "{},{name},{},{},", frame.recv_ns, bbo.bid.price, bbo.bid.qty);
                let _ = write!(line, "{},{},{},{}", bbo.ask.price, bbo.ask.qty, frame.elapsed_ns, frame.warmup_left);
                for value in frame.features.iter().take(registry().len()) {
                    let _ = write!(line, ",{value}");
                }
                line.push('\n');
                file.write_all(line.as_bytes()).map_err(|source| StoreError::Io {
                    action: "write",
                    path: part_path(&self.path),
                    source,
                })
            }
            Output::Parquet { writer, held } => {
                held.push(*frame);
                if held.len() < ROW_GROUP_ROWS {
                    return Ok(());
                }
                write_rows(writer, held, &self.instruments)
                    .map_err(|source| StoreError::Parquet { path: part_path(&self.path), source })
            }
        }
    }

    /// Completes the file and gives its number of rows.
    ///
    /// # Errors
    /// [`StoreError`] where the file cannot be completed; it keeps the name with `.part` then.
    pub fn finish(self) -> Result<u64, StoreError> {
        let part = part_path(&self.path);
        let io = |action, source| StoreError::Io { action, path: part.clone(), source };
        let file = match self.output {
            Output::Csv { file, .. } => file.into_inner().map_err(|error| io("write", error.into_error()))?,
            Output::Parquet { mut writer, mut held } => {
                let written = if held.is_empty() { Ok(()) } else { write_rows(&mut writer, &mut held, &self.instruments) };
                let file = written.and_then(|()| writer.into_inner());
                file.map_err(|source| StoreError::Parquet { path: part.clone(), source })?
            }
        };
        file.sync_all().map_err(|source| io("sync", source))?;
        fs::rename(&part, &self.path).map_err(|source| io("complete", source))?;
        Ok(self.rows)
    }
}

/// The columns before the features, with their Parquet types.
const FIXED_COLUMNS: [(&str, &str); 8] = [
    ("recv_ns", "INT64 recv_ns (TIMESTAMP(NANOS,true))"),
    ("instrument", "BYTE_ARRAY instrument (STRING)"),
    ("bid_price", "INT64 bid_price"),
    ("bid_qty", "INT64 bid_qty"),
    ("ask_price", "INT64 ask_price"),
    ("ask_qty", "INT64 ask_qty"),
    ("elapsed_ns", "INT64 elapsed_ns"),
    ("warmup_left", "INT64 warmup_left"),
];

fn begin_parquet(file: File) -> Result<SerializedFileWriter<File>, ParquetError> {
    let mut schema = "message features {\n".to_owned();
    for (_, column) in FIXED_COLUMNS {
        schema.push_str(&format!("  REQUIRED {column};\n"));
    }
    for spec in registry() {
        schema.push_str(&format!("  REQUIRED DOUBLE {};\n", spec.name));
    }
    schema.push('}');
    let pair = |key: &str, value: String| KeyValue::new(format!("chronos.{key}"), value);
    let mut metadata = vec![pair("price_scale", PRICE_SCALE.to_string()), pair("qty_scale", QTY_SCALE.to_string())];
    metadata.extend(
        registry().iter().map(|spec| {
            pair(&format!("feature.{}", spec.name), format!("version {}, {}: {}", spec.version, spec.unit, spec.formula))
        }),
    );
    let properties = WriterProperties::builder()
        .set_created_by(concat!("chronos-coldpath ", env!("CARGO_PKG_VERSION")).to_string())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(metadata));
    SerializedFileWriter::new(file, Arc::new(parse_message_type(&schema)?), Arc::new(properties.build()))
}

/// Writes the rows held as one row group.
fn write_rows(writer: &mut SerializedFileWriter<File>, held: &mut Vec<Frame>, instruments: &[String]) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    let integers: [fn(&Frame) -> i64; 7] = [
        |frame| frame.recv_ns,
        |frame| frame.bbo.bid.price.0,
        |frame| frame.bbo.bid.qty.0,
        |frame| frame.bbo.ask.price.0,
        |frame| frame.bbo.ask.qty.0,
        |frame| frame.elapsed_ns,
        |frame| i64::from(frame.warmup_left),
    ];
    for (place, value) in integers.into_iter().enumerate() {
        write_column::<Int64Type>(&mut group, held.iter().map(value).collect())?;
        if place == 0 {
            let name = |frame: &Frame| ByteArray::from(instruments.get(frame.instrument.index()).map_or("", String::as_str));
            write_column::<ByteArrayType>(&mut group, held.iter().map(name).collect())?;
        }
    }
    for place in 0..registry().len() {
        let value = |frame: &Frame| frame.features.get(place).copied().unwrap_or_default();
        write_column::<DoubleType>(&mut group, held.iter().map(value).collect())?;
    }
    held.clear();
    group.close().map(|_| ())
}

fn write_column<T: DataType>(group: &mut SerializedRowGroupWriter<'_, File>, values: Vec<T::T>) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the table has more columns than its schema".to_string()));
    };
    column.typed::<T>().write_batch(&values, None, None)?;
    column.close()
}

/// The name the file has while it is written.
fn part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::{BookState, FEATURES_MAX, InstrumentId, Level, Price, Qty};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    fn frame(place: i64) -> Frame {
        let mut features = [0.0; FEATURES_MAX];
        for (column, value) in features.iter_mut().enumerate() {
            *value = (place as f64 + 0.1) / (column as f64 + 3.0);
        }
        Frame {
            seq: place as u64,
            recv_ns: 1_700_000_000_000_000_000 + place,
            elapsed_ns: place,
            instrument: InstrumentId((place % 2) as u16),
            book: BookState::Synced,
            warmup_left: 3,
            bbo: chronos_market::Bbo {
                bid: Level { price: Price(61_234_500_000_000), qty: Qty(150_000_000) },
                ask: Level { price: Price(61_234_600_000_000 + place), qty: Qty(1) },
            },
            features,
        }
    }

    #[test]
    fn both_forms_read_back_to_the_same_values() {
        let folder = tempfile::tempdir().unwrap();
        // More than one row group.
        let frames: Vec<Frame> = (0..ROW_GROUP_ROWS as i64 + 10).map(frame).collect();
        let names = vec!["venue ONE".to_owned(), "venue TWO".to_owned()];
        for extension in ["csv", "parquet"] {
            let path = folder.path().join(format!("features.{extension}"));
            let mut table = FeatureTable::create(&path, names.clone()).unwrap();
            for frame in &frames {
                table.push(frame).unwrap();
            }
            assert!(!path.exists(), "whole or absent");
            assert_eq!(table.finish().unwrap(), frames.len() as u64);
        }
        let text = fs::read_to_string(folder.path().join("features.csv")).unwrap();
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        let reader = SerializedFileReader::new(File::open(folder.path().join("features.parquet")).unwrap()).unwrap();
        let mut rows = reader.get_row_iter(None).unwrap();
        for frame in &frames {
            let cells: Vec<&str> = lines.next().unwrap().split(',').collect();
            let row = rows.next().unwrap().unwrap();
            assert_eq!(cells.len(), header.len());
            assert_eq!((cells[0].parse::<i64>().unwrap(), cells[1]), (frame.recv_ns, names[frame.instrument.index()].as_str()));
            assert_eq!(row.get_string(1).unwrap(), cells[1]);
            assert_eq!((cells[2], cells[3], cells[7]), ("61234.5", "1.5", "3"));
            assert_eq!((row.get_long(4).unwrap(), row.get_long(6).unwrap()), (frame.bbo.ask.price.0, frame.elapsed_ns));
            for (place, spec) in registry().iter().enumerate() {
                let column = FIXED_COLUMNS.len() + place;
                assert_eq!(header[column], spec.name);
                assert_eq!(cells[column].parse::<f64>().unwrap().to_bits(), frame.features[place].to_bits());
                assert_eq!(row.get_double(column).unwrap().to_bits(), frame.features[place].to_bits());
            }
        }
        assert!(lines.next().is_none() && rows.next().is_none());
    }

    #[test]
    fn other_names_and_files_that_exist_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let create =
            |name: &str| FeatureTable::create(&folder.path().join(name), Vec::new()).map(|_| ()).map_err(|error| error.to_string());
        assert!(create("features.txt").unwrap_err().contains(".parquet or .csv"));
        fs::write(folder.path().join("there.csv"), "kept").unwrap();
        assert!(create("there.csv").unwrap_err().contains("exists"));
        assert_eq!(fs::read_to_string(folder.path().join("there.csv")).unwrap(), "kept");
    }
}
