//! The gate's figures and what follows from them.

use crate::error::SeriesError;
use crate::ledger::{Head, History, lower_median, trials};
use crate::validation::{
    Configuration, Deflated, Moments, Overfitting, SharpeEstimate, Trials, VALIDATION_FILE, Validation, bound_to, overfitting,
};
use chronos_session::config::PromotionSection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Sharpe ratios that should be the same may differ by this much relative to 1, by how their numbers were written down.
const SAME_SHARPE: f64 = 1e-9;

/// What a model has to show.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// The probability of overfitting has to be below this.
    pub pbo_below: f64,
    /// The probability of the deflated Sharpe ratio has to be above this.
    pub dsr_above: f64,
    /// Blocks into which CSCV cuts the history: even, 2 to 18.
    pub blocks: usize,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate::from(&PromotionSection::default())
    }
}

impl From<&PromotionSection> for Gate {
    fn from(section: &PromotionSection) -> Gate {
        Gate { pbo_below: section.pbo_below, dsr_above: section.dsr_above, blocks: section.blocks }
    }
}

/// Why the gate could not decide.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum PromotionError {
    /// A figure cannot be computed.
    #[error(transparent)]
    Statistics(#[from] SeriesError),
    /// The gate itself makes no sense.
    #[error("{0}")]
    Gate(String),
}

/// What asks to be promoted.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Its validation.
    pub validation: &'a Validation,
    /// SHA-256 of the dataset the model was trained on; empty for none.
    pub trained_on: &'a str,
    /// The model, as [`subject_sha256`](chronos_session::model::subject_sha256) has it; empty for none.
    pub subject_sha256: &'a str,
    /// The head of the ledger it was promoted with before, as its manifest has it.
    pub promoted_with: Option<Head>,
}

/// What the gate found.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Verdict {
    /// Whether the model may trade.
    pub is_promoted: bool,
    /// Why not, each with its numbers; empty where it may.
    pub reasons: Vec<String>,
    /// What was asked.
    pub gate: Gate,
    /// The best configuration, as its model describes itself.
    pub model: Value,
    /// Its hash.
    pub config_sha256: String,
    /// Probability of overfitting, the mean over paths; none where there is one configuration alone.
    pub pbo: Option<f64>,
    /// The deflated Sharpe ratio of the median path; none where the best configuration never traded.
    pub deflated: Option<Deflated>,
    /// The same with every bet counted as independent.
    pub deflated_plain: Option<Deflated>,
    /// The Sharpe ratio of the median path, per bet.
    pub sharpe: Option<SharpeEstimate>,
    /// Number of bets.
    pub bets: usize,
    /// Bets a year, by the data's clock.
    pub periods_per_year: f64,
    /// Sharpe ratio a bet of each path of the best configuration.
    pub path_sharpes: Vec<f64>,
    /// The trials of the ledger, on the scale of these bets.
    pub trials: Trials,
    /// The ledger as it was judged by.
    pub ledger: Head,
}

/// What speaks for a promoted model: the `[evidence]` of its manifest.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// Files it rests on, by name, with their SHA-256: `validation.json`.
    pub files: BTreeMap<String, String>,
    /// SHA-256 of the configuration that was judged.
    pub config_sha256: String,
    /// Entries of the ledger at the time.
    pub ledger_entries: u64,
    /// SHA-256 of the last of them.
    pub ledger_sha256: String,
    /// Probability of overfitting.
    pub pbo: f64,
    /// It had to be below this.
    pub pbo_below: f64,
    /// Probability of the deflated Sharpe ratio.
    pub dsr: f64,
    /// It had to be above this.
    pub dsr_above: f64,
    /// The deflated Sharpe ratio in standard errors.
    pub deflated_z: f64,
    /// Number of trials it was deflated by.
    pub trials: usize,
    /// Sharpe ratio a year of the median path.
    pub annual_sharpe: f64,
    /// Number of bets.
    pub bets: usize,
    /// When it was promoted, nanoseconds since 1970.
    pub time_ns: i64,
}

impl Evidence {
    /// The ledger at the time.
    pub fn ledger(&self) -> Head {
        Head { entries: self.ledger_entries, sha256: self.ledger_sha256.clone() }
    }
}

