//! The least value of a function of a few variables, without its gradient.

/// Where the search ended.
pub(super) struct Minimum {
    pub(super) at: Vec<f64>,
    pub(super) value: f64,
    /// Whether the corners agreed before the evaluations ran out.
    pub(super) is_converged: bool,
}

/// Nelder and Mead's simplex (1965), begun anew from where it ended until that gains less than `tolerance`: a simplex can collapse
/// before it is there. `steps` are the first simplex's edges; a value that is not a number counts as infinite.
pub(super) fn minimise(function: impl Fn(&[f64]) -> f64, start: &[f64], steps: &[f64], tolerance: f64) -> Minimum {
    const RESTARTS: usize = 20;
    let mut best = simplex_search(&function, start, steps, tolerance);
    for _ in 0..RESTARTS {
        let next = simplex_search(&function, &best.at, steps, tolerance);
        let gain = best.value - next.value;
        if next.value <= best.value {
            best = next;
        }
        if gain <= tolerance {
            return best;
        }
    }
    Minimum { is_converged: false, ..best }
}

fn simplex_search(function: impl Fn(&[f64]) -> f64, start: &[f64], steps: &[f64], tolerance: f64) -> Minimum {
    let evaluations_max = 600 * start.len();
    let evaluate = |at: Vec<f64>| {
        let value = function(&at);
        (at, if value.is_nan() { f64::INFINITY } else { value })
    };
    let mut corners = vec![evaluate(start.to_vec())];
    for (place, step) in steps.iter().enumerate() {
        let mut at = start.to_vec();
        at[place] += step;
        corners.push(evaluate(at));
    }
    let count = start.len();
    for _ in 0..evaluations_max {
        corners.sort_by(|left, right| left.1.total_cmp(&right.1));
        if corners[count].1 - corners[0].1 <= tolerance {
            let (at, value) = corners.swap_remove(0);
            return Minimum { at, value, is_converged: true };
        }
        let centre: Vec<f64> =
            (0..count).map(|place| corners[..count].iter().map(|(at, _)| at[place]).sum::<f64>() / count as f64).collect();
        let worst = &corners[count];
        // From the worst corner through the middle of the others: 1 mirrors it, 2 goes on, 0.5 and -0.5 stay inside.
        let along =
            |factor: f64| evaluate(centre.iter().zip(&worst.0).map(|(centre, worst)| centre + factor * (centre - worst)).collect());
        let mirrored = along(1.0);
        let next = if mirrored.1 < corners[0].1 {
            let farther = along(2.0);
            Some(if farther.1 < mirrored.1 { farther } else { mirrored })
        } else if mirrored.1 < corners[count - 1].1 {
            Some(mirrored)
        } else {
            let inside = along(if mirrored.1 < worst.1 { 0.5 } else { -0.5 });
            (inside.1 < mirrored.1.min(worst.1)).then_some(inside)
        };
        match next {
            Some(corner) => corners[count] = corner,
            None => {
                let best = corners[0].0.clone();
                for corner in &mut corners[1..] {
                    *corner = evaluate(corner.0.iter().zip(&best).map(|(at, best)| best + 0.5 * (at - best)).collect());
                }
            }
        }
    }
    corners.sort_by(|left, right| left.1.total_cmp(&right.1));
    let (at, value) = corners.swap_remove(0);
    Minimum { at, value, is_converged: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_curved_valley() {
        // Rosenbrock's function, least at (1, 1).
        let found =
            minimise(|at| (1.0 - at[0]).powi(2) + 100.0 * (at[1] - at[0] * at[0]).powi(2), &[-1.2, 1.0], &[0.5, 0.5], 1e-14);
        assert!(found.is_converged && found.value < 1e-10);
        assert!((found.at[0] - 1.0).abs() < 1e-5 && (found.at[1] - 1.0).abs() < 1e-5);
    }
}
