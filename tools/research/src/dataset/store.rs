//! A dataset as files: `samples.parquet` and `manifest.toml` in a folder of their own, whole or absent.
//!
//! Columns of the samples: `event_ns` and `end_ns` (timestamps, UTC), `event_price` and `end_price` (places among the prices), `label`,
//! `barrier`, `side` (1, -1; 0 for none), `return`, `target`, `uniqueness`, `weight`, then the features by name.

use super::manifest::{FORMAT, Manifest, file_sha256};
use super::{Dataset, DatasetError};
use crate::labels::{Barrier, Span};
use chronos_market::Side;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

const SAMPLES: &str = "samples.parquet";
const MANIFEST: &str = "manifest.toml";
/// The columns before the features.
const FIXED: [&str; 11] = [
    "INT64 event_ns (TIMESTAMP(NANOS,true))",
    "INT64 end_ns (TIMESTAMP(NANOS,true))",
    "INT64 event_price",
    "INT64 end_price",
    "INT32 label",
    "BYTE_ARRAY barrier (STRING)",
    "INT32 side",
    "DOUBLE return",
    "DOUBLE target",
    "DOUBLE uniqueness",
    "DOUBLE weight",
];

/// Checks that a folder is missing or empty, before the work of filling it.
///
/// # Errors
/// It is not, or cannot be read.
pub fn check_new_folder(folder: &Path) -> Result<(), DatasetError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(DatasetError::Exists { path: folder.to_owned() }),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(DatasetError::Io { action: "read", path: folder.to_owned(), source }),
    }
}

/// Writes samples and manifest to a new folder and gives the manifest as it was written. The manifest comes last: a folder without one
/// is no dataset.
///
/// # Errors
/// The folder exists and is not empty; what the file system or the Parquet writer says.
pub fn write_dataset(folder: &Path, dataset: &Dataset, manifest: Manifest) -> Result<Manifest, DatasetError> {
    let io_error =
        |action: &'static str, path: &Path, source: io::Error| DatasetError::Io { action, path: path.to_owned(), source };
    check_new_folder(folder)?;
    fs::create_dir_all(folder).map_err(|source| io_error("make the folder", folder, source))?;
    let (samples, part) = (folder.join(SAMPLES), folder.join("samples.parquet.part"));
    let file = File::create(&part).map_err(|source| io_error("create", &part, source))?;
    let file = write_samples(file, dataset).map_err(|source| DatasetError::Parquet { path: part.clone(), source })?;
    file.sync_all().map_err(|source| io_error("sync", &part, source))?;
    fs::rename(&part, &samples).map_err(|source| io_error("complete", &samples, source))?;
    let mut manifest = manifest;
    manifest.data.file = SAMPLES.to_owned();
    manifest.data.rows = dataset.rows() as u64;
    manifest.data.sha256 = file_sha256(&samples)?;
    let path = folder.join(MANIFEST);
    let text =
        toml::to_string(&manifest).map_err(|error| DatasetError::Stored { path: path.clone(), message: error.to_string() })?;
    fs::write(&path, text).map_err(|source| io_error("write", &path, source))?;
    Ok(manifest)
}

/// Reads a folder that [`write_dataset`] wrote.
///
/// # Errors
/// No manifest, one of another format, samples that are not those of the manifest.
pub fn read_dataset(folder: &Path) -> Result<(Dataset, Manifest), DatasetError> {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|source| DatasetError::Io { action: "read", path: path.clone(), source })?;
    let stored = |message: String| DatasetError::Stored { path: path.clone(), message };
    // The format first: a later one may have other fields.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = toml::from_str(&text).map_err(|error| stored(error.to_string()))?;
    if format != FORMAT {
        return Err(stored(format!("format {format} is not known to this build, which reads {FORMAT}")));
    }
    let manifest: Manifest = toml::from_str(&text).map_err(|error| stored(error.to_string()))?;
    // The name is that of a file beside the manifest and of no other place.
    if manifest.data.file != SAMPLES {
        return Err(stored(format!("its samples are in `{}`, not in {SAMPLES}", manifest.data.file)));
    }
    let samples = folder.join(SAMPLES);
    if file_sha256(&samples)? != manifest.data.sha256 {
        return Err(DatasetError::Stored { path: samples, message: "its hash is not that of the manifest".to_owned() });
    }
    let file = File::open(&samples).map_err(|source| DatasetError::Io { action: "read", path: samples.clone(), source })?;
    let dataset = read_samples(file, &manifest).map_err(|source| DatasetError::Parquet { path: samples, source })?;
    Ok((dataset, manifest))
}

