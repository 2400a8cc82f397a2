//! LightGBM models in text, read.

use super::forest::{Forest, ForestParts, Link, Precision};
use super::read::ForestError;
use super::tree::{Node, Split, Tree};
use std::collections::BTreeMap;
use std::str::FromStr;

/// The versions of the text format that are known here, those of LightGBM 3 and 4.
const VERSIONS: [&str; 2] = ["v3", "v4"];
/// Bits of `decision_type`: a categorical split, missing values go left, and from the third on what is missing.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
const MISSING_SHIFT: u8 = 2;
const MISSING_NONE: u8 = 0;
const MISSING_ZERO: u8 = 1;

/// Reads the text of a LightGBM model. Predictions are those of LightGBM: `x <= threshold` in doubles, and missing values as the
/// `decision_type` of each split says.
///
/// # Errors
/// [`ForestError::Refused`] for what is not a model, of a version other than v3 and v4, an objective other than binary, multiclass or
/// a regression without a transformation, with categorical splits, linear leaves or averaged output.
pub fn parse_lightgbm(text: &str) -> Result<Forest, ForestError> {
    let (header, sections) = sections(text)?;
    let version = header.text("version")?;
    if !VERSIONS.contains(&version) {
        let reason = format!("`{version}` is not known to this build, which reads v3 and v4; save it with LightGBM 3 or 4");
        return Err(header.refused("version", reason));
    }
    if header.fields.contains_key("average_output") {
        return Err(header.refused("average_output", "a random forest is not read; train with `boosting=\"gbdt\"`".into()));
    }
    let link = link(&header)?;
    let outputs: usize = header.number("num_tree_per_iteration")?;
    let count = sections.len();
    if outputs == 0 || outputs > count.max(1) || count % outputs != 0 {
        let reason = format!("{count} trees are no whole number of iterations of {outputs}; the file is cut off, save it again");
        return Err(header.refused("num_tree_per_iteration", reason));
    }
    let trees = sections.iter().enumerate().map(|(number, section)| tree_of(section, number % outputs));
    Forest::new(ForestParts {
        link,
        precision: Precision::Double,
        features: header.number::<usize>("max_feature_idx")?.saturating_add(1),
        feature_names: header.text("feature_names")?.split_whitespace().map(str::to_owned).collect(),
        base_margins: vec![0.0; outputs],
        trees: trees.collect::<Result<_, _>>()?,
    })
    .map_err(|flaw| header.refused("trees", format!("{flaw}; the file is damaged, save the model again")))
}

/// The lines `key=value` of the header, or of one tree.
struct Section<'a> {
    /// `header`, or `tree` and its number.
    name: String,
    fields: BTreeMap<&'a str, &'a str>,
}

impl<'a> Section<'a> {
    fn refused(&self, field: &str, reason: String) -> ForestError {
        ForestError::Refused { format: "LightGBM", place: format!("{}, {field}", self.name), reason }
    }

    fn text(&self, field: &str) -> Result<&'a str, ForestError> {
        let missing = || self.refused(field, "the line is missing; the file is damaged, save the model again".into());
        self.fields.get(field).copied().ok_or_else(missing)
    }

    fn number<T: FromStr>(&self, field: &str) -> Result<T, ForestError> {
        self.parse(field, self.text(field)?)
    }

    fn parse<T: FromStr>(&self, field: &str, text: &str) -> Result<T, ForestError> {
        let broken = |_| self.refused(field, format!("`{text}` is not a number it can hold; the file is damaged, save it again"));
        text.trim().parse().map_err(broken)
    }

    /// A list of so many numbers.
    fn list<T: FromStr>(&self, field: &str, length: usize) -> Result<Vec<T>, ForestError> {
        let text = self.text(field)?;
        let found = text.split_whitespace().count();
        if found != length {
            let reason = format!("{found} numbers where {length} should be; the file is damaged, save the model again");
            return Err(self.refused(field, reason));
        }
        text.split_whitespace().map(|number| self.parse(field, number)).collect()
    }
}

