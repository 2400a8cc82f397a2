//! Contributions and interactions against Shapley's sums over all subsets, on random small forests.

use chronos_inference::trees::{Forest, ForestParts, Link, Node, Precision, Split, Tree};
use chronos_research::trees::{ExplainError, Rows, TreeShap, interactions, interventional_contributions};
use proptest::prelude::*;

const FEATURES: usize = 4;

/// Random trees in which features come again on a path, values are missing, and covers do not add up.
fn forest(seed: u64, outputs: usize, depth: usize) -> Forest {
    let mut random = fastrand::Rng::with_seed(seed);
    let trees = (0..3 * outputs).map(|number| {
        let mut nodes = Vec::new();
        grow(&mut random, depth, &mut nodes);
        Tree { output: number % outputs, root: 0, nodes }
    });
    let parts = ForestParts {
        link: if outputs > 1 { Link::Softmax } else { Link::Identity },
        precision: Precision::Double,
        features: FEATURES,
        feature_names: Vec::new(),
        base_margins: (0..outputs).map(|output| 0.5 - output as f64).collect(),
        trees: trees.collect(),
    };
    Forest::new(parts).unwrap()
}

fn grow(random: &mut fastrand::Rng, depth: usize, nodes: &mut Vec<Node>) -> usize {
    let (place, cover) = (nodes.len(), 0.05 + random.f64());
    nodes.push(Node::leaf(random.f64() - 0.5, cover));
    if depth > 0 && (place == 0 || random.f64() < 0.8) {
        let left = grow(random, depth - 1, nodes);
        let right = grow(random, depth - 1, nodes);
        let split = Split {
            feature: random.usize(0..FEATURES),
            threshold: f64::from(random.u8(0..5)),
            missing_left: random.bool(),
            zero_is_missing: random.u8(0..4) == 0,
            left,
            right,
            gain: 1.0,
        };
        nodes[place] = Node::split(split, cover);
    }
    place
}

fn row(random: &mut fastrand::Rng) -> Vec<f64> {
    (0..FEATURES).map(|_| if random.u8(0..6) == 0 { f64::NAN } else { f64::from(random.u8(0..6)) }).collect()
}

/// What the forest predicts where only the features of `known` are, the others weighted by cover.
fn expectation(forest: &Forest, output: usize, row: &[f64], known: usize) -> f64 {
    fn below(tree: &Tree, place: usize, row: &[f64], known: usize) -> f64 {
        let node = tree.nodes[place];
        let Some(split) = node.split else { return node.value };
        let x = row[split.feature];
        if known >> split.feature & 1 == 1 {
            return below(tree, if split.goes_left(x) { split.left } else { split.right }, row, known);
        }
        let share = |child: usize| tree.nodes[child].cover / node.cover * below(tree, child, row, known);
        share(split.left) + share(split.right)
    }
    let trees = forest.trees().iter().filter(|tree| tree.output == output);
    forest.base_margins()[output] + trees.map(|tree| below(tree, tree.root, row, known)).sum::<f64>()
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|k| k as f64).product()
}

/// Shapley's value of each feature for a game.
fn shapley(game: impl Fn(usize) -> f64) -> Vec<f64> {
    let of = |feature: usize| {
        let without = (0..1 << FEATURES).filter(|known| known >> feature & 1 == 0);
        without
            .map(|known: usize| {
                let size = known.count_ones() as usize;
                let weight = factorial(size) * factorial(FEATURES - size - 1) / factorial(FEATURES);
                weight * (game(known | 1 << feature) - game(known))
            })
            .sum()
    };
    (0..FEATURES).map(of).collect()
}

/// Half of the Shapley interaction index of two features.
fn interaction(game: impl Fn(usize) -> f64, one: usize, two: usize) -> f64 {
    let without = (0..1 << FEATURES).filter(|known| known >> one & 1 == 0 && known >> two & 1 == 0);
    let sum: f64 = without
        .map(|known: usize| {
            let size = known.count_ones() as usize;
            let weight = factorial(size) * factorial(FEATURES - size - 2) / factorial(FEATURES - 1);
            let (with_one, with_two) = (known | 1 << one, known | 1 << two);
            weight * (game(with_one | with_two) - game(with_one) - game(with_two) + game(known))
        })
        .sum();
    sum / 2.0
}

fn close(got: &[f64], wanted: &[f64]) -> bool {
    got.len() == wanted.len() && got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-10 * (1.0 + wanted.abs()))
}

