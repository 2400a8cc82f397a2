use super::*;
use crate::trees::{Node, Split};
use proptest::prelude::*;

fn split(feature: usize, threshold: f64, missing_left: bool, left: usize, right: usize) -> Node {
    Node::split(Split { feature, threshold, missing_left, zero_is_missing: false, left, right, gain: 1.0 }, 1.0)
}

fn parts(trees: Vec<Tree>) -> ForestParts {
    ForestParts {
        link: Link::Identity,
        precision: Precision::Double,
        features: 2,
        feature_names: Vec::new(),
        base_margins: vec![0.5],
        trees,
    }
}

fn tree(nodes: Vec<Node>) -> Tree {
    Tree { output: 0, root: 0, nodes }
}

#[test]
fn leaves_of_uneven_trees_by_hand() {
    // Right of 1.0 in feature 0, then feature 1; a stump; a lone leaf.
    let deep = tree(vec![
        split(0, 1.0, true, 3, 1),
        split(1, -2.0, false, 2, 4),
        Node::leaf(10.0, 1.0),
        Node::leaf(20.0, 1.0),
        Node::leaf(40.0, 1.0),
    ]);
    let stump = tree(vec![split(1, 0.0, true, 2, 1), Node::leaf(1.0, 1.0), Node::leaf(2.0, 1.0)]);
    let forest = Forest::new(parts(vec![deep, stump, tree(vec![Node::leaf(0.25, 1.0)])])).unwrap();
    for (row, leaves, margin) in [
        ([1.0, 5.0], [3, 1, 0], 21.75),
        ([1.5, -2.0], [2, 2, 0], 12.75),
        ([1.5, f64::NAN], [4, 2, 0], 42.75),
        ([f64::NAN, 0.5], [3, 1, 0], 21.75),
        ([f64::INFINITY, f64::NEG_INFINITY], [2, 2, 0], 12.75),
    ] {
        let mut out = [0; 3];
        forest.leaves_into(&row, &mut out).unwrap();
        assert_eq!(out, leaves, "{row:?}");
        assert_eq!(forest.margin(&row).unwrap(), margin);
        assert_eq!(
            out.map(|leaf| leaf as usize).to_vec(),
            forest.trees().iter().map(|tree| tree.leaf_of(&row)).collect::<Vec<_>>()
        );
    }
}

#[test]
fn zeros_are_missing_only_where_the_split_says_so() {
    let mut nodes = vec![split(0, 1.0, false, 1, 2), Node::leaf(1.0, 1.0), Node::leaf(2.0, 1.0)];
    let answer = |nodes: &[Node], x: f64| Forest::new(parts(vec![tree(nodes.to_vec())])).unwrap().margin(&[x, 0.0]).unwrap() - 0.5;
    assert_eq!(answer(&nodes, 0.0), 1.0);
    if let Some(split) = &mut nodes[0].split {
        split.zero_is_missing = true;
    }
    for (x, wanted) in [(0.0, 2.0), (-0.0, 2.0), (1e-36, 2.0), (1e-34, 1.0), (f64::NAN, 2.0), (1.5, 2.0)] {
        assert_eq!(answer(&nodes, x), wanted, "{x}");
    }
}

