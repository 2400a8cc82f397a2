//! XGBoost's JSON model as it stands in the file (the schema `model.schema` of its documentation, "Introduction to Model IO"). Fields
//! that say nothing about predictions or explanations are written and not read.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// What says whether the rest can be read.
#[derive(Deserialize)]
pub(super) struct ModelKind {
    pub(super) learner: LearnerKind,
    pub(super) version: Vec<u32>,
}

#[derive(Deserialize)]
pub(super) struct LearnerKind {
    pub(super) gradient_booster: BoosterKind,
}

#[derive(Deserialize)]
pub(super) struct BoosterKind {
    pub(super) name: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ModelFile {
    pub(super) learner: Learner,
    pub(super) version: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Learner {
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) feature_names: Vec<String>,
    #[serde(default)]
    pub(super) feature_types: Vec<String>,
    pub(super) gradient_booster: Booster,
    pub(super) learner_model_param: LearnerParameters,
    pub(super) objective: Objective,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Booster {
    pub(super) name: String,
    pub(super) model: BoosterModel,
}

#[derive(Serialize, Deserialize)]
pub(super) struct BoosterModel {
    #[serde(default, skip_deserializing)]
    pub(super) cats: Categories,
    pub(super) gbtree_model_param: BoosterParameters,
    #[serde(default)]
    pub(super) iteration_indptr: Vec<usize>,
    pub(super) tree_info: Vec<usize>,
    pub(super) trees: Vec<TreeFile>,
}

#[derive(Default, Serialize)]
pub(super) struct Categories {
    enc: [u8; 0],
    feature_segments: [u8; 0],
    sorted_idx: [u8; 0],
}

/// Numbers of a parameter block are strings.
#[derive(Serialize, Deserialize)]
pub(super) struct BoosterParameters {
    #[serde(default = "one")]
    pub(super) num_parallel_tree: String,
    pub(super) num_trees: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LearnerParameters {
    pub(super) base_score: String,
    #[serde(default = "one")]
    pub(super) boost_from_average: String,
    #[serde(default = "zero")]
    pub(super) num_class: String,
    pub(super) num_feature: String,
    #[serde(default = "one")]
    pub(super) num_target: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Objective {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) reg_loss_param: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) softmax_multiclass_param: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TreeFile {
    /// As a leaf's, the value it would have as one.
    #[serde(skip_deserializing)]
    pub(super) base_weights: Vec<f32>,
    #[serde(skip_deserializing)]
    pub(super) categories: [u8; 0],
    #[serde(default)]
    pub(super) categories_nodes: Vec<i64>,
    #[serde(skip_deserializing)]
    pub(super) categories_segments: [u8; 0],
    #[serde(skip_deserializing)]
    pub(super) categories_sizes: [u8; 0],
    #[serde(deserialize_with = "flags")]
    pub(super) default_left: Vec<u8>,
    #[serde(skip_deserializing)]
    pub(super) id: usize,
    pub(super) left_children: Vec<i64>,
    pub(super) loss_changes: Vec<f32>,
    #[serde(skip_deserializing)]
    pub(super) parents: Vec<u32>,
    pub(super) right_children: Vec<i64>,
    pub(super) split_conditions: Vec<f32>,
    pub(super) split_indices: Vec<usize>,
    #[serde(default)]
    pub(super) split_type: Vec<u8>,
    pub(super) sum_hessian: Vec<f32>,
    pub(super) tree_param: TreeParameters,
}

#[derive(Serialize, Deserialize)]
pub(super) struct TreeParameters {
    #[serde(default = "zero")]
    pub(super) num_deleted: String,
    pub(super) num_feature: String,
    pub(super) num_nodes: String,
    #[serde(default = "one")]
    pub(super) size_leaf_vector: String,
}

fn one() -> String {
    "1".to_owned()
}

fn zero() -> String {
    "0".to_owned()
}

/// Versions before 1.6 write flags as booleans, later ones as numbers.
fn flags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Boolean(bool),
        Number(u8),
    }
    let flags = Vec::<Flag>::deserialize(deserializer)?;
    Ok(flags
        .into_iter()
        .map(|flag| match flag {
            Flag::Boolean(flag) => u8::from(flag),
            Flag::Number(flag) => flag,
        })
        .collect())
}