impl Verdict {
    /// The evidence for the manifest; none where the model was refused.
    pub fn evidence(&self, validation_sha256: &str, time_ns: i64) -> Option<Evidence> {
        let (pbo, deflated, sharpe) = (self.pbo?, self.deflated?, self.sharpe?);
        self.is_promoted.then(|| Evidence {
            files: [(VALIDATION_FILE.to_owned(), validation_sha256.to_owned())].into(),
            config_sha256: self.config_sha256.clone(),
            ledger_entries: self.ledger.entries,
            ledger_sha256: self.ledger.sha256.clone(),
            pbo,
            pbo_below: self.gate.pbo_below,
            dsr: deflated.probability,
            dsr_above: self.gate.dsr_above,
            deflated_z: deflated.z,
            trials: self.trials.count,
            annual_sharpe: sharpe.sharpe * self.periods_per_year.sqrt(),
            bets: self.bets,
            time_ns,
        })
    }
}

/// Judges the best configuration of a candidate's validation.
///
/// # Errors
/// [`PromotionError`] where the gate makes no sense or the returns are too few to compute its figures.
pub fn judge(candidate: &Candidate<'_>, history: &History, gate: &Gate) -> Result<Verdict, PromotionError> {
    let Candidate { validation, trained_on, subject_sha256, ref promoted_with } = *candidate;
    if !(0.0..=1.0).contains(&gate.pbo_below) || !(0.0..=1.0).contains(&gate.dsr_above) {
        return Err(PromotionError::Gate(format!(
            "pbo_below {} and dsr_above {} lie between 0 and 1",
            gate.pbo_below, gate.dsr_above
        )));
    }
    let mut reasons = Vec::new();
    if trained_on.is_empty() {
        reasons.push("the model was not trained on anything".into());
    } else if trained_on != validation.dataset_sha256 {
        reasons.push(format!(
            "the model was trained on dataset {}, the validation ran on {}",
            short(trained_on),
            short(&validation.dataset_sha256)
        ));
    }
    reasons.extend(bound_elsewhere(validation, subject_sha256));
    reasons.extend(missing_from_ledger(validation, history));
    if let Some(head) = promoted_with.as_ref().filter(|head| !history.contains(head)) {
        reasons.push(format!(
            "the ledger does not hold the {} entries the model was promoted with: it was deleted, rewritten or is another one",
            head.entries
        ));
    }
    let best = best_configuration(&validation.configurations)
        .ok_or_else(|| PromotionError::Gate("the validation holds no configuration; validate again".into()))?;

    let pbo = match validation.configurations.len() {
        1 => {
            reasons.push("one configuration alone has no probability of overfitting; validate at least two".into());
            None
        }
        _ => Some(mean_overfitting(&validation.configurations, gate.blocks)?),
    };
    if let Some(pbo) = pbo.filter(|pbo| *pbo >= gate.pbo_below) {
        reasons.push(format!("probability of overfitting {pbo:.3} is not below {}", gate.pbo_below));
    }

    let sharpe = median_path(best);
    let trials = trials(history, validation.times_ns.len() as u64);
    let dependence = validation.splitter.dependence();
    let deflated = sharpe
        .map(|sharpe| SharpeEstimate { observations: 1.0 + (sharpe.observations - 1.0) / dependence, ..sharpe }.deflated(trials));
    match deflated {
        None => reasons.push("the best configuration never traded".into()),
        Some(deflated) if deflated.probability > gate.dsr_above => {}
        Some(deflated) => reasons.push(format!(
            "deflated Sharpe ratio has probability {:.3} (z {:.2}), not above {}",
            deflated.probability, deflated.z, gate.dsr_above
        )),
    }
    Ok(Verdict {
        is_promoted: reasons.is_empty(),
        reasons,
        gate: *gate,
        model: best.model.clone(),
        config_sha256: best.config_sha256.clone(),
        pbo,
        deflated,
        deflated_plain: sharpe.map(|sharpe| sharpe.deflated(trials)),
        sharpe,
        bets: validation.times_ns.len(),
        periods_per_year: validation.periods_per_year,
        path_sharpes: best.path_sharpes(),
        trials,
        ledger: history.head(),
    })
}

