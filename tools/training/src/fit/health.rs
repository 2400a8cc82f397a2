//! Parameters that die: decayed to zeros and denormals, or far below what they were.

use crate::parameters::Parameter;

/// How one parameter stands.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub struct ParameterHealth {
    /// Its name.
    pub name: String,
    /// Share of its values that are zero or denormal, which is below 1.2e-38 for f32.
    pub dead_share: f64,
    /// Root mean square of its values.
    pub rms: f64,
}

/// Where a parameter counts as dying: half of its values.
const DEAD_SHARE_MAX: f64 = 0.5;
/// Where a parameter counts as dying: a thousandth of what it was.
const RMS_SHARE_MIN: f64 = 1e-3;

impl ParameterHealth {
    /// How a parameter stands.
    pub fn of(parameter: &Parameter) -> Self {
        let count = parameter.values.len().max(1) as f64;
        let least = match parameter.values {
            crate::parameters::Values::F32(_) => f64::from(f32::MIN_POSITIVE),
            crate::parameters::Values::F64(_) => f64::MIN_POSITIVE,
        };
        let (mut dead, mut squares) = (0_usize, 0.0);
        for value in parameter.values.iter_f64() {
            dead += usize::from(value.abs() < least);
            squares += value * value;
        }
        Self { name: parameter.name.clone(), dead_share: dead as f64 / count, rms: (squares / count).sqrt() }
    }

    /// Whether it is dying, seen against how it began: half of its values are dead, or its root mean square fell to a thousandth. A
    /// parameter that began at zero is not.
    pub fn is_dying(&self, start: &Self) -> bool {
        start.dead_share <= DEAD_SHARE_MAX && (self.dead_share > DEAD_SHARE_MAX || self.rms < RMS_SHARE_MIN * start.rms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Values;

    fn health(values: &[f32]) -> ParameterHealth {
        ParameterHealth::of(&Parameter { name: "w".into(), shape: vec![values.len()], values: Values::F32(values.to_vec()) })
    }

    #[test]
    fn what_decays_is_dying() {
        let start = health(&[1.0, -1.0, 1.0, -1.0]);
        assert_eq!((start.dead_share, start.rms), (0.0, 1.0));
        assert!(!health(&[0.5, 0.0, 1e-39, 2.0]).is_dying(&start));
        assert!(health(&[0.5, 0.0, 1e-39, 0.0]).is_dying(&start));
        assert!(health(&[1e-4; 4]).is_dying(&start));
        let zeros = health(&[0.0; 4]);
        assert!(!zeros.is_dying(&zeros) && !health(&[1.0; 4]).is_dying(&zeros));
    }
}
