//! XGBoost models in JSON, read and written.

use super::forest::{Forest, ForestParts, Link, Precision};
use super::read::ForestError;
use super::threshold::{below, below_inverse};
use super::tree::{FEATURES_MAX, Node, Split, Tree};
use super::xgboost_file::{
    Booster, BoosterModel, BoosterParameters, Learner, LearnerParameters, ModelFile, ModelKind, Objective, TreeFile, TreeParameters,
};
use std::collections::BTreeMap;

/// Versions of XGBoost whose models are known here.
const MAJOR_VERSIONS: std::ops::RangeInclusive<u32> = 1..=3;
/// The version whose format is written.
const VERSION_WRITTEN: [u32; 3] = [3, 0, 0];
/// A root's parent.
const NO_PARENT: u32 = i32::MAX as u32;

/// Which trees of a model that was stopped early are taken.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Iterations {
    /// Those up to the attribute `best_iteration`, as XGBoost's scikit-learn interface predicts; all where there is none.
    #[default]
    Best,
    /// All, as `Booster.predict` does.
    All,
}

/// Reads the text of an XGBoost model. Predictions are those of XGBoost: its float32 comparisons and sums.
///
/// # Errors
/// [`ForestError::Refused`] for what is not a model, of a version other than 1 to 3, of a booster other than `gbtree`, an objective
/// other than logistic, squared, absolute, Huber, quantile or softmax, with categorical splits or several targets.
pub fn parse_xgboost(text: &str, iterations: Iterations) -> Result<Forest, ForestError> {
    let broken =
        |error: serde_json::Error| refused("file", format!("{error}; save the model again with `save_model(\"model.json\")`"));
    let kind: ModelKind = serde_json::from_str(text).map_err(broken)?;
    match kind.version.first() {
        Some(major) if MAJOR_VERSIONS.contains(major) => {}
        _ => {
            return Err(refused(
                "version",
                format!(
                    "{:?} is not known to this build, which reads XGBoost {} to {}; save the model with one of those",
                    kind.version,
                    MAJOR_VERSIONS.start(),
                    MAJOR_VERSIONS.end()
                ),
            ));
        }
    }
    let booster = kind.learner.gradient_booster.name;
    if booster != "gbtree" {
        return Err(refused("booster", format!("`{booster}` is not read; train with `booster=\"gbtree\"`")));
    }
    let file: ModelFile = serde_json::from_str(text).map_err(broken)?;
    let Learner { attributes, feature_names, feature_types, gradient_booster, learner_model_param, objective } = file.learner;
    let model = gradient_booster.model;
    if feature_types.iter().any(|kind| kind == "c") {
        return Err(refused("feature_types", CATEGORICAL.into()));
    }
    if parse::<usize>("num_target", &learner_model_param.num_target)? > 1 {
        return Err(refused("num_target", "a model of several targets is not read; train one model for each".into()));
    }
    let classes = parse::<usize>("num_class", &learner_model_param.num_class)?;
    let (link, is_probability) = link(&objective.name)?;
    let outputs = if link == Link::Softmax { classes } else { 1 };
    if outputs == 0 || outputs > FEATURES_MAX || (classes > 1 && outputs == 1) {
        return Err(refused("num_class", format!("{classes} classes do not go with the objective `{}`", objective.name)));
    }
    let kept = trees_kept(&model, &attributes, outputs, iterations)?;
    if model.tree_info.len() != model.trees.len() {
        return Err(refused("tree_info", format!("{} entries for {} trees", model.tree_info.len(), model.trees.len())));
    }
    let trees = model.trees.iter().zip(&model.tree_info).take(kept).enumerate();
    let trees = trees.map(|(number, (tree, output))| tree_of(number, tree, *output)).collect::<Result<_, _>>()?;
    Forest::new(ForestParts {
        link,
        precision: Precision::Single,
        features: parse("num_feature", &learner_model_param.num_feature)?,
        feature_names,
        base_margins: base_margins(&learner_model_param.base_score, outputs, is_probability)?,
        trees,
    })
    .map_err(|flaw| refused("trees", format!("{flaw}; the file is damaged, save the model again")))
}

