//! What was found, how bad it is, and what to do.

use serde::Serialize;

/// How a finding weighs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Could not be read, so it counts neither way.
    Unknown,
    /// Costs something, or may under load.
    Warn,
    /// Costs latency now.
    Bad,
}

impl Level {
    /// The word used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Unknown => "unknown",
            Level::Warn => "warn",
            Level::Bad => "bad",
        }
    }
}

/// One thing looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// A stable name, for scripts.
    pub id: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What it can cost of the score; 0 where it is told for information alone.
    pub weight: u32,
    /// What was seen.
    pub observed: String,
    /// What to do; empty where there is nothing to do.
    pub remedy: String,
    /// The section of `tuning.md` that says why, how, how to verify and how to undo.
    pub section: &'static str,
}

/// A thing to look at: its name, what it can cost, and its section of `tuning.md`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    pub(super) id: &'static str,
    pub(super) weight: u32,
    pub(super) section: &'static str,
}

impl Check {
    fn finding(self, level: Level, observed: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { id: self.id, level, weight: self.weight, observed: observed.into(), remedy: remedy.into(), section: self.section }
    }

    pub(super) fn ok(self, observed: impl Into<String>) -> Finding {
        self.finding(Level::Ok, observed, "")
    }

    pub(super) fn warn(self, observed: impl Into<String>, remedy: impl Into<String>) -> Finding {
        self.finding(Level::Warn, observed, remedy)
    }

    pub(super) fn bad(self, observed: impl Into<String>, remedy: impl Into<String>) -> Finding {
        self.finding(Level::Bad, observed, remedy)
    }

    pub(super) fn unknown(self, what: impl Into<String>) -> Finding {
        self.finding(Level::Unknown, what, "")
    }
}

/// The score, 0 to 100: of the weights of all that is known, the part that is well. A finding of level ok keeps its whole weight, warn
/// half, bad nothing; unknown ones count neither way. `None` where nothing is known.
pub fn score(findings: &[Finding]) -> Option<u32> {
    let known = || findings.iter().filter(|finding| finding.level != Level::Unknown);
    let possible: u32 = known().map(|finding| 2 * finding.weight).sum();
    let kept = |finding: &Finding| match finding.level {
        Level::Ok => 2 * finding.weight,
        Level::Warn => finding.weight,
        Level::Bad | Level::Unknown => 0,
    };
    (possible > 0).then(|| 100 * known().map(kept).sum::<u32>() / possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_the_part_that_is_well() {
        let check = |weight| Check { id: "x", weight, section: "Cores" };
        let (ok, bad) = (check(6).ok("fine"), check(2).bad("not", "do"));
        assert_eq!(score(std::slice::from_ref(&ok)), Some(100));
        assert_eq!(score(&[ok.clone(), bad.clone()]), Some(75));
        assert_eq!(score(&[ok.clone(), bad.clone(), check(8).warn("so so", "do")]), Some(62));
        assert_eq!(score(&[ok, bad, check(100).unknown("not readable")]), Some(75));
        assert_eq!(score(&[check(3).unknown("not readable")]), None);
    }
}
