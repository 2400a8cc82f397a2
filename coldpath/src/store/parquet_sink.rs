//! Parquet segments in a folder: whole or absent.
//!
//! Each table has segments `market-000001.parquet`, `orders-000001.parquet`, `reports-000001.parquet`, `decisions-000001.parquet` and on, of
//! `rows_per_segment` rows, the last one shorter; a table without rows has none. A segment is written as `*.parquet.part`, synced,
//! and renamed when it is complete, so that a name without `.part` is never half a file. Pages are compressed with Zstandard.
//!
//! The key-value metadata of each segment names what a reader needs: `chronos.schema` (the version, [`SCHEMA_VERSION`]),
//! `chronos.table`, `chronos.segment` (from 1), `chronos.price_scale`, `chronos.qty_scale`, `chronos.fee_scale` (units of 1),
//! `chronos.instruments` (`0=...,1=...`, where they were given), and `chronos.codes.<column>` for each coded column.

use super::tables::{Column, DECISIONS, MARKET, ORDERS, Order, REPORTS, Table};
use super::{Sink, StoreError, Written};
use chronos_market::{ColdRecord, DecisionTelemetry, ExecutionReport, MarketEvent, PRICE_SCALE, QTY_SCALE};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{BoolType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of the tables' columns and of the metadata.
pub const SCHEMA_VERSION: u32 = 1;

/// Rows held in memory before they are written: a row group, 8 MiB of market events.
const ROW_GROUP_ROWS: usize = 1 << 17;

/// Where and how to record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordConfig {
    /// The folder; made where it is missing, and refused where it holds a recording.
    pub folder: PathBuf,
    /// Rows in a segment, at least 1.
    pub rows_per_segment: usize,
    /// What each instrument is called, in the order of the session's table; kept in the segments' metadata.
    pub instruments: Vec<String>,
}

impl RecordConfig {
    /// Segments of 1,048,576 rows in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> RecordConfig {
        RecordConfig { folder: folder.into(), rows_per_segment: 1 << 20, instruments: Vec::new() }
    }
}

/// The [`Sink`] of Parquet segments.
pub struct ParquetSink {
    market: TableWriter<MarketEvent>,
    orders: TableWriter<Order>,
    reports: TableWriter<ExecutionReport>,
    decisions: TableWriter<DecisionTelemetry>,
    written: Written,
}

impl ParquetSink {
    /// Makes the folder. Segments appear with their first rows.
    ///
    /// # Errors
    /// The folder cannot be made or read, holds `*.parquet` or `*.parquet.part` already, or a setting is out of its range.
    pub fn create(config: &RecordConfig) -> Result<ParquetSink, StoreError> {
        if config.rows_per_segment == 0 {
            return Err(StoreError::Config { field: "rows_per_segment", must_be: "at least 1" });
        }
        let folder = &config.folder;
        fs::create_dir_all(folder).map_err(|source| StoreError::Io { action: "make the folder", path: folder.clone(), source })?;
        if let Some(file) = first_segment_in(folder)? {
            return Err(StoreError::Occupied { folder: folder.clone(), file });
        }
        Ok(ParquetSink {
            market: TableWriter::new(&MARKET, config)?,
            orders: TableWriter::new(&ORDERS, config)?,
            reports: TableWriter::new(&REPORTS, config)?,
            decisions: TableWriter::new(&DECISIONS, config)?,
            written: Written::default(),
        })
    }
}

