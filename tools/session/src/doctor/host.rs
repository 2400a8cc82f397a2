//! A host as its `/proc` and `/sys` tell of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where a host is read. What is not there, or may not be read, is `None` everywhere: never guessed.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// The host whose `proc` and `sys` are below `root`: `/` for the one this runs on, any other folder for a copy.
    pub fn new(root: &Path) -> Host {
        Host { root: root.to_owned() }
    }

    /// Whether it is the host this runs on, of which more can be asked than files tell.
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a file, without space around it.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = std::fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The number a file holds.
    pub(super) fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// The cores a file lists; `(null)` is how some kernels write an empty list.
    pub(super) fn cores(&self, path: &str) -> Option<BTreeSet<usize>> {
        parse_cores(self.text(path)?.trim_matches(|c| c == '(' || c == ')').trim_start_matches("null"))
    }

    /// The names in a folder, in order; none where there is no such folder.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The last part of what a link points to.
    pub(super) fn link_name(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// The value of a parameter of the kernel's command line; empty where it has none. The outer `None`: there is no command line to
    /// be read.
    pub(super) fn boot_parameter(&self, name: &str) -> Option<Option<String>> {
        let line = self.text("/proc/cmdline")?;
        let value = line.split_whitespace().rev().find_map(|word| {
            let rest = word.strip_prefix(name)?;
            if rest.is_empty() { Some("") } else { rest.strip_prefix('=') }
        });
        Some(value.map(str::to_owned))
    }

    /// A line of a file that holds `name: value` or `name value` lines.
    pub(super) fn field(&self, path: &str, name: &str) -> Option<String> {
        let text = self.text(path)?;
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(rest.trim_start().trim_start_matches(':').trim().to_owned())
    }

    /// Whether a process of this name runs; `None` where no process can be seen.
    pub(super) fn runs(&self, name: &str) -> Option<bool> {
        let processes: Vec<String> =
            self.names("/proc").into_iter().filter(|folder| folder.bytes().all(|byte| byte.is_ascii_digit())).collect();
        if processes.is_empty() {
            return None;
        }
        Some(processes.iter().any(|process| self.text(&format!("/proc/{process}/comm")).is_some_and(|comm| comm == name)))
    }

    /// Whether this process holds a capability, by its number.
    pub(super) fn has_capability(&self, number: u32) -> Option<bool> {
        let bits = u64::from_str_radix(&self.field("/proc/self/status", "CapEff")?, 16).ok()?;
        Some(bits >> number & 1 == 1)
    }
}

/// Cores as the kernel lists them, `0-3,8`; with the prefixes of `isolcpus` and `rcu_nocbs` (`domain,managed_irq,2-3`) passed over.
pub(super) fn parse_cores(list: &str) -> Option<BTreeSet<usize>> {
    let mut cores = BTreeSet::new();
    let is_flag = |part: &&str| part.starts_with(|c: char| c.is_ascii_lowercase());
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty() && !is_flag(part)) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        // No kernel has more; a list that says so is not one.
        if last > 1 << 16 {
            return None;
        }
        cores.extend(first..=last);
    }
    Some(cores)
}

/// Cores as the kernel lists them.
pub(super) fn listed(cores: &BTreeSet<usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &core in cores {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == core => *last = core,
            _ => ranges.push((core, core)),
        }
    }
    let written = ranges.iter().map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    written.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(parse_cores("0-2,7"), Some(BTreeSet::from([0, 1, 2, 7])));
        assert_eq!(parse_cores("domain,managed_irq,2-3"), Some(BTreeSet::from([2, 3])));
        assert_eq!(parse_cores(""), Some(BTreeSet::new()));
        assert_eq!((parse_cores("1-x"), parse_cores("0-99999999")), (None, None));
    }

    proptest! {
        #[test]
        fn what_is_listed_reads_back(cores in prop::collection::btree_set(0usize..300, 0..40)) {
            prop_assert_eq!(parse_cores(&listed(&cores)), Some(cores));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_cores(&text);
        }
    }
}