/// Why the paths are not those of the model; nothing where they are.
fn bound_elsewhere(validation: &Validation, subject_sha256: &str) -> Option<String> {
    let is_bound = |subject: &str| {
        validation
            .configurations
            .iter()
            .all(|configuration| configuration.bound_to == bound_to(subject, &configuration.config_sha256))
    };
    if is_bound(subject_sha256) {
        return None;
    }
    let what = if is_bound("") {
        "the validation was run without a model in its folder"
    } else {
        "the validation is of another model, or the model, its settings or a configuration were changed since"
    };
    Some(format!("{what}; validate again with `--out` at the model's folder"))
}

/// Why the ledger does not cover the validation; nothing where it does.
fn missing_from_ledger(validation: &Validation, history: &History) -> Option<String> {
    if !history.contains(&validation.ledger) {
        return Some(format!(
            "the ledger does not hold the {} entries it held after this validation (it has {}): it was deleted, rewritten or is another one",
            validation.ledger.entries,
            history.head().entries
        ));
    }
    let is_recorded = |configuration: &&Configuration| {
        let sharpes = configuration.path_sharpes();
        history.trials.iter().any(|trial| {
            trial.config_sha256 == configuration.config_sha256
                && trial.dataset_sha256 == validation.dataset_sha256
                && trial.seed == validation.seed
                && trial.path_sharpes.len() == sharpes.len()
                && trial.path_sharpes.iter().zip(&sharpes).all(|(one, two)| (one - two).abs() <= SAME_SHARPE * two.abs().max(1.0))
        })
    };
    let missing = validation.configurations.iter().find(|configuration| !is_recorded(configuration))?;
    Some(format!(
        "the ledger knows no trial of {} with these returns: validation.json was changed, or never appended",
        missing.model
    ))
}

/// The configuration with the highest median Sharpe ratio over its paths; the first of equals.
fn best_configuration(configurations: &[Configuration]) -> Option<&Configuration> {
    let score = |configuration: &Configuration| lower_median(&configuration.path_sharpes());
    configurations.iter().rev().max_by(|one, two| score(one).total_cmp(&score(two)))
}

/// The Sharpe ratio of the median path; none where that path never traded.
fn median_path(configuration: &Configuration) -> Option<SharpeEstimate> {
    let median = lower_median(&configuration.path_sharpes());
    let estimates = configuration.paths.iter().filter_map(|returns| Moments::of(returns).ok());
    estimates.map(|moments| moments.sharpe()).find(|estimate| estimate.sharpe == median)
}

fn mean_overfitting(configurations: &[Configuration], blocks: usize) -> Result<f64, SeriesError> {
    let all = path_overfitting(configurations, blocks)?;
    Ok(all.iter().map(|found| found.probability).sum::<f64>() / all.len() as f64)
}

/// The probability of overfitting on each path; its mean is the gate's.
///
/// # Errors
/// [`SeriesError`] as [`overfitting`] has it.
pub fn path_overfitting(configurations: &[Configuration], blocks: usize) -> Result<Vec<Overfitting>, SeriesError> {
    let paths = configurations.first().map_or(0, |configuration| configuration.paths.len());
    let of_path = |path: usize| {
        let returns: Vec<&[f64]> = configurations.iter().map(|configuration| configuration.paths[path].as_slice()).collect();
        overfitting(&returns, blocks)
    };
    (0..paths).map(of_path).collect()
}