impl Sink for ParquetSink {
    fn write(&mut self, record: &ColdRecord) -> Result<(), StoreError> {
        match record {
            ColdRecord::Market(event) => self.market.push(*event, &mut self.written),
            ColdRecord::Order { now, command } => self.orders.push(Order { now: *now, command: *command }, &mut self.written),
            ColdRecord::Report(report) => self.reports.push(*report, &mut self.written),
            ColdRecord::Decision(decision) => self.decisions.push(*decision, &mut self.written),
            ColdRecord::Sample { .. } | ColdRecord::WindowEnd(_) => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        // Each table is completed whatever became of the others.
        let market = self.market.finish(&mut self.written);
        let orders = self.orders.finish(&mut self.written);
        let reports = self.reports.finish(&mut self.written);
        let decisions = self.decisions.finish(&mut self.written);
        market.and(orders).and(reports).and(decisions)
    }

    fn written(&self) -> Written {
        self.written.clone()
    }
}

/// A segment being written, and the path it will have.
struct OpenSegment {
    writer: SerializedFileWriter<File>,
    path: PathBuf,
    rows: usize,
}

/// Rows of one table on their way into segments.
struct TableWriter<R: 'static> {
    table: &'static Table<R>,
    schema: TypePtr,
    config: RecordConfig,
    rows: Vec<R>,
    scratch: Scratch,
    open: Option<OpenSegment>,
    /// Number of the last segment begun.
    segment: u32,
    /// A write failed: what is open cannot be completed.
    is_broken: bool,
}

/// One column's values between the rows and the writer, kept to be filled again.
#[derive(Default)]
struct Scratch {
    int64: Vec<i64>,
    int32: Vec<i32>,
    double: Vec<f64>,
    boolean: Vec<bool>,
}

impl<R> TableWriter<R> {
    fn new(table: &'static Table<R>, config: &RecordConfig) -> Result<TableWriter<R>, StoreError> {
        let schema = parse_message_type(&table.schema())
            .map_err(|source| StoreError::Parquet { path: config.folder.join(table.name), source })?;
        Ok(TableWriter {
            table,
            schema: Arc::new(schema),
            config: config.clone(),
            rows: Vec::new(),
            scratch: Scratch::default(),
            open: None,
            segment: 0,
            is_broken: false,
        })
    }

    fn push(&mut self, row: R, written: &mut Written) -> Result<(), StoreError> {
        self.rows.push(row);
        let in_segment = self.rows.len() + self.open.as_ref().map_or(0, |open| open.rows);
        if in_segment >= self.config.rows_per_segment {
            self.finish(written)
        } else if self.rows.len() >= ROW_GROUP_ROWS {
            self.write_rows()
        } else {
            Ok(())
        }
    }

    /// Writes what is held and completes the segment, if there is one. After a failure there is nothing left to complete.
    fn finish(&mut self, written: &mut Written) -> Result<(), StoreError> {
        if self.is_broken {
            return Ok(());
        }
        if !self.rows.is_empty() {
            self.write_rows()?;
        }
        let Some(OpenSegment { writer, path, rows }) = self.open.take() else { return Ok(()) };
        self.is_broken = true;
        let part = part_path(&path);
        let file = writer.into_inner().map_err(|source| StoreError::Parquet { path: part.clone(), source })?;
        file.sync_all().map_err(|source| StoreError::Io { action: "sync", path: part.clone(), source })?;
        drop(file);
        fs::rename(&part, &path).map_err(|source| StoreError::Io { action: "complete", path: part, source })?;
        self.is_broken = false;
        written.rows += rows as u64;
        written.segments.push(path);
        Ok(())
    }

    /// Writes the rows held as one row group.
    fn write_rows(&mut self) -> Result<(), StoreError> {
        // Undone at the end: any early return leaves a segment that cannot be completed.
        self.is_broken = true;
        if self.open.is_none() {
            self.open = Some(self.begin_segment()?);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        write_row_group(&mut open.writer, self.table, &self.rows, &mut self.scratch)
            .map_err(|source| StoreError::Parquet { path: part_path(&open.path), source })?;
        open.rows += self.rows.len();
        self.rows.clear();
        self.is_broken = false;
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<OpenSegment, StoreError> {
        self.segment += 1;
        let path = self.config.folder.join(format!("{}-{:06}.parquet", self.table.name, self.segment));
        let part = part_path(&path);
        let file = File::create_new(&part).map_err(|source| StoreError::Io { action: "create", path: part.clone(), source })?;
        let properties = self.properties().map_err(|source| StoreError::Parquet { path: part.clone(), source })?;
        let writer = SerializedFileWriter::new(file, self.schema.clone(), properties)
            .map_err(|source| StoreError::Parquet { path: part, source })?;
        Ok(OpenSegment { writer, path, rows: 0 })
    }

    fn properties(&self) -> Result<WriterPropertiesPtr, ParquetError> {
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("chronos-coldpath ", env!("CARGO_PKG_VERSION")).to_string())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(self.metadata()));
        for (name, column) in self.table.columns {
            // Times and ids rise slowly and hardly repeat: their differences are short, a dictionary of them is not.
            if matches!(column, Column::Time(_) | Column::Id(_)) {
                properties = properties
                    .set_column_dictionary_enabled(ColumnPath::from(*name), false)
                    .set_column_encoding(ColumnPath::from(*name), Encoding::DELTA_BINARY_PACKED);
            }
        }
        Ok(Arc::new(properties.build()))
    }