/// The text of an XGBoost model that predicts as the forest does.
///
/// The objective is the plain one of the forest's link: `reg:squarederror`, `binary:logistic`, `multi:softprob`. Reading it back
/// gives an equal forest, where its trees have their root first.
///
/// # Errors
/// [`ForestError::Refused`] for a forest that XGBoost's format cannot hold: of LightGBM.
pub fn write_xgboost(forest: &Forest) -> Result<String, ForestError> {
    let cannot = |place: &str| refused(place, "XGBoost's format cannot hold it; keep the file it came from".into());
    let name = match forest.link() {
        Link::Identity => "reg:squarederror",
        Link::Logistic { slope: 1.0 } => "binary:logistic",
        Link::Logistic { .. } => return Err(cannot("slope")),
        Link::Softmax => "multi:softprob",
    };
    if forest.precision() != Precision::Single {
        return Err(cannot("precision"));
    }
    let classes = if forest.link() == Link::Softmax { forest.outputs() } else { 0 };
    let trees = forest
        .trees()
        .iter()
        .enumerate()
        .map(|(number, tree)| tree_file(number, tree, forest.features()).ok_or_else(|| cannot(&format!("tree {number}"))));
    let trees: Vec<TreeFile> = trees.collect::<Result<_, _>>()?;
    let parameters = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    };
    let is_softmax = forest.link() == Link::Softmax;
    let base_scores = forest.base_margins().iter().map(|margin| base_score(*margin, forest.link()));
    let base_scores: Vec<String> = base_scores.collect::<Option<_>>().ok_or_else(|| cannot("base margin"))?;
    let file = ModelFile {
        learner: Learner {
            attributes: BTreeMap::new(),
            feature_names: forest.feature_names().to_vec(),
            feature_types: vec!["float".to_owned(); forest.feature_names().len()],
            gradient_booster: Booster {
                name: "gbtree".to_owned(),
                model: BoosterModel {
                    cats: Default::default(),
                    gbtree_model_param: BoosterParameters { num_parallel_tree: "1".to_owned(), num_trees: trees.len().to_string() },
                    iteration_indptr: (0..=trees.len() / forest.outputs()).map(|round| round * forest.outputs()).collect(),
                    tree_info: forest.trees().iter().map(|tree| tree.output).collect(),
                    trees,
                },
            },
            learner_model_param: LearnerParameters {
                base_score: format!("[{}]", base_scores.join(",")),
                boost_from_average: "1".to_owned(),
                num_class: classes.to_string(),
                num_feature: forest.features().to_string(),
                num_target: "1".to_owned(),
            },
            objective: Objective {
                name: name.to_owned(),
                reg_loss_param: if is_softmax { BTreeMap::new() } else { parameters(&[("scale_pos_weight", "1".to_owned())]) },
                softmax_multiclass_param: if is_softmax {
                    parameters(&[("num_class", classes.to_string())])
                } else {
                    BTreeMap::new()
                },
            },
        },
        version: VERSION_WRITTEN.to_vec(),
    };
    serde_json::to_string(&file).map_err(|error| refused("file", error.to_string()))
}

const CATEGORICAL: &str = "categorical splits are not read; encode the categories as numbers and train again";

fn refused(place: &str, reason: String) -> ForestError {
    ForestError::Refused { format: "XGBoost", place: place.to_owned(), reason }
}

fn parse<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, ForestError> {
    text.parse().map_err(|_| refused(field, format!("`{text}` is not a number; the file is damaged, save the model again")))
}

/// The link of an objective, and whether its base score is a probability.
fn link(objective: &str) -> Result<(Link, bool), ForestError> {
    match objective {
        "binary:logistic" | "reg:logistic" => Ok((Link::Logistic { slope: 1.0 }, true)),
        "multi:softprob" | "multi:softmax" => Ok((Link::Softmax, false)),
        "reg:squarederror" | "reg:absoluteerror" | "reg:pseudohubererror" | "reg:quantileerror" => Ok((Link::Identity, false)),
        other => Err(refused(
            "objective",
            format!("`{other}` is not read; known are binary:logistic, multi:softprob, reg:squarederror and their kin"),
        )),
    }
}

/// Number of trees that are taken.
fn trees_kept(
    model: &BoosterModel,
    attributes: &BTreeMap<String, String>,
    outputs: usize,
    iterations: Iterations,
) -> Result<usize, ForestError> {
    let all = model.trees.len();
    let count = parse::<usize>("num_trees", &model.gbtree_model_param.num_trees)?;
    if count != all {
        return Err(refused("num_trees", format!("it says {count}, there are {all}; the file is cut off, save the model again")));
    }
    let Some(best) = attributes.get("best_iteration").filter(|_| iterations == Iterations::Best) else { return Ok(all) };
    let best = parse::<usize>("best_iteration", best)?;
    let parallel = parse::<usize>("num_parallel_tree", &model.gbtree_model_param.num_parallel_tree)?;
    let end = match model.iteration_indptr.as_slice() {
        [] => best.checked_add(1).and_then(|rounds| rounds.checked_mul(parallel)?.checked_mul(outputs)),
        starts => starts.get(best.saturating_add(1)).copied(),
    };
    end.filter(|end| *end <= all).ok_or_else(|| {
        refused("best_iteration", format!("{best} is beyond the model's {all} trees; the file is damaged, save the model again"))
    })
}

/// `[5.1E-1]`, one number a class, or `5.1E-1` as before version 3; a probability stands for its log odds.
fn base_margins(text: &str, outputs: usize, is_probability: bool) -> Result<Vec<f64>, ForestError> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let scores = inner.split(',').map(|score| parse::<f32>("base_score", score.trim())).collect::<Result<Vec<_>, _>>()?;
    let margins: Vec<f64> = scores.iter().map(|score| f64::from(if is_probability { log_odds(*score) } else { *score })).collect();
    match margins.as_slice() {
        [one] => Ok(vec![*one; outputs]),
        several if several.len() == outputs => Ok(margins),
        several => Err(refused("base_score", format!("{} numbers for {outputs} outputs", several.len()))),
    }
}