/// Writes samples without features as CSV.
///
/// # Errors
/// What the writer says.
pub fn write_labels(dataset: &Dataset, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "event_ns,end_ns,event_price,end_price,label,barrier,side,return,target,uniqueness,weight")?;
    let mut line = String::new();
    for row in 0..dataset.rows() {
        line.clear();
        let Span { start, end } = dataset.span[row];
        // Writing to a string cannot fail.
        let _ = write!(line, "{},{},{start},{end},{},", dataset.event_ns[row], dataset.end_ns[row], dataset.label[row]);
        let _ = write!(line, "{},{},{},", dataset.barrier[row].name(), side_code(dataset.side[row]), dataset.simple_return[row]);
        let _ = writeln!(line, "{},{},{}", dataset.target[row], dataset.uniqueness[row], dataset.weight[row]);
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

fn side_code(side: Option<Side>) -> i32 {
    side.map_or(0, |side| side.sign() as i32)
}

fn write_samples(file: File, dataset: &Dataset) -> Result<File, ParquetError> {
    let mut schema = "message samples {\n".to_owned();
    for column in FIXED {
        schema.push_str(&format!("  REQUIRED {column};\n"));
    }
    for feature in &dataset.features {
        schema.push_str(&format!("  REQUIRED DOUBLE {feature};\n"));
    }
    schema.push('}');
    let properties = WriterProperties::builder()
        .set_created_by(concat!("chronos-research ", env!("CARGO_PKG_VERSION")).to_string())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?));
    let mut writer = SerializedFileWriter::new(file, Arc::new(parse_message_type(&schema)?), Arc::new(properties.build()))?;
    let mut group = writer.next_row_group()?;
    let places = |of: fn(&Span) -> usize| dataset.span.iter().map(|span| of(span) as i64).collect::<Vec<i64>>();
    write_column::<Int64Type>(&mut group, &dataset.event_ns)?;
    write_column::<Int64Type>(&mut group, &dataset.end_ns)?;
    write_column::<Int64Type>(&mut group, &places(|span| span.start))?;
    write_column::<Int64Type>(&mut group, &places(|span| span.end))?;
    write_column::<Int32Type>(&mut group, &dataset.label.iter().map(|label| i32::from(*label)).collect::<Vec<i32>>())?;
    let barriers: Vec<ByteArray> = dataset.barrier.iter().map(|barrier| ByteArray::from(barrier.name())).collect();
    write_column::<ByteArrayType>(&mut group, &barriers)?;
    write_column::<Int32Type>(&mut group, &dataset.side.iter().map(|side| side_code(*side)).collect::<Vec<i32>>())?;
    for column in [&dataset.simple_return, &dataset.target, &dataset.uniqueness, &dataset.weight] {
        write_column::<DoubleType>(&mut group, column)?;
    }
    for feature in 0..dataset.features.len() {
        write_column::<DoubleType>(&mut group, &dataset.column(feature).collect::<Vec<f64>>())?;
    }
    group.close()?;
    writer.into_inner()
}

fn write_column<T: DataType>(group: &mut SerializedRowGroupWriter<'_, File>, values: &[T::T]) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the table has more columns than its schema".to_string()));
    };
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}

fn read_samples(file: File, manifest: &Manifest) -> Result<Dataset, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let general = |message: &str| ParquetError::General(message.to_owned());
    let schema = reader.metadata().file_metadata().schema_descr();
    let names: Vec<String> = schema.columns().iter().map(|column| column.name().to_owned()).collect();
    let fixed = FIXED.iter().filter_map(|column| column.split(' ').nth(1));
    if !names.iter().map(String::as_str).eq(fixed.chain(manifest.features.names.iter().map(String::as_str))) {
        return Err(general("its columns are not those of the manifest"));
    }
    let starts = read_column::<Int64Type>(&reader, 2)?;
    let ends = read_column::<Int64Type>(&reader, 3)?;
    let place = |value: i64| usize::try_from(value).map_err(|_| general("a negative place"));
    let span = |(start, end): (i64, i64)| Ok(Span { start: place(start)?, end: place(end)? });
    let barrier = |name: ByteArray| name.as_utf8().ok().and_then(Barrier::from_name).ok_or_else(|| general("an unknown barrier"));
    let label = |value: i32| i8::try_from(value).map_err(|_| general("a label out of range"));
    let side = |value: i32| match value {
        0 => Ok(None),
        1 => Ok(Some(Side::Buy)),
        -1 => Ok(Some(Side::Sell)),
        _ => Err(general("an unknown side")),
    };
    let mut dataset = Dataset {
        features: manifest.features.names.clone(),
        values: Vec::new(),
        event_ns: read_column::<Int64Type>(&reader, 0)?,
        end_ns: read_column::<Int64Type>(&reader, 1)?,
        span: starts.into_iter().zip(ends).map(span).collect::<Result<_, ParquetError>>()?,
        label: read_column::<Int32Type>(&reader, 4)?.into_iter().map(label).collect::<Result<_, _>>()?,
        barrier: read_column::<ByteArrayType>(&reader, 5)?.into_iter().map(barrier).collect::<Result<_, _>>()?,
        side: read_column::<Int32Type>(&reader, 6)?.into_iter().map(side).collect::<Result<_, _>>()?,
        simple_return: read_column::<DoubleType>(&reader, 7)?,
        target: read_column::<DoubleType>(&reader, 8)?,
        uniqueness: read_column::<DoubleType>(&reader, 9)?,
        weight: read_column::<DoubleType>(&reader, 10)?,
    };
    let (rows, width) = (dataset.rows(), dataset.features.len());
    if rows as u64 != manifest.data.rows {
        return Err(general("the number of rows is not that of the manifest"));
    }
    dataset.values = vec![0.0; rows * width];
    for feature in 0..width {
        let column = read_column::<DoubleType>(&reader, FIXED.len() + feature)?;
        for (row, value) in column.into_iter().enumerate() {
            dataset.values[row * width + feature] = value;
        }
    }
    Ok(dataset)
}

fn read_column<T: DataType>(reader: &SerializedFileReader<File>, place: usize) -> Result<Vec<T::T>, ParquetError> {
    let mut values = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let column = T::get_column_reader(group.get_column_reader(place)?);
        let mut column = column.ok_or_else(|| ParquetError::General("a column is of another type".to_string()))?;
        let (records, ..) = column.read_records(rows, None, None, &mut values)?;
        if records != rows {
            return Err(ParquetError::General("a column is cut off".to_string()));
        }
    }
    Ok(values)
}