proptest! {
    #[test]
    fn contributions_are_shapleys(seed in any::<u64>(), outputs in 1_usize..4, depth in 0_usize..7, rows in 1_usize..20) {
        let forest = forest(seed, outputs, depth);
        let mut random = fastrand::Rng::with_seed(seed ^ 1);
        let values: Vec<f64> = (0..rows).flat_map(|_| row(&mut random)).collect();
        let rows = Rows::new(&values, FEATURES).unwrap();
        let got = TreeShap::new(&forest).unwrap().contributions(rows).unwrap();
        prop_assert_eq!(got.len(), rows.len());
        for (number, row) in rows.iter().enumerate() {
            for output in 0..outputs {
                let mut wanted = shapley(|known| expectation(&forest, output, row, known));
                wanted.push(expectation(&forest, output, row, 0));
                prop_assert!(close(got.of(number, output), &wanted), "{:?} {:?}", got.of(number, output), wanted);
            }
        }
    }

    #[test]
    fn interactions_are_shapleys(seed in any::<u64>(), depth in 0_usize..6) {
        let forest = forest(seed, 1, depth);
        let row = row(&mut fastrand::Rng::with_seed(seed ^ 1));
        let got = interactions(&forest, Rows::new(&row, FEATURES).unwrap()).unwrap();
        let game = |known: usize| expectation(&forest, 0, &row, known);
        let values = shapley(game);
        for (one, value) in values.iter().enumerate().take(FEATURES) {
            let line = &got.of(0, 0)[one * (FEATURES + 1)..][..FEATURES + 1];
            prop_assert!(close(&[line.iter().sum()], &[*value]));
            for two in (0..FEATURES).filter(|two| *two != one) {
                prop_assert!(close(&[line[two]], &[interaction(game, one, two)]));
            }
        }
    }

    #[test]
    fn interventional_contributions_are_shapleys(seed in any::<u64>(), outputs in 1_usize..3, depth in 0_usize..6, backgrounds in 1_usize..6) {
        let forest = forest(seed, outputs, depth);
        let mut random = fastrand::Rng::with_seed(seed ^ 1);
        let background: Vec<f64> = (0..backgrounds).flat_map(|_| row(&mut random)).collect();
        let (background, row) = (Rows::new(&background, FEATURES).unwrap(), row(&mut random));
        let got = interventional_contributions(&forest, Rows::new(&row, FEATURES).unwrap(), background).unwrap();
        let margin = |known: usize, output: usize| {
            let of = |other: &[f64]| {
                let mixed: Vec<f64> = (0..FEATURES).map(|at| if known >> at & 1 == 1 { row[at] } else { other[at] }).collect();
                let mut out = vec![0.0; outputs];
                forest.margins_into(&mixed, &mut out).unwrap();
                out[output]
            };
            background.iter().map(of).sum::<f64>() / backgrounds as f64
        };
        for output in 0..outputs {
            let mut wanted = shapley(|known| margin(known, output));
            wanted.push(margin(0, output));
            prop_assert!(close(got.of(0, output), &wanted), "{:?} {:?}", got.of(0, output), wanted);
        }
    }
}

#[test]
fn a_child_no_training_row_came_to_is_explained_and_a_parent_is_not() {
    let split = |left_cover: f64| {
        let split = Split { feature: 0, threshold: 0.0, missing_left: false, zero_is_missing: false, left: 1, right: 2, gain: 1.0 };
        let nodes = vec![Node::split(split, 1.0), Node::leaf(3.0, left_cover), Node::leaf(1.0, 1.0 - left_cover)];
        nodes
    };
    let of = |nodes: Vec<Node>| {
        Forest::new(ForestParts {
            link: Link::Identity,
            precision: Precision::Double,
            features: 1,
            feature_names: Vec::new(),
            base_margins: vec![0.0],
            trees: vec![Tree { output: 0, root: 0, nodes }],
        })
        .unwrap()
    };
    let shap = TreeShap::new(&of(split(0.0))).unwrap();
    let got = shap.contributions(Rows::new(&[-1.0, 1.0], 1).unwrap()).unwrap();
    assert_eq!([got.of(0, 0), got.of(1, 0)], [[2.0, 1.0].as_slice(), &[0.0, 1.0]]);
    let mut nodes = split(0.5);
    nodes[0].cover = 0.0;
    assert_eq!(TreeShap::new(&of(nodes)).err(), Some(ExplainError::NoCover { tree: 0, node: 0 }));
    assert!(shap.contributions(Rows::new(&[1.0, 2.0], 2).unwrap()).is_err());
}