/// The header, and the trees.
fn sections(text: &str) -> Result<(Section<'_>, Vec<Section<'_>>), ForestError> {
    let mut header = Section { name: "header".to_owned(), fields: BTreeMap::new() };
    let mut lines = text.lines().map(str::trim);
    if lines.next() != Some("tree") {
        return Err(header.refused("line 1", "it is not `tree`; save the model with `save_model(\"model.txt\")`".into()));
    }
    let mut trees: Vec<Section<'_>> = Vec::new();
    for line in lines {
        if line == "end of trees" {
            return Ok((header, trees));
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if key == "Tree" {
            let section = Section { name: format!("tree {value}"), fields: BTreeMap::new() };
            if value != trees.len().to_string() {
                return Err(section.refused("number", format!("tree {} should stand here; the file is damaged", trees.len())));
            }
            trees.push(section);
        } else if !key.is_empty() {
            trees.last_mut().unwrap_or(&mut header).fields.insert(key, value);
        }
    }
    Err(header.refused("end", "the line `end of trees` is missing; the file is cut off, save the model again".into()))
}

fn link(header: &Section<'_>) -> Result<Link, ForestError> {
    let objective = header.text("objective").map_err(|_| {
        header.refused("objective", "the model has none; train with a built-in objective, whose predictions are known".into())
    })?;
    let mut words = objective.split_whitespace();
    let name = words.next().unwrap_or_default();
    let option = |key: &str| objective.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix(':'));
    match name {
        "binary" => {
            let slope = option("sigmoid").map_or(Ok(1.0), |text| header.parse::<f64>("objective", text))?;
            if slope.is_finite() && slope > 0.0 {
                Ok(Link::Logistic { slope })
            } else {
                Err(header.refused("objective", format!("a sigmoid of {slope} is none")))
            }
        }
        "cross_entropy" => Ok(Link::Logistic { slope: 1.0 }),
        "multiclass" => Ok(Link::Softmax),
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" if words.all(|word| word != "sqrt") => {
            Ok(Link::Identity)
        }
        _ => Err(header.refused(
            "objective",
            format!("`{objective}` is not read; known are binary, cross_entropy, multiclass and regression without sqrt"),
        )),
    }
}

/// A tree with its leaves first: their places are LightGBM's leaf numbers.
fn tree_of(section: &Section<'_>, output: usize) -> Result<Tree, ForestError> {
    let leaves: usize = section.number("num_leaves")?;
    // Every leaf has a value: no list is longer than the text.
    let values: Vec<f64> = section.list("leaf_value", leaves)?;
    let Some(splits) = leaves.checked_sub(1) else {
        return Err(section.refused("num_leaves", "a tree has at least one; the file is damaged, save the model again".into()));
    };
    if section.number::<u64>("num_cat")? > 0 {
        let remedy = "categorical splits are not read; encode the categories as numbers and train again";
        return Err(section.refused("num_cat", remedy.into()));
    }
    if section.fields.get("is_linear").is_some_and(|flag| *flag != "0") {
        return Err(section.refused("is_linear", "linear leaves are not read; train with `linear_tree=false`".into()));
    }
    if splits == 0 {
        return Ok(Tree { output, root: 0, nodes: vec![Node::leaf(values[0], 0.0)] });
    }
    let leaf_counts: Vec<f64> = section.list("leaf_count", leaves)?;
    let mut nodes: Vec<Node> = values.iter().zip(&leaf_counts).map(|(value, count)| Node::leaf(*value, *count)).collect();
    let features: Vec<usize> = section.list("split_feature", splits)?;
    let thresholds: Vec<f64> = section.list("threshold", splits)?;
    let decisions: Vec<u8> = section.list("decision_type", splits)?;
    let gains: Vec<f64> = section.list("split_gain", splits)?;
    let children = [section.list::<i64>("left_child", splits)?, section.list::<i64>("right_child", splits)?];
    let counts: Vec<f64> = section.list("internal_count", splits)?;
    // A child below 0 is the leaf of that complement.
    let place = |child: i64| usize::try_from(child).map_or(!child as usize, |split| split.saturating_add(leaves));
    for at in 0..splits {
        let missing = decisions[at] >> MISSING_SHIFT & 3;
        if decisions[at] & CATEGORICAL != 0 {
            return Err(section.refused("decision_type", "a categorical split in a tree that says it has none".into()));
        }
        let split = Split {
            feature: features[at],
            threshold: thresholds[at],
            // Where nothing counts as missing, a NaN is taken for 0.
            missing_left: if missing == MISSING_NONE { thresholds[at] >= 0.0 } else { decisions[at] & DEFAULT_LEFT != 0 },
            zero_is_missing: missing == MISSING_ZERO,
            left: place(children[0][at]),
            right: place(children[1][at]),
            gain: gains[at],
        };
        nodes.push(Node::split(split, counts[at]));
    }
    Ok(Tree { output, root: leaves, nodes })
}
