//! The whole comparison: every model with every seed, kept as it goes on.

use super::comparison::Comparison;
use super::data::{DataError, Splits};
use super::recipe::{Recipe, RecipeError, Trained, Training, WINDOW};
use chronos_research::SeriesError;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A finished training a line, in the folder of an evaluation.
pub const RUNS_FILE: &str = "runs.jsonl";

/// What is trained and compared.
#[derive(Clone, PartialEq, Debug)]
pub struct Evaluation {
    /// Folder of the data.
    pub data: PathBuf,
    /// Folder of the runs; made if it is missing. What is finished there is not done again.
    pub out: PathBuf,
    /// Seeds of each model: 1, 2, ...
    pub seeds: u64,
    /// Which models, each once.
    pub models: Vec<Recipe>,
    /// Epochs instead of the recipes' own.
    pub epochs: Option<u64>,
}

/// How far an evaluation is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EvaluationProgress {
    /// What is trained.
    pub model: Recipe,
    /// With which seed.
    pub seed: u64,
    /// How far that is.
    pub training: Training,
    /// Epochs of everything before it, done or given up.
    pub epochs_before: u64,
    /// Epochs of everything, at most.
    pub epochs_total: u64,
}

/// Why an evaluation ended without a table.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A training.
    #[error("{model}, seed {seed}: {source}", model = model.name())]
    Training {
        /// Which model.
        model: Recipe,
        /// Which seed.
        seed: u64,
        /// Why.
        source: RecipeError,
    },
    /// A test.
    #[error(transparent)]
    Test(#[from] SeriesError),
    /// The folder.
    #[error("{path}: {source}", path = path.display())]
    Folder {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of finished runs that is none.
    #[error("{path}, line {line}: {source}; remove the line, and its model is trained again", path = path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The folder holds runs of other data, or of other epochs.
    #[error("{path}, line {line}: trained on other data or for other epochs than asked for; choose another folder to write to", path = path.display())]
    Other {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

impl Evaluation {
    /// Trains what is not trained yet, and compares. `clock` gives seconds; `observe` hears of every epoch and may end it all, which gives
    /// `None` and loses nothing.
    ///
    /// # Errors
    /// [`EvaluationError`].
    pub fn run(
        &self,
        clock: &dyn Fn() -> f64,
        observe: &mut dyn FnMut(EvaluationProgress) -> ControlFlow<()>,
    ) -> Result<Option<(Vec<Trained>, Comparison)>, EvaluationError> {
        let splits = Splits::read(&self.data, WINDOW)?;
        fs::create_dir_all(&self.out).map_err(|source| folder(&self.out, source))?;
        let mut done = self.finished(&splits)?;
        let epochs_of = |model: Recipe| model.plan(1, self.epochs).epochs;
        let epochs_total = self.seeds * self.models.iter().map(|model| epochs_of(*model)).sum::<u64>();
        let mut epochs_before = 0;
        for seed in 1..=self.seeds {
            for model in self.models.iter().copied() {
                if !done.iter().any(|one| (one.model, one.seed) == (model, seed)) {
                    let checkpoints = self.out.join(format!("{}-{seed}", model.name()));
                    fs::create_dir_all(&checkpoints).map_err(|source| folder(&checkpoints, source))?;
                    let mut told = |training| observe(EvaluationProgress { model, seed, training, epochs_before, epochs_total });
                    let trained = model.train(&splits, seed, self.epochs, &checkpoints, clock, &mut told);
                    let Some(trained) = trained.map_err(|source| EvaluationError::Training { model, seed, source })? else {
                        return Ok(None);
                    };
                    self.append(&trained)?;
                    done.push(trained);
                }
                epochs_before += epochs_of(model);
            }
        }
        done.retain(|one| one.seed <= self.seeds && self.models.contains(&one.model));
        let comparison = Comparison::of(&done, &splits.test)?;
        Ok(Some((done, comparison)))
    }

    fn runs_path(&self) -> PathBuf {
        self.out.join(RUNS_FILE)
    }

    /// What is finished; a last line that was cut off is cut away.
    fn finished(&self, splits: &Splits) -> Result<Vec<Trained>, EvaluationError> {
        let path = self.runs_path();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).map_err(|source| folder(&path, source))?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            fs::write(&path, &text[..whole]).map_err(|source| folder(&path, source))?;
        }
        let mut done: Vec<Trained> = Vec::new();
        for (place, line) in text[..whole].lines().enumerate() {
            let (path, line_number) = (path.clone(), place + 1);
            let trained: Trained = serde_json::from_str(line).map_err(|source| EvaluationError::Line {
                path: path.clone(),
                line: line_number,
                source,
            })?;
            let epochs_max = trained.model.plan(trained.seed, self.epochs).epochs;
            if trained.data_sha256 != splits.sha256 || trained.epochs_max != epochs_max {
                return Err(EvaluationError::Other { path, line: line_number });
            }
            done.push(trained);
        }
        Ok(done)
    }

    fn append(&self, trained: &Trained) -> Result<(), EvaluationError> {
        let path = self.runs_path();
        let line =
            serde_json::to_string(trained).map_err(|source| EvaluationError::Line { path: path.clone(), line: 0, source })?;
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_all()
        };
        write().map_err(|source| folder(&path, source))
    }
}

fn folder(path: &Path, source: io::Error) -> EvaluationError {
    EvaluationError::Folder { path: path.to_owned(), source }
}
