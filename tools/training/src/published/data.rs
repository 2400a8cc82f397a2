//! The published data: daily rows of bitcoin in three files, and the samples of each.

use chronos_market::NANOS_PER_SECOND;
use chronos_research::bars::{HistoryError, HistoryOptions, Ohlcv, read_history};
use std::path::{Path, PathBuf};

/// The files of a folder of data, in the order training, validation, test.
pub const SPLIT_FILES: [&str; 3] = ["train.csv", "val.csv", "test.csv"];

/// Volume is read in billions.
const VOLUME_UNIT: f32 = 1e9;

/// Why data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The folder lacks a file.
    #[error(
        "{path} is missing. The folder has to hold {files}: daily rows with the columns Open, High, Low, Close, Volume, Timestamp. The published ones stand in \
         https://github.com/MShahabSepehri/CryptoMamba (MIT), folder data/2018-09-17_2024-09-16_86400",
        path = path.display(), files = SPLIT_FILES.join(", ")
    )]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// It is no history.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Too few rows for a sample.
    #[error("{path} has {rows} rows and {rows_min} are needed for a sample; is this the right file?", path = path.display())]
    Short {
        /// Which.
        path: PathBuf,
        /// How many it has.
        rows: usize,
        /// How many are needed.
        rows_min: usize,
    },
}

/// One split: rows from the oldest to the newest.
#[derive(Clone, PartialEq, Debug)]
pub struct Split {
    /// The rows.
    pub rows: Vec<Ohlcv>,
    /// Days of a sample.
    pub window: usize,
}

impl Split {
    /// Reads a split whose samples have so many days.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn read(path: &Path, window: usize) -> Result<Self, DataError> {
        Ok(Self::read_with_hash(path, window)?.0)
    }

    fn read_with_hash(path: &Path, window: usize) -> Result<(Self, String), DataError> {
        if !path.is_file() {
            return Err(DataError::Missing { path: path.to_owned() });
        }
        let history = read_history(path, &HistoryOptions::default())?;
        let split = Self { rows: history.bars, window };
        if split.samples() == 0 {
            return Err(DataError::Short { path: path.to_owned(), rows: split.rows.len(), rows_min: window + 2 });
        }
        Ok((split, history.sha256))
    }

    /// How many samples there are: one less than possible, for the last row is never a target.
    pub fn samples(&self) -> usize {
        self.rows.len().saturating_sub(self.window + 1)
    }

    /// What the published model takes of a sample, `[channels, window]`: timestamp in seconds, open, high, low, close and, with six
    /// channels, volume in billions; oldest first, all rounded to f32.
    pub fn raw(&self, sample: usize, channels: usize) -> Vec<f32> {
        let rows = &self.rows[sample..sample + self.window];
        let of_row: [fn(&Ohlcv) -> f32; 6] = [
            |row| (row.start_ns / NANOS_PER_SECOND) as f32,
            |row| row.open as f32,
            |row| row.high as f32,
            |row| row.low as f32,
            |row| row.close as f32,
            |row| row.volume as f32 / VOLUME_UNIT,
        ];
        of_row.iter().take(channels).flat_map(|value| rows.iter().map(value)).collect()
    }

    /// The row whose close is to be predicted.
    pub fn target_row(&self, sample: usize) -> &Ohlcv {
        &self.rows[sample + self.window]
    }

    /// The last row that a sample knows.
    pub fn last_row(&self, sample: usize) -> &Ohlcv {
        &self.rows[sample + self.window - 1]
    }

    /// Closes to be predicted, rounded to f32 as the published evaluation has them.
    pub fn targets(&self) -> Vec<f64> {
        (0..self.samples()).map(|sample| f64::from(self.target_row(sample).close as f32)).collect()
    }

    /// Predictions of persistence: the last close that is known, rounded to f32.
    pub fn persistence(&self) -> Vec<f64> {
        (0..self.samples()).map(|sample| f64::from(self.last_row(sample).close as f32)).collect()
    }

    /// The closes at which the trading rules fill, as they are.
    pub fn decision_prices(&self) -> Vec<f64> {
        (0..self.samples()).map(|sample| self.last_row(sample).close).collect()
    }
}

/// Training, validation and test.
#[derive(Clone, PartialEq, Debug)]
pub struct Splits {
    /// What is learnt from.
    pub train: Split,
    /// What chooses.
    pub validation: Split,
    /// What judges.
    pub test: Split,
    /// Hexadecimal SHA-256 of their files.
    pub sha256: [String; 3],
}

impl Splits {
    /// Reads the three files of a folder; windows stay within their file.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn read(folder: &Path, window: usize) -> Result<Self, DataError> {
        let [train, validation, test] = SPLIT_FILES.map(|name| Split::read_with_hash(&folder.join(name), window));
        let ((train, of_train), (validation, of_validation), (test, of_test)) = (train?, validation?, test?);
        Ok(Self { train, validation, test, sha256: [of_train, of_validation, of_test] })
    }
}
