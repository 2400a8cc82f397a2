//! The sequential bootstrap: draws with replacement, each by how unique a label would be among those drawn (Lopez de Prado 2018, 4.5).

use crate::error::{SeriesError, long_enough};
use crate::labels::{RangeExtremes, Span, are_spans};

/// Labels in a block of the tree of chances.
const BRANCHES: usize = 64;

/// Draws labels one after the other. A label's chance is proportional to the mean over its bars of `1 / (1 + c)`, where `c` counts
/// the draws so far at that bar.
///
/// A draw changes the bars of the label drawn, and so the labels that share one with it, and nothing else: it costs its bars and
/// those labels, not all labels times all bars.
#[derive(Clone, Debug)]
pub struct SequentialBootstrap {
    spans: Vec<Span>,
    /// Labels in order of their start, with the greatest end over runs of them.
    by_start: Vec<usize>,
    starts: Vec<usize>,
    ends: RangeExtremes,
    /// Draws at each bar.
    drawn: Vec<u32>,
    /// Average uniqueness of each label if it were drawn next, and sums over blocks of them.
    chances: Vec<Vec<f64>>,
    /// Of the bars of the label just drawn: how far the share of a label there fell, summed up from its first bar.
    falls: Vec<f64>,
}

impl SequentialBootstrap {
    /// Labels over `bars` bars, before the first draw.
    ///
    /// # Errors
    /// No labels; labels that end before they start, or after the last bar.
    pub fn new(spans: &[Span], bars: usize) -> Result<SequentialBootstrap, SeriesError> {
        long_enough("the labels", spans.len(), 1)?;
        are_spans(spans, bars)?;
        let mut by_start: Vec<usize> = (0..spans.len()).collect();
        by_start.sort_by_key(|place| spans[*place].start);
        let ends: Vec<f64> = by_start.iter().map(|place| spans[*place].end as f64).collect();
        let mut chances = vec![vec![1.0; spans.len()]];
        while let Some(below) = chances.last().filter(|below| below.len() > 1) {
            chances.push(below.chunks(BRANCHES).map(|block| block.iter().sum()).collect());
        }
        Ok(SequentialBootstrap {
            starts: by_start.iter().map(|place| spans[*place].start).collect(),
            ends: RangeExtremes::new(&ends),
            spans: spans.to_vec(),
            by_start,
            drawn: vec![0; bars],
            chances,
            falls: Vec::new(),
        })
    }

    /// The chance of each label at the next draw.
    pub fn probabilities(&self) -> Vec<f64> {
        let total = self.total();
        self.chances[0].iter().map(|chance| chance / total).collect()
    }

    /// Draws the first label whose cumulative chance is above `uniform`, a number from 0 up to but not including 1.
    pub fn draw(&mut self, uniform: f64) -> usize {
        let label = self.find(uniform * self.total());
        self.count(label);
        label
    }

    /// Draws `count` labels with numbers of `random`.
    pub fn sample(&mut self, count: usize, random: &mut fastrand::Rng) -> Vec<usize> {
        (0..count).map(|_| self.draw(random.f64())).collect()
    }

    fn total(&self) -> f64 {
        self.chances.last().map_or(0.0, |top| top.iter().sum())
    }

    fn find(&self, mut target: f64) -> usize {
        let mut place = 0;
        for chances in self.chances.iter().rev() {
            let from = place * BRANCHES;
            let to = (from + BRANCHES).min(chances.len());
            place = from;
            // Rounding may leave a little at the end, which is the last one's.
            while place + 1 < to && chances[place] <= target {
                target -= chances[place];
                place += 1;
            }
        }
        place
    }

    fn count(&mut self, label: usize) {
        let Span { start, end } = self.spans[label];
        self.falls.clear();
        self.falls.push(0.0);
        let mut sum = 0.0;
        for drawn in &mut self.drawn[start..=end] {
            let (before, after) = (1.0 / (1.0 + f64::from(*drawn)), 1.0 / (2.0 + f64::from(*drawn)));
            *drawn = drawn.saturating_add(1);
            sum += before - after;
            self.falls.push(sum);
        }
        // Labels that start by the end of this one, and end no sooner than its start.
        let candidates = self.starts.partition_point(|other| *other <= end);
        let mut next = 0;
        while let Some(found) = self.ends.first(next, candidates, |_, greatest| greatest >= start as f64) {
            next = found + 1;
            let place = self.by_start[found];
            let other = self.spans[place];
            let (from, to) = (other.start.max(start), other.end.min(end) + 1);
            let fall = (self.falls[to - start] - self.falls[from - start]) / other.bars() as f64;
            let mut index = place;
            for chances in &mut self.chances {
                chances[index] -= fall;
                index /= BRANCHES;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::any_spans;
    use super::*;
    use proptest::prelude::*;

    const BARS: usize = 70;

    proptest! {
        /// Snippet 4.5 with the indicator matrix written out.
        #[test]
        fn draws_are_those_of_the_matrix(spans in any_spans(BARS, 90), uniforms in prop::collection::vec(0.0f64..1.0, 1..60)) {
            let mut bootstrap = SequentialBootstrap::new(&spans, BARS).unwrap();
            let mut counts = vec![0_u32; BARS];
            for uniform in uniforms {
                let average = |span: &Span| {
                    let shares = counts[span.start..=span.end].iter().map(|count| 1.0 / (1.0 + f64::from(*count)));
                    shares.sum::<f64>() / span.bars() as f64
                };
                let averages: Vec<f64> = spans.iter().map(average).collect();
                let total: f64 = averages.iter().sum();
                for (got, average) in bootstrap.probabilities().iter().zip(&averages) {
                    prop_assert!((got - average / total).abs() < 1e-12);
                }
                let label = bootstrap.draw(uniform);
                // The cumulative chance before the label and with it, apart from rounding.
                let before: f64 = averages[..label].iter().sum::<f64>() / total;
                let with = before + averages[label] / total;
                prop_assert!(before <= uniform + 1e-12 && uniform < with + 1e-12, "{before} {uniform} {with}");
                for count in &mut counts[spans[label].start..=spans[label].end] {
                    *count += 1;
                }
            }
        }
    }

    #[test]
    fn a_label_drawn_comes_less_often() {
        // One label apart from two that share their bars.
        let spans = [Span { start: 0, end: 3 }, Span { start: 0, end: 3 }, Span { start: 5, end: 9 }];
        let mut bootstrap = SequentialBootstrap::new(&spans, 10).unwrap();
        assert_eq!(bootstrap.draw(0.1), 0);
        assert_eq!(bootstrap.probabilities(), [0.25, 0.25, 0.5]);
        assert_eq!(bootstrap.draw(0.999_999_999), 2);
        let mut again = SequentialBootstrap::new(&spans, 10).unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(again.sample(9, &mut random).len(), 9);
        assert!(SequentialBootstrap::new(&[], 10).is_err());
        assert!(SequentialBootstrap::new(&[Span { start: 2, end: 1 }], 10).unwrap_err().to_string().contains("label 0"));
    }
}
