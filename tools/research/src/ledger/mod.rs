//! The trial ledger: every training and every validation that was ever run, in a file that only grows.
//!
//! A Sharpe ratio is worth what is left of it after all the trials that did not make it into the report. So every run appends what
//! it tried, before anybody sees the result, and the promotion gate counts what stands here.
//!
//! # On disk
//! `ledger.jsonl` holds one JSON object a line, each with its number and the SHA-256 of the line before; `ledger.head` the number
//! of lines and the SHA-256 of the last.
//!
//! # What is detected
//! An entry that was edited, removed (the last too), inserted or moved, and a head that was changed: reading fails and says where.
//! Every validation and every promoted model keep the [`Head`] of their time, and the gate asks whether the ledger still
//! [contains](History::contains) it; a ledger that was deleted, started anew or rewritten as a whole no longer does.
//!
//! # What is not
//! Nothing here is secret: who rewrites both files from some entry on, and every `validation.json` and manifest that names a later
//! head, is not found out, and neither is a trial run by other means. Keep the ledger where it is backed up, or under version
//! control.
//!
//! # Power loss
//! Lines are synced before the head is replaced. A line that was cut short was never acknowledged and goes at the next append;
//! whole lines after the head are kept.

mod trial;

pub(crate) use trial::lower_median;
pub use trial::{Trial, trials};

use crate::hash::sha256_hex;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The entries.
const ENTRIES_FILE: &str = "ledger.jsonl";
/// Their number and the hash of the last.
const HEAD_FILE: &str = "ledger.head";

/// How far a ledger reaches: the number of its entries and the hash of the last. Whoever keeps a head can later tell whether the
/// ledger still holds all that it held then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Number of entries.
    pub entries: u64,
    /// SHA-256 of the last line, lower-case hex; 64 zeros for none.
    pub sha256: String,
}

impl Head {
    /// The head of an empty ledger.
    pub fn empty() -> Head {
        Head { entries: 0, sha256: "0".repeat(64) }
    }
}

/// Why a ledger cannot be trusted, or not be written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file could not be read or written.
    #[error("ledger {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Entries were removed, edited or moved.
    #[error("ledger {path}: {what}; the trials it lost still count: restore the folder from a backup", path = path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        what: String,
    },
}

/// A ledger in its folder.
#[derive(Clone, Debug)]
pub struct Ledger {
    folder: PathBuf,
}

/// What a ledger holds, found unbroken.
#[derive(Clone, PartialEq, Debug)]
pub struct History {
    /// The trials, in the order they were appended.
    pub trials: Vec<Trial>,
    /// SHA-256 of each line.
    hashes: Vec<String>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// From 0.
    number: u64,
    /// SHA-256 of the line before, or 64 zeros.
    previous: String,
    #[serde(flatten)]
    trial: Trial,
}

impl Ledger {
    /// The ledger of a folder, which need not be there yet.
    pub fn in_folder(folder: &Path) -> Ledger {
        Ledger { folder: folder.to_owned() }
    }

