//! A meta model that is the same in every market.

use chronos_inference::trees::{Calibration, Forest, ForestParts, Link, Node, Precision, Split, Tree, below};
use chronos_market::features::registry;
use chronos_pipeline::decision::{PRIMARY_SIDE, PRIMARY_STRENGTH};
use chronos_session::meta::{MetaDirectory, MetaParts, STRATEGY};
use std::path::Path;

/// A meta model that likes sales: 0.88 for them, 0.27 for purchases, whatever the market is.
pub(crate) fn write_meta(folder: &Path, threshold: f64) {
    let split =
        Split { feature: 1, threshold: below(0.0), missing_left: true, zero_is_missing: false, left: 1, right: 2, gain: 1.0 };
    let forest = Forest::new(ForestParts {
        link: Link::Logistic { slope: 1.0 },
        precision: Precision::Single,
        features: 3,
        feature_names: [registry()[0].name, PRIMARY_SIDE, PRIMARY_STRENGTH].map(str::to_owned).to_vec(),
        base_margins: vec![0.0],
        trees: vec![Tree { output: 0, root: 0, nodes: vec![Node::split(split, 2.0), Node::leaf(2.0, 1.0), Node::leaf(-1.0, 1.0)] }],
    });
    let (forest, calibration) = (forest.unwrap(), Calibration::None);
    let parts =
        MetaParts { name: "test", forest: &forest, calibration: &calibration, threshold, data_sha256: "", primary: STRATEGY };
    MetaDirectory::create(folder, &parts).unwrap();
}