    fn metadata(&self) -> Vec<KeyValue> {
        let pair = |key: &str, value: String| KeyValue::new(format!("chronos.{key}"), value);
        let mut metadata = vec![
            pair("schema", SCHEMA_VERSION.to_string()),
            pair("table", self.table.name.to_string()),
            pair("segment", self.segment.to_string()),
            pair("price_scale", PRICE_SCALE.to_string()),
            pair("qty_scale", QTY_SCALE.to_string()),
            pair("fee_scale", PRICE_SCALE.to_string()),
        ];
        if !self.config.instruments.is_empty() {
            let names = self.config.instruments.iter().enumerate().map(|(id, name)| format!("{id}={name}"));
            metadata.push(pair("instruments", names.collect::<Vec<_>>().join(",")));
        }
        metadata.extend(self.table.codes().into_iter().map(|(column, codes)| pair(&format!("codes.{column}"), codes)));
        metadata
    }
}

fn write_row_group<R>(
    writer: &mut SerializedFileWriter<File>,
    table: &Table<R>,
    rows: &[R],
    scratch: &mut Scratch,
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    let Scratch { int64, int32, double, boolean } = scratch;
    for (_, column) in table.columns {
        match *column {
            Column::Time(value) | Column::Fixed(value) => write_column::<Int64Type, R>(&mut group, rows, int64, value)?,
            // Parquet keeps an unsigned 64-bit integer as the signed one of the same bits.
            Column::Id(value) => write_column::<Int64Type, R>(&mut group, rows, int64, |row| value(row) as i64)?,
            Column::Instrument(value) => {
                write_column::<Int32Type, R>(&mut group, rows, int32, |row| i32::from(value(row).0))?;
            }
            Column::Code(value, _) | Column::Bits(value, _) => {
                write_column::<Int32Type, R>(&mut group, rows, int32, |row| i32::from(value(row)))?;
            }
            Column::Bool(value) => write_column::<BoolType, R>(&mut group, rows, boolean, value)?,
            Column::Float(value) => write_column::<DoubleType, R>(&mut group, rows, double, value)?,
        }
    }
    group.close().map(|_| ())
}

fn write_column<T: DataType, R>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    rows: &[R],
    values: &mut Vec<T::T>,
    value: impl Fn(&R) -> T::T,
) -> Result<(), ParquetError> {
    values.clear();
    values.extend(rows.iter().map(value));
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the table has more columns than its schema".to_string()));
    };
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

/// The name a segment has while it is written.
fn part_path(path: &Path) -> PathBuf {
    path.with_extension("parquet.part")
}

/// The first file, by name, that is or was to be a segment.
fn first_segment_in(folder: &Path) -> Result<Option<String>, StoreError> {
    let refused = |source| StoreError::Io { action: "read the folder", path: folder.to_path_buf(), source };
    let mut found = None;
    for entry in fs::read_dir(folder).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name().to_string_lossy().into_owned();
        if (name.ends_with(".parquet") || name.ends_with(".parquet.part")) && found.as_ref().is_none_or(|first| name < *first) {
            found = Some(name);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
