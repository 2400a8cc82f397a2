//! What the golden tests of this crate share: numbers and tolerances out of a file.

// Not every test needs all of it.
#![allow(dead_code)]

use serde_json::Value;

/// How far a value may lie from what is expected.
#[derive(Clone, Copy)]
pub(crate) enum Tolerance {
    Absolute(f64),
    Relative(f64),
}

impl Tolerance {
    /// The first `abs X` or `rel X` of a file's text under `tolerance`.
    pub(crate) fn of(golden: &Value, name: &str) -> Tolerance {
        Tolerance::parse(golden["tolerance"][name].as_str().unwrap_or_else(|| panic!("no tolerance for {name}")))
    }

    pub(crate) fn parse(text: &str) -> Tolerance {
        let mut words = text.split(|character: char| character.is_whitespace() || ",;()".contains(character));
        while let Some(word) = words.next() {
            let kind = match word {
                "abs" => Tolerance::Absolute,
                "rel" => Tolerance::Relative,
                _ => continue,
            };
            return kind(words.next().and_then(|bound| bound.parse().ok()).unwrap_or_else(|| panic!("no bound in {text}")));
        }
        panic!("no tolerance in {text}");
    }

    #[track_caller]
    pub(crate) fn check(self, what: &str, value: f64, expected: &Value) {
        let expected = number(expected);
        if expected.is_nan() || value.is_nan() {
            assert!(expected.is_nan() && value.is_nan(), "{what}: {value} is not {expected}");
            return;
        }
        let bound = match self {
            Tolerance::Absolute(bound) => bound,
            Tolerance::Relative(bound) => bound * expected.abs(),
        };
        assert!((value - expected).abs() <= bound || value == expected, "{what}: {value} is not {expected} within {bound:e}");
    }

    #[track_caller]
    pub(crate) fn check_all(self, what: &str, values: &[f64], expected: &Value) {
        let expected = expected.as_array().unwrap_or_else(|| panic!("{what}: not a list"));
        assert_eq!(values.len(), expected.len(), "{what}");
        for (place, (value, expected)) in values.iter().zip(expected).enumerate() {
            self.check(&format!("{what} at {place}"), *value, expected);
        }
    }
}

/// A number; NaN where it is missing, and infinities by their names.
pub(crate) fn number(value: &Value) -> f64 {
    match value {
        Value::Null => f64::NAN,
        Value::String(text) => text.parse().unwrap_or_else(|_| panic!("{text} is no number")),
        value => value.as_f64().unwrap_or_else(|| panic!("{value} is no number")),
    }
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list")).iter().map(number).collect()
}

pub(crate) fn places(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|place| place as usize).collect()
}