#[test]
fn what_is_no_tree_is_refused() {
    let flaw = |nodes: Vec<Node>| match Forest::new(parts(vec![tree(nodes)])) {
        Err(Flaw::Tree { number: 0, flaw }) => Some(flaw),
        other => other.err().map(|flaw| panic!("{flaw}")),
    };
    let leaf = Node::leaf(1.0, 1.0);
    assert_eq!(flaw(vec![leaf]), None);
    assert_eq!(flaw(vec![]), Some(TreeFlaw::NoNode(0)));
    assert_eq!(flaw(vec![split(0, 0.0, true, 1, 2), leaf]), Some(TreeFlaw::NoNode(2)));
    assert_eq!(flaw(vec![split(0, 0.0, true, 1, 1), leaf]), Some(TreeFlaw::SharedNode(1)));
    assert_eq!(flaw(vec![split(0, 0.0, true, 0, 1), leaf]), Some(TreeFlaw::SharedNode(0)));
    assert_eq!(flaw(vec![split(2, 0.0, true, 1, 2), leaf, leaf]), Some(TreeFlaw::NoFeature(0)));
    assert_eq!(flaw(vec![split(0, f64::NAN, true, 1, 2), leaf, leaf]), Some(TreeFlaw::NotFinite(0)));
    assert_eq!(flaw(vec![split(0, f64::INFINITY, false, 1, 2), leaf, leaf]), None);
    assert_eq!(flaw(vec![Node::leaf(f64::INFINITY, 1.0)]), Some(TreeFlaw::NotFinite(0)));
    assert_eq!(flaw(vec![Node::leaf(1.0, -1.0)]), Some(TreeFlaw::NotFinite(0)));
    let chain = |splits: usize| {
        let pairs = (0..splits).flat_map(|at| [split(0, 0.0, true, 2 * at + 1, 2 * at + 2), leaf]);
        pairs.chain([leaf]).collect::<Vec<_>>()
    };
    // Node 2k splits into the leaf 2k + 1 and node 2k + 2.
    assert_eq!(flaw(chain(crate::trees::DEPTH_MAX)), None);
    assert!(matches!(flaw(chain(crate::trees::DEPTH_MAX + 1)), Some(TreeFlaw::TooDeep(_))));
    let mut other = parts(vec![Tree { output: 1, root: 0, nodes: vec![leaf] }]);
    assert_eq!(Forest::new(other.clone()), Err(Flaw::Tree { number: 0, flaw: TreeFlaw::NoOutput(1) }));
    other.base_margins.push(0.0);
    assert_eq!(Forest::new(other.clone()), Err(Flaw::Outputs(2)));
    other.features = 0;
    assert_eq!(Forest::new(other), Err(Flaw::Features(0)));
}

#[test]
fn rows_and_outputs_of_another_length_are_refused() {
    let forest = Forest::new(parts(vec![tree(vec![Node::leaf(1.0, 1.0)])])).unwrap();
    assert_eq!(forest.margin(&[0.0]), Err(ScoreError::Features { expected: 2, got: 1 }));
    assert_eq!(forest.margins_into(&[0.0; 2], &mut [0.0; 2]), Err(ScoreError::Outputs { expected: 1, got: 2 }));
    assert_eq!(forest.leaves_into(&[0.0; 2], &mut []), Err(ScoreError::Outputs { expected: 1, got: 0 }));
}

#[test]
fn softmax_survives_large_margins() {
    let mut margins = [1e5, 1e5, -1e5];
    Link::Softmax.apply(&mut margins);
    assert_eq!(margins, [0.5, 0.5, 0.0]);
}

/// A random tree whose nodes do not stand in the order in which they are met.
fn grow(random: &mut fastrand::Rng, depth: usize, nodes: &mut Vec<Node>) -> usize {
    if depth == 0 || random.u8(0..5) == 0 {
        nodes.push(Node::leaf(random.f64() - 0.5, 1.0));
        return nodes.len() - 1;
    }
    let right = grow(random, depth - 1, nodes);
    let left = grow(random, depth - 1, nodes);
    let split = Split {
        feature: random.usize(0..2),
        threshold: f64::from(random.i8(-2..3)),
        missing_left: random.bool(),
        zero_is_missing: random.u8(0..4) == 0,
        left,
        right,
        gain: 1.0,
    };
    nodes.push(Node::split(split, 1.0));
    nodes.len() - 1
}

proptest! {
    #[test]
    fn every_row_falls_as_it_does_through_each_tree_alone(seed in any::<u64>(), trees in 0_usize..30, depth in 0_usize..9) {
        let mut random = fastrand::Rng::with_seed(seed);
        let grown = (0..trees).map(|_| {
            let mut nodes = Vec::new();
            let root = grow(&mut random, depth, &mut nodes);
            Tree { output: 0, root, nodes }
        });
        let forest = Forest::new(parts(grown.collect())).unwrap();
        let values = [f64::NAN, f64::NEG_INFINITY, -2.0, -1.5, 0.0, 1e-36, 1.0, 2.5, f64::INFINITY];
        for x in values {
            for y in values {
                let mut leaves = vec![0; trees];
                forest.leaves_into(&[x, y], &mut leaves).unwrap();
                let wanted: Vec<usize> = forest.trees().iter().map(|tree| tree.leaf_of(&[x, y])).collect();
                prop_assert!(leaves.iter().map(|leaf| *leaf as usize).eq(wanted.iter().copied()));
                let sum = forest.trees().iter().zip(&wanted).fold(0.5, |sum, (tree, leaf)| sum + tree.nodes[*leaf].value);
                prop_assert_eq!(forest.margin(&[x, y]).unwrap(), sum);
            }
        }
    }
}