    /// Appends trials and gives the new head. Several processes may append at once: each waits for the lock.
    ///
    /// # Errors
    /// [`LedgerError`] where the ledger is broken or cannot be written; nothing is appended then.
    pub fn append(&self, trials: &[Trial]) -> Result<Head, LedgerError> {
        std::fs::create_dir_all(&self.folder).map_err(self.io(""))?;
        let options = OpenOptions::new().create(true).append(true).read(true).open(self.entries_path());
        let mut file = options.map_err(self.io(ENTRIES_FILE))?;
        // Held until the file is closed.
        file.lock().map_err(self.io(ENTRIES_FILE))?;
        let (history, whole_bytes) = self.read_locked()?;
        let mut head = history.head();
        if whole_bytes == 0 {
            self.write_head(&head)?;
        }
        file.set_len(whole_bytes).map_err(self.io(ENTRIES_FILE))?;
        let mut lines = Vec::new();
        for trial in trials {
            let entry = Entry { number: head.entries, previous: head.sha256, trial: trial.clone() };
            let line = serde_json::to_vec(&entry).map_err(|error| self.io(ENTRIES_FILE)(error.into()))?;
            head = Head { entries: entry.number + 1, sha256: sha256_hex(&line) };
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        file.write_all(&lines).and_then(|()| file.sync_all()).map_err(self.io(ENTRIES_FILE))?;
        self.write_head(&head)?;
        Ok(head)
    }

    /// Reads and checks all entries; a folder that is not there holds none.
    ///
    /// # Errors
    /// [`LedgerError::Broken`] where an entry was removed, edited or moved; [`LedgerError::Io`] where a file cannot be read.
    pub fn read(&self) -> Result<History, LedgerError> {
        match File::open(self.entries_path()) {
            Ok(file) => {
                file.lock_shared().map_err(self.io(ENTRIES_FILE))?;
                self.read_locked().map(|(history, _)| history)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.read_locked().map(|(history, _)| history),
            Err(error) => Err(self.io(ENTRIES_FILE)(error)),
        }
    }

    /// The entries and the bytes of whole lines.
    fn read_locked(&self) -> Result<(History, u64), LedgerError> {
        let broken = |what: String| LedgerError::Broken { path: self.entries_path(), what };
        let bytes = read_if_there(&self.entries_path()).map_err(self.io(ENTRIES_FILE))?;
        let head = read_if_there(&self.head_path()).map_err(self.io(HEAD_FILE))?;
        let head: Option<Head> = match head {
            Some(text) => {
                Some(serde_json::from_slice(&text).map_err(|error| broken(format!("{HEAD_FILE} is not a head: {error}")))?)
            }
            None => None,
        };
        let bytes = match (bytes, &head) {
            (None, Some(head)) if head.entries > 0 => {
                return Err(broken(format!("it is gone, and {HEAD_FILE} tells of {} entries", head.entries)));
            }
            (bytes, _) => bytes.unwrap_or_default(),
        };
        let mut history = History { trials: Vec::new(), hashes: Vec::new() };
        let whole_bytes = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        for (number, line) in bytes[..whole_bytes].split_inclusive(|&byte| byte == b'\n').enumerate() {
            let line = &line[..line.len() - 1];
            let at = number + 1;
            let entry: Entry =
                serde_json::from_slice(line).map_err(|error| broken(format!("line {at} is not an entry: {error}")))?;
            if entry.previous != history.head().sha256 || entry.number != number as u64 {
                return Err(broken(format!(
                    "line {at} does not follow the line above: one of them was edited, removed, inserted or moved"
                )));
            }
            history.trials.push(entry.trial);
            history.hashes.push(sha256_hex(line));
        }
        match head {
            None if !history.hashes.is_empty() => {
                Err(broken(format!("{HEAD_FILE} is gone, so nobody can tell whether entries are missing")))
            }
            Some(head) if head.entries > history.hashes.len() as u64 => {
                Err(broken(format!("{} of {} entries are left", history.hashes.len(), head.entries)))
            }
            Some(head) if !history.contains(&head) => {
                Err(broken(format!("entry {} is not the one that {HEAD_FILE} tells of", head.entries)))
            }
            _ => Ok((history, whole_bytes as u64)),
        }
    }

    fn write_head(&self, head: &Head) -> Result<(), LedgerError> {
        let path = self.folder.join("ledger.head.new");
        let write = || {
            let mut file = File::create(&path)?;
            serde_json::to_writer(&mut file, head)?;
            file.sync_all()?;
            std::fs::rename(&path, self.head_path())?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(self.io(HEAD_FILE))
    }

    fn entries_path(&self) -> PathBuf {
        self.folder.join(ENTRIES_FILE)
    }

    fn head_path(&self) -> PathBuf {
        self.folder.join(HEAD_FILE)
    }

    fn io(&self, name: &'static str) -> impl Fn(io::Error) -> LedgerError + '_ {
        move |source| LedgerError::Io { path: if name.is_empty() { self.folder.clone() } else { self.folder.join(name) }, source }
    }
}

impl History {
    /// How far the ledger reaches.
    pub fn head(&self) -> Head {
        match self.hashes.last() {
            Some(sha256) => Head { entries: self.hashes.len() as u64, sha256: sha256.clone() },
            None => Head::empty(),
        }
    }

    /// Whether everything up to a head that was kept is still there.
    pub fn contains(&self, head: &Head) -> bool {
        match usize::try_from(head.entries).ok().and_then(|entries| entries.checked_sub(1)) {
            None => *head == Head::empty(),
            Some(last) => self.hashes.get(last) == Some(&head.sha256),
        }
    }
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::trial::tests::trial;
    use super::*;

    fn filled(count: u64) -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::in_folder(&folder.path().join("ledger"));
        for seed in 0..count {
            ledger.append(&[trial(seed)]).unwrap();
        }
        (folder, ledger)
    }

    /// What reading says after an edit of the entries' lines.
    fn after(edit: impl Fn(&mut Vec<String>)) -> String {
        let (_folder, ledger) = filled(4);
        let text = std::fs::read_to_string(ledger.entries_path()).unwrap();
        let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
        edit(&mut lines);
        std::fs::write(ledger.entries_path(), lines.concat()).unwrap();
        let read = ledger.read().map(|history| history.trials.len());
        // What cannot be read is not appended to either.
        assert_eq!(read.is_ok(), ledger.append(&[trial(9)]).is_ok());
        read.map_or_else(|error| error.to_string(), |count| format!("{count} entries"))
    }

    #[test]
    fn what_is_appended_is_read() {
        let (_folder, ledger) = filled(2);
        let head = ledger.append(&[trial(2), trial(3)]).unwrap();
        let history = ledger.read().unwrap();
        assert_eq!(history.trials, (0..4).map(trial).collect::<Vec<_>>());
        assert_eq!((history.head(), head.entries), (head, 4));
        let nothing = Ledger::in_folder(Path::new("nowhere")).read().unwrap();
        assert_eq!((nothing.trials.len(), nothing.head()), (0, Head::empty()));
    }

    #[test]
    fn every_kind_of_tampering_is_found() {
        assert_eq!(after(|_| {}), "4 entries");
        assert!(after(|lines| drop(lines.pop())).contains("3 of 4 entries are left"));
        assert!(after(|lines| drop(lines.remove(0))).contains("line 1 does not follow"));
        assert!(after(|lines| drop(lines.remove(2))).contains("line 3 does not follow"));
        assert!(after(|lines| lines.swap(1, 2)).contains("line 2 does not follow"));
        assert!(after(|lines| lines.insert(1, lines[0].clone())).contains("line 2 does not follow"));
        assert!(after(|lines| lines[1] = lines[1].replace("\"seed\":1", "\"seed\":7")).contains("line 3 does not follow"));
        assert!(after(|lines| lines[3] = lines[3].replace("\"seed\":3", "\"seed\":7")).contains("entry 4 is not the one"));
        assert!(after(|lines| lines[2] = "{}\n".into()).contains("line 3 is not an entry"));
        assert!(after(Vec::clear).contains("0 of 4 entries are left"));
    }

    #[test]
    fn missing_files_are_found() {
        let (_folder, ledger) = filled(3);
        let head = ledger.read().unwrap().head();
        std::fs::remove_file(ledger.entries_path()).unwrap();
        assert!(ledger.read().unwrap_err().to_string().contains("tells of 3 entries"));
        // With both gone nothing is left to tell, but for the head that others keep.
        std::fs::remove_file(ledger.head_path()).unwrap();
        assert!(!ledger.read().unwrap().contains(&head));
        ledger.append(&(10..15).map(trial).collect::<Vec<_>>()).unwrap();
        assert!(!ledger.read().unwrap().contains(&head));
        std::fs::remove_file(ledger.head_path()).unwrap();
        assert!(ledger.read().unwrap_err().to_string().contains("ledger.head is gone"));
    }

    #[test]
    fn an_append_cut_short_loses_only_itself() {
        let (_folder, ledger) = filled(3);
        let (whole, head) = (std::fs::read(ledger.entries_path()).unwrap(), std::fs::read(ledger.head_path()).unwrap());
        ledger.append(&[trial(3)]).unwrap();
        let more = std::fs::read(ledger.entries_path()).unwrap();
        std::fs::write(ledger.head_path(), &head).unwrap();
        for cut in whole.len()..=more.len() {
            std::fs::write(ledger.entries_path(), &more[..cut]).unwrap();
            let expected = if cut == more.len() { 4 } else { 3 };
            assert_eq!(ledger.read().unwrap().trials.len(), expected, "cut at {cut}");
        }
        std::fs::write(ledger.entries_path(), &more[..more.len() - 5]).unwrap();
        ledger.append(&[trial(8)]).unwrap();
        assert_eq!(ledger.read().unwrap().trials, [0, 1, 2, 8].map(trial).to_vec());
    }

    #[test]
    fn appends_at_once_all_arrive() {
        let (_folder, ledger) = filled(0);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let ledger = ledger.clone();
                scope.spawn(move || (0..10).for_each(|run| drop(ledger.append(&[trial(thread * 10 + run)]).unwrap())));
            }
        });
        let mut seeds: Vec<u64> = ledger.read().unwrap().trials.iter().map(|trial| trial.seed).collect();
        seeds.sort_unstable();
        assert_eq!(seeds, (0..40).collect::<Vec<u64>>());
    }
}