/// Enough of a hash to tell two apart.
fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Trial};
    use crate::validation::{Backtest, Embargo, Sizing, Splitter, Target};
    use serde_json::json;

    const BETS: usize = 400;

    /// Returns of one path: noise of 1 % and a drift in its units.
    fn noise(seed: u64, drift: f64) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..BETS).map(|_| 0.01 * ((0..12).map(|_| random.f64()).sum::<f64>() - 6.0 + drift)).collect()
    }

    /// A validation of configurations with these drifts, appended to a ledger.
    fn validated(drifts: &[f64], ledger: &Ledger) -> Validation {
        let configuration = |(place, &drift): (usize, &f64)| Configuration {
            model: json!({ "kind": "made up", "number": place }),
            config_sha256: format!("config {place}"),
            turnover: 1.0,
            exposure: 1.0,
            bound_to: bound_to("model", &format!("config {place}")),
            reliability: vec![],
            paths: (0..3)
                .map(|path| if drift.is_nan() { vec![0.0; BETS] } else { noise(place as u64 * 10 + path, drift) })
                .collect(),
        };
        let configurations: Vec<Configuration> = drifts.iter().enumerate().map(configuration).collect();
        let times_ns: Vec<i64> = (0..BETS as i64).map(|bet| bet * 36_000_000_000_000).collect();
        let periods_per_year = crate::validation::performance::periods_per_year(&times_ns).unwrap();
        let trial = |configuration: &Configuration| Trial {
            time_ns: 0,
            command: "validate".into(),
            model: configuration.model.clone(),
            config_sha256: configuration.config_sha256.clone(),
            dataset_sha256: "data".into(),
            seed: 1,
            code: "1".into(),
            periods_per_year,
            bets: BETS as u64,
            path_sharpes: configuration.path_sharpes(),
        };
        let head = ledger.append(&configurations.iter().map(trial).collect::<Vec<_>>()).unwrap();
        Validation {
            format: 2,
            time_ns: 0,
            code: "1".into(),
            seed: 1,
            dataset_sha256: "data".into(),
            target: Target::Direction,
            rows: BETS,
            splitter: Splitter::CombinatorialPurged { folds: 4, test_folds: 2, purge_bars: 0, embargo: Embargo::default() },
            backtest: Backtest { cost_bps: 0.0, threshold: 0.0, sizing: Sizing::Unit },
            periods_per_year,
            times_ns,
            benchmark: vec![0.0; BETS],
            configurations,
            ledger: head,
        }
    }

    /// The verdict on such a validation, after an edit of the validation.
    fn verdict(drifts: &[f64], edit: impl Fn(&mut Validation, &Ledger)) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::in_folder(folder.path());
        let mut validation = validated(drifts, &ledger);
        edit(&mut validation, &ledger);
        judge(&candidate(&validation, "data"), &ledger.read().unwrap(), &Gate::default()).unwrap()
    }

    fn candidate<'a>(validation: &'a Validation, trained_on: &'a str) -> Candidate<'a> {
        Candidate { validation, trained_on, subject_sha256: "model", promoted_with: None }
    }

    #[test]
    fn skill_is_promoted_with_its_evidence() {
        let found = verdict(&[0.0, 0.5, 0.0, 0.0], |_, _| {});
        assert!(found.is_promoted, "{found:?}");
        assert_eq!((found.model["number"].as_u64(), found.trials.count, found.path_sharpes.len()), (Some(1), 4, 3));
        let (deflated, plain) = (found.deflated.unwrap(), found.deflated_plain.unwrap());
        // 4 folds of which 2 are tested: a variance of 5/3.
        assert!((plain.z / deflated.z - (5.0_f64 / 3.0).sqrt()).abs() < 1e-9, "{plain:?} {deflated:?}");
        let evidence = found.evidence("abc", 7).unwrap();
        assert_eq!((evidence.dsr, evidence.pbo, evidence.ledger_entries), (deflated.probability, found.pbo.unwrap(), 4));
        assert_eq!(evidence.files["validation.json"], "abc");
    }

    #[test]
    fn chance_is_refused_with_its_numbers() {
        let found = verdict(&[0.0, 0.02, 0.0, 0.0], |_, _| {});
        assert!(!found.is_promoted && found.evidence("abc", 7).is_none());
        assert!(
            found.reasons.iter().any(|reason| reason.starts_with("deflated Sharpe ratio has probability 0.")),
            "{:?}",
            found.reasons
        );
        // Every column alike but for noise: who is best in sample says nothing out of sample.
        let shaped = |place: usize| {
            (0..3).map(|_| if place == 0 { noise(5, 0.0) } else { noise(5, 0.0).iter().map(|value| -value).collect() }).collect()
        };
        let found = verdict(&[0.0, 0.0], |validation, _| {
            (0..2).for_each(|place| validation.configurations[place].paths = shaped(place));
        });
        assert!(found.reasons.iter().any(|reason| reason.starts_with("probability of overfitting ")), "{:?}", found.reasons);
    }

    #[test]
    fn more_trials_in_the_ledger_take_the_promotion_away() {
        let more = |validation: &mut Validation, ledger: &Ledger| {
            let trial = ledger.read().unwrap().trials[0].clone();
            let trials: Vec<Trial> = (0..200)
                .map(|place| Trial {
                    config_sha256: format!("other {place}"),
                    path_sharpes: vec![if place % 2 == 0 { 0.12 } else { -0.12 }; 3],
                    ..trial.clone()
                })
                .collect();
            validation.ledger = ledger.append(&trials).unwrap();
        };
        assert!(verdict(&[0.0, 0.4, 0.0, 0.0], |_, _| {}).is_promoted);
        let found = verdict(&[0.0, 0.4, 0.0, 0.0], more);
        assert!(!found.is_promoted && found.trials.count == 204, "{found:?}");
    }

    #[test]
    fn a_ledger_without_the_validation_is_refused() {
        let skilled = [0.0, 0.5, 0.0, 0.0];
        let reason = |edit: &dyn Fn(&mut Validation, &Ledger)| {
            let found = verdict(&skilled, edit);
            assert!(!found.is_promoted);
            found.reasons.join("; ")
        };
        let emptied = reason(&|validation, ledger| {
            let folder = tempfile::tempdir().unwrap();
            let other = Ledger::in_folder(folder.path());
            let trials = ledger.read().unwrap().trials;
            validation.ledger = other.append(&[&trials[..], &trials[..1]].concat()).unwrap();
        });
        assert!(emptied.contains("does not hold the 5 entries") && emptied.contains("it has 4"), "{emptied}");
        let changed = reason(&|validation, _| validation.configurations[2].paths[0][0] += 0.5);
        assert!(changed.contains("knows no trial") && changed.contains("\"number\":2"), "{changed}");
        let other_data = reason(&|validation, _| validation.dataset_sha256 = "other".into());
        assert!(other_data.contains("trained on dataset data, the validation ran on other"), "{other_data}");
    }

    #[test]
    fn paths_of_another_model_or_configuration_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::in_folder(folder.path());
        let validation = validated(&[0.0, 0.5, 0.0, 0.0], &ledger);
        let history = ledger.read().unwrap();
        let reasons = |validation: &Validation, subject_sha256: &str| {
            let candidate = Candidate { subject_sha256, ..candidate(validation, "data") };
            judge(&candidate, &history, &Gate::default()).unwrap().reasons.join("; ")
        };
        assert_eq!(reasons(&validation, "model"), "");
        assert!(reasons(&validation, "other").contains("of another model, or the model"));
        let mut changed = validation.clone();
        changed.configurations[1].config_sha256 = "other".into();
        assert!(reasons(&changed, "model").contains("a configuration were changed since"));
        let mut unbound = validation.clone();
        for configuration in &mut unbound.configurations {
            configuration.bound_to = bound_to("", &configuration.config_sha256);
        }
        assert!(reasons(&unbound, "model").contains("without a model in its folder"));
    }

    #[test]
    fn what_cannot_be_judged_is_told() {
        let found = verdict(&[0.5], |_, _| {});
        assert!(found.pbo.is_none() && found.reasons.join("; ").contains("validate at least two"));
        let found = verdict(&[f64::NAN, f64::NAN], |_, _| {});
        assert!(found.reasons.join("; ").contains("never traded"), "{:?}", found.reasons);
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::in_folder(folder.path());
        let validation = validated(&[0.0, 0.5], &ledger);
        let history = ledger.read().unwrap();
        let promoted_with = Some(Head { entries: 3, sha256: "other".into() });
        let found = judge(&Candidate { promoted_with, ..candidate(&validation, "data") }, &history, &Gate::default()).unwrap();
        assert!(found.reasons.join("; ").contains("the 3 entries the model was promoted with"));
        let found = judge(&candidate(&validation, ""), &history, &Gate::default()).unwrap();
        assert!(found.reasons.join("; ").contains("not trained on anything"));
        let refused = |gate: Gate| judge(&candidate(&validation, "data"), &history, &gate).unwrap_err().to_string();
        assert!(refused(Gate { dsr_above: 1.5, ..Gate::default() }).contains("between 0 and 1"));
        assert!(refused(Gate { blocks: 7, ..Gate::default() }).contains("even number"));
    }
}