/// The log odds of a probability, in float32 as XGBoost has them.
pub fn log_odds(probability: f32) -> f32 {
    -(1.0 / probability - 1.0).ln()
}

/// A base score that is read back as `margin`; `None` where there is none.
fn base_score(margin: f64, link: Link) -> Option<String> {
    let margin = single(margin)?;
    if !matches!(link, Link::Logistic { .. }) {
        return Some(format!("{margin:E}"));
    }
    let nearest = (1.0 / (1.0 + (-f64::from(margin)).exp())) as f32;
    let bits = nearest.to_bits();
    let near = (bits.saturating_sub(64)..=bits.saturating_add(64)).map(f32::from_bits);
    near.filter(|probability| log_odds(*probability) == margin).map(|probability| format!("{probability:E}")).next()
}

fn tree_of(number: usize, file: &TreeFile, output: usize) -> Result<Tree, ForestError> {
    let place = || format!("tree {number}");
    let count = parse::<usize>("num_nodes", &file.tree_param.num_nodes)?;
    if parse::<usize>("size_leaf_vector", &file.tree_param.size_leaf_vector)? > 1 {
        return Err(refused(
            &place(),
            "leaves of several values are not read; train with `multi_strategy=\"one_output_per_tree\"`".into(),
        ));
    }
    if !file.categories_nodes.is_empty() || file.split_type.iter().any(|kind| *kind != 0) {
        return Err(refused(&place(), CATEGORICAL.into()));
    }
    let lengths = [
        file.default_left.len(),
        file.left_children.len(),
        file.right_children.len(),
        file.loss_changes.len(),
        file.split_conditions.len(),
        file.split_indices.len(),
        file.sum_hessian.len(),
    ];
    if lengths.iter().any(|length| *length != count) {
        let reason = format!("{count} nodes, and lists of {lengths:?} entries; the file is damaged, save the model again");
        return Err(refused(&place(), reason));
    }
    let node = |at: usize| {
        let (value, cover) = (file.split_conditions[at], f64::from(file.sum_hessian[at]));
        match (usize::try_from(file.left_children[at]), usize::try_from(file.right_children[at])) {
            (Ok(left), Ok(right)) => Node::split(
                Split {
                    feature: file.split_indices[at],
                    threshold: if value.is_finite() { below(value) } else { f64::NAN },
                    missing_left: file.default_left[at] != 0,
                    zero_is_missing: false,
                    left,
                    right,
                    gain: f64::from(file.loss_changes[at]),
                },
                cover,
            ),
            _ => Node::leaf(f64::from(value), cover),
        }
    };
    Ok(Tree { output, root: 0, nodes: (0..count).map(node).collect() })
}

/// The tree as XGBoost writes it; `None` where a number is no float32, or the root is not first.
fn tree_file(number: usize, tree: &Tree, features: usize) -> Option<TreeFile> {
    let count = tree.nodes.len();
    let mut file = TreeFile {
        base_weights: vec![0.0; count],
        categories: [],
        categories_nodes: Vec::new(),
        categories_segments: [],
        categories_sizes: [],
        default_left: vec![0; count],
        id: number,
        left_children: vec![-1; count],
        loss_changes: vec![0.0; count],
        parents: vec![NO_PARENT; count],
        right_children: vec![-1; count],
        split_conditions: vec![0.0; count],
        split_indices: vec![0; count],
        split_type: vec![0; count],
        sum_hessian: vec![0.0; count],
        tree_param: TreeParameters {
            num_deleted: "0".to_owned(),
            num_feature: features.to_string(),
            num_nodes: count.to_string(),
            size_leaf_vector: "1".to_owned(),
        },
    };
    for (at, node) in tree.nodes.iter().enumerate() {
        file.sum_hessian[at] = single(node.cover)?;
        let Some(split) = node.split else {
            file.split_conditions[at] = single(node.value)?;
            file.base_weights[at] = file.split_conditions[at];
            continue;
        };
        if split.zero_is_missing {
            return None;
        }
        file.split_conditions[at] = below_inverse(split.threshold)?;
        file.default_left[at] = u8::from(split.missing_left);
        file.split_indices[at] = split.feature;
        file.loss_changes[at] = single(split.gain)?;
        for (children, child) in [(&mut file.left_children, split.left), (&mut file.right_children, split.right)] {
            children[at] = i64::try_from(child).ok()?;
            *file.parents.get_mut(child)? = u32::try_from(at).ok()?;
        }
    }
    (tree.root == 0).then_some(file)
}

fn single(value: f64) -> Option<f32> {
    let single = value as f32;
    (f64::from(single) == value).then_some(single)
}
