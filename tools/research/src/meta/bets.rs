//! The bets of a dataset, as a meta model is trained on them and asked about them.

use crate::dataset::{Dataset, DatasetError, Manifest, PrimarySignal};
use crate::trees::{Bets, Rows, RowsError};
use chronos_market::features::{index_of, registry};

/// The bets of a dataset: some of its features, sides, strengths, whether each paid, weights.
#[derive(Clone, PartialEq, Debug)]
pub struct DatasetBets {
    values: Vec<f64>,
    names: Vec<String>,
    sides: Vec<f64>,
    strengths: Vec<f64>,
    labels: Vec<bool>,
    weights: Vec<f64>,
}

/// Why a dataset holds no bets that a meta model could judge.
#[derive(Debug, thiserror::Error)]
pub enum BetsError {
    /// Its labels say which way, not whether a bet paid.
    #[error(
        "the dataset has no side: its labels tell directions, a meta model learns which bets pay; make it again with `--side strategy` or \
         `--side FEATURE`"
    )]
    NoSide,
    /// It lacks a feature.
    #[error("the dataset has no feature `{name}`, which the model reads; make it again of captures with this build")]
    Missing {
        /// The feature.
        name: String,
    },
    /// A feature is none that the hot path computes.
    #[error(
        "`{name}` is no feature of a decision tick, so no session could ask the model; train on a dataset of captures (`chronos features \
         list` shows what there is)"
    )]
    NotRegistered {
        /// The feature.
        name: String,
    },
    /// A feature was computed in another way.
    #[error("feature `{name}` is version {dataset} in the dataset, and this build computes {build}; make the dataset again")]
    Version {
        /// The feature.
        name: String,
        /// Its version in the dataset.
        dataset: u16,
        /// Its version here.
        build: u16,
    },
    /// A value is not finite.
    #[error("row {row}: `{column}` is {value}; drop the row or make the dataset again")]
    NotFinite {
        /// The row, from 0.
        row: usize,
        /// Its column.
        column: String,
        /// The value.
        value: f64,
    },
    /// A row has no bet.
    #[error("row {row} has no side where others have one; make the dataset again")]
    RowWithoutSide {
        /// The row, from 0.
        row: usize,
    },
    /// A meta-label is 0 or 1.
    #[error("row {row}: label {label} is not one of 0 and 1 (meta-labels); make the dataset again")]
    Label {
        /// The row, from 0.
        row: usize,
        /// Its label.
        label: i8,
    },
    /// All bets went alike.
    #[error("all {bets} bets {outcome}, so there is nothing to tell apart; give more data, or other barriers")]
    OneOutcome {
        /// How many.
        bets: usize,
        /// What became of them.
        outcome: &'static str,
    },
    /// The primary model is another one.
    #[error("the dataset's bets are by `{dataset}`, and the model judges bets by `{model}`; make one with `--side={model}`")]
    Primary {
        /// Of the dataset.
        dataset: String,
        /// Of the model.
        model: String,
    },
    /// The primary model of the dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The features.
    #[error(transparent)]
    Rows(#[from] RowsError),
}

impl DatasetBets {
    /// The bets with all features of the dataset, which the hot path has to compute in the same way.
    ///
    /// # Errors
    /// [`BetsError`], with the row or the feature and the remedy.
    pub fn of(dataset: &Dataset, manifest: &Manifest) -> Result<DatasetBets, BetsError> {
        let bets = DatasetBets::with_features(dataset, manifest, &dataset.features)?;
        match bets.labels.iter().filter(|label| **label).count() {
            0 => Err(BetsError::OneOutcome { bets: bets.labels.len(), outcome: "lost" }),
            won if won == bets.labels.len() => Err(BetsError::OneOutcome { bets: won, outcome: "paid" }),
            _ => Ok(bets),
        }
    }

    /// The bets with these features, in this order.
    ///
    /// # Errors
    /// [`BetsError`], with the row or the feature and the remedy.
    pub fn with_features(dataset: &Dataset, manifest: &Manifest, names: &[String]) -> Result<DatasetBets, BetsError> {
        let Some(side) = &manifest.recipe.side else { return Err(BetsError::NoSide) };
        let columns = names.iter().map(|name| column(dataset, manifest, name)).collect::<Result<Vec<usize>, BetsError>>()?;
        let primary = PrimarySignal::of(side, dataset.features.iter().map(String::as_str))?;
        let mut bets = DatasetBets {
            values: Vec::with_capacity(dataset.rows() * names.len()),
            names: names.to_vec(),
            sides: Vec::new(),
            strengths: Vec::new(),
            labels: Vec::new(),
            weights: dataset.weight.clone(),
        };
        for row in 0..dataset.rows() {
            let features = dataset.row(row);
            let strength = primary.signal(features).abs();
            let not_finite = |column: &str, value: f64| BetsError::NotFinite { row, column: column.to_owned(), value };
            for column in &columns {
                let value = features[*column];
                // The learners hold features as float32.
                if !(value as f32).is_finite() {
                    return Err(not_finite(&dataset.features[*column], value));
                }
                bets.values.push(value);
            }
            for (name, value) in
                [("the primary signal", strength), ("weight", dataset.weight[row]), ("return", dataset.simple_return[row])]
            {
                if !value.is_finite() {
                    return Err(not_finite(name, value));
                }
            }
            bets.sides.push(dataset.side[row].ok_or(BetsError::RowWithoutSide { row })?.sign() as f64);
            bets.strengths.push(strength);
            bets.labels.push(match dataset.label[row] {
                0 => false,
                1 => true,
                label => return Err(BetsError::Label { row, label }),
            });
        }
        Ok(bets)
    }

    /// The bets as learners take them.
    ///
    /// # Errors
    /// [`BetsError::Rows`] where there is no feature.
    pub fn bets(&self) -> Result<Bets<'_>, BetsError> {
        Ok(Bets {
            rows: Rows::new(&self.values, self.names.len())?,
            names: &self.names,
            sides: &self.sides,
            strengths: &self.strengths,
            labels: &self.labels,
            weights: Some(&self.weights),
        })
    }
}

/// The column of a feature that this build computes as the dataset's did.
fn column(dataset: &Dataset, manifest: &Manifest, name: &str) -> Result<usize, BetsError> {
    let Some(known) = index_of(name).and_then(|place| registry().get(place)) else {
        return Err(BetsError::NotRegistered { name: name.to_owned() });
    };
    let column = dataset.features.iter().position(|column| column == name);
    let Some((column, version)) = column.and_then(|column| Some((column, *manifest.features.versions.get(column)?))) else {
        return Err(BetsError::Missing { name: name.to_owned() });
    };
    if version != known.version {
        return Err(BetsError::Version { name: name.to_owned(), dataset: version, build: known.version });
    }
    Ok(column)
}
