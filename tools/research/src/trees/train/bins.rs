//! Features as bins of about equal weight.

use super::Sample;
use rayon::prelude::*;

/// The bin of a missing value.
pub(super) const MISSING: u16 = u16::MAX;

/// A sample's features, each value replaced by the number of its bin.
pub(super) struct Bins {
    /// Of each feature the edges: bin b holds the values from `edges[b - 1]`, included, to `edges[b]`, excluded. The last edge is above
    /// every value.
    edges: Vec<Vec<f32>>,
    /// Below every value of each feature.
    lowest: Vec<f32>,
    /// The bins, feature after feature.
    bins: Vec<Vec<u16>>,
}

impl Bins {
    pub(super) fn new(sample: &Sample<'_>, bins_max: usize) -> Bins {
        let features = sample.rows.columns();
        let columns = (0..features).into_par_iter().map(|feature| {
            let column: Vec<f32> = sample.rows.iter().map(|row| row[feature] as f32).collect();
            let (edges, lowest) = edges(&column, sample, bins_max);
            let bin = |x: &f32| if x.is_nan() { MISSING } else { edges.partition_point(|edge| edge <= x) as u16 };
            let bins: Vec<u16> = column.iter().map(bin).collect();
            (edges, lowest, bins)
        });
        let columns: Vec<_> = columns.collect();
        let mut whole = Bins { edges: Vec::new(), lowest: Vec::new(), bins: Vec::new() };
        for (edges, lowest, bins) in columns {
            whole.edges.push(edges);
            whole.lowest.push(lowest);
            whole.bins.push(bins);
        }
        whole
    }

    /// Number of bins of a feature; 0 where it is missing throughout.
    pub(super) fn count(&self, feature: usize) -> usize {
        self.edges[feature].len()
    }

    /// The bin of each row.
    pub(super) fn of(&self, feature: usize) -> &[u16] {
        &self.bins[feature]
    }

    /// The value below which the first `count` bins lie.
    pub(super) fn edge(&self, feature: usize, count: usize) -> f32 {
        count.checked_sub(1).map_or(self.lowest[feature], |last| self.edges[feature][last])
    }
}

/// A distinct value with the weight of the rows below it and of those that have it.
#[derive(Clone, Copy)]
struct Rank {
    value: f32,
    below: f64,
    weight: f64,
}

/// The edges of a column: every distinct value but the least where there are few, else values at even steps of weight.
fn edges(column: &[f32], sample: &Sample<'_>, bins_max: usize) -> (Vec<f32>, f32) {
    let mut values: Vec<(f32, f64)> = column
        .iter()
        .enumerate()
        .filter(|(row, x)| !x.is_nan() && sample.weight(*row) > 0.0)
        .map(|(row, x)| (*x, sample.weight(row)))
        .collect();
    values.sort_by(|one, two| one.0.total_cmp(&two.0));
    let mut ranks: Vec<Rank> = Vec::new();
    let mut below = 0.0;
    for (value, weight) in values {
        match ranks.last_mut() {
            Some(last) if last.value == value => last.weight += weight,
            _ => ranks.push(Rank { value, below, weight }),
        }
        below += weight;
    }
    let (Some(first), Some(last)) = (ranks.first().copied(), ranks.last().copied()) else { return (Vec::new(), 0.0) };
    let kept = thinned(&ranks, bins_max + 1);
    let mut edges: Vec<f32> = kept.iter().take(bins_max).skip(1).copied().collect();
    let beyond = |value: f32| value.abs() + 1e-5;
    edges.push((last.value + beyond(last.value)).min(f32::MAX));
    (edges, (first.value - beyond(first.value)).max(f32::MIN))
}

/// At most `count` of the values, the first and the last among them, with ranks as near as can be to even steps.
fn thinned(ranks: &[Rank], count: usize) -> Vec<f32> {
    let last = ranks.len() - 1;
    if ranks.len() <= count {
        return ranks.iter().map(|rank| rank.value).collect();
    }
    // Ranks are counted from the end of the first value to the beginning of the last.
    let start = ranks[0].below + ranks[0].weight;
    let range = ranks[last].below - start;
    let middle = |rank: &Rank| 2.0 * rank.below + rank.weight;
    let mut kept = vec![0];
    let mut at = 1;
    for step in 1..count - 1 {
        let wanted = 2.0 * (step as f64 * range / (count - 1) as f64 + start);
        while at < last && wanted >= middle(&ranks[at + 1]) {
            at += 1;
        }
        if at == last {
            break;
        }
        let boundary = ranks[at].below + ranks[at].weight + ranks[at + 1].below;
        let nearest = if wanted < boundary { at } else { at + 1 };
        if kept.last() != Some(&nearest) {
            kept.push(nearest);
        }
    }
    if kept.last() != Some(&last) {
        kept.push(last);
    }
    kept.into_iter().map(|place| ranks[place].value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::Rows;

    fn bins(values: &[f64], weights: Option<&[f64]>, bins_max: usize) -> Bins {
        let sample = Sample { rows: Rows::new(values, 1).unwrap(), labels: values, weights };
        Bins::new(&sample, bins_max)
    }

    #[test]
    fn few_values_have_a_bin_each() {
        let bins = bins(&[2.0, -1.0, f64::NAN, 2.0, 5.0], None, 8);
        assert_eq!(bins.of(0), [1, 0, MISSING, 1, 2]);
        assert_eq!((bins.count(0), bins.edge(0, 1), bins.edge(0, 2)), (3, 2.0, 5.0));
        assert!(bins.edge(0, 0) < -1.0 && bins.edge(0, 3) > 5.0);
    }

    #[test]
    fn many_values_have_bins_of_about_equal_weight() {
        let values: Vec<f64> = (0..1_000).map(f64::from).collect();
        let even = bins(&values, None, 10);
        assert_eq!(even.count(0), 10);
        for bin in 0..10 {
            let count = even.of(0).iter().filter(|of| **of == bin).count();
            assert!((80..=220).contains(&count), "bin {bin}: {count}");
        }
        // The first hundred values weigh as much as all others: half of the bins are theirs.
        let weights: Vec<f64> = (0..1_000).map(|row| if row < 100 { 9.0 } else { 1.0 }).collect();
        let heavy = bins(&values, Some(&weights), 10);
        assert!((4..=6).contains(&heavy.of(0)[99]), "{}", heavy.of(0)[99]);
    }

    #[test]
    fn a_feature_that_is_missing_throughout_has_no_bin() {
        let bins = bins(&[f64::NAN, f64::NAN], None, 4);
        assert_eq!((bins.count(0), bins.of(0)), (0, [MISSING; 2].as_slice()));
    }
}
