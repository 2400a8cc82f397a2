//! Journals that were cut, flipped, torn, or lost pages: nothing whole before the damage is lost, nothing that is not whole is taken.

use chronos_pipeline::journal::{Journal, JournalConfig, RecordKind, Recovery, SEGMENT_BYTES_MIN, WhenLate, record_bytes};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;
use tempfile::TempDir;

/// Damages tried on a journal that was closed, and on one that was not.
const TRIALS: usize = 5_000;
/// Moments at which the power goes.
const POWER_LOSSES: usize = 1_000;
const PAGE: usize = 4_096;
/// What a disk writes whole.
const SECTOR: usize = 512;
const SEGMENT: usize = 3 * PAGE;
const HEADER: usize = 64;
const RECORDS: u64 = 300;

/// What a record holds, told by its number.
fn payload(seq: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seq);
    // A long one now and then, so that records lie across pages in every way.
    let length = if rng.u32(0..20) == 0 { rng.usize(0..3_000) } else { rng.usize(0..90) };
    (0..length).map(|_| rng.u8(..)).collect()
}

/// A journal and where its records lie.
struct Written {
    folder: TempDir,
    /// Path and bytes of each segment.
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Segment, beginning and end of each record.
    places: Vec<(usize, usize, usize)>,
}

impl Written {
    fn new(session: u64, is_closed: bool) -> Written {
        let folder = tempfile::tempdir().unwrap();
        let config = JournalConfig {
            folder: folder.path().to_owned(),
            session,
            segment_bytes: SEGMENT as u64,
            sync_interval: Duration::from_millis(5),
            when_late: WhenLate::Wait,
        };
        let mut journal = Journal::create(&config).unwrap();
        let (mut places, mut segment, mut used) = (Vec::new(), 0, HEADER);
        for seq in 1..=RECORDS {
            let (kind, payload) =
                (if seq == RECORDS && is_closed { RecordKind::SessionEnd } else { RecordKind::Report }, payload(seq));
            journal.append(kind, seq as i64, &payload).unwrap();
            let bytes = record_bytes(payload.len());
            if used + bytes > SEGMENT {
                (segment, used) = (segment + 1, HEADER);
            }
            places.push((segment, used, used + bytes));
            used += bytes;
        }
        if is_closed {
            journal.close().unwrap()
        } else {
            journal.leave().unwrap()
        };
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert_eq!(paths.len(), segment + 1);
        let files = paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        Written { folder, files, places }
    }

    /// Records that end at or before a byte of a segment.
    fn whole_before(&self, segment: usize, byte: usize) -> u64 {
        self.places.iter().take_while(|place| place.0 < segment || place.0 == segment && place.2 <= byte).count() as u64
    }

    /// Whole records from the `from`-th on, given one damaged segment.
    fn whole_in(&self, from: u64, segment: usize, damaged: &[u8]) -> u64 {
        let is_whole = |&(own, begin, end): &(usize, usize, usize)| {
            own != segment || damaged.get(begin..end) == Some(&self.files[segment].1[begin..end])
        };
        self.places[from as usize..].iter().filter(|place| is_whole(place)).count() as u64
    }
}

/// Opens a journal and checks that its records are the first so many of those written.
fn recovered(folder: &Path) -> Recovery {
    static PAYLOADS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (1..=RECORDS).map(payload).collect());
    let recovery = Recovery::open(folder).unwrap();
    let mut reader = recovery.reader();
    let mut count = 0;
    while let Some(record) = reader.next().unwrap() {
        count += 1;
        assert_eq!((record.seq, record.recv_ns), (count, count as i64));
        assert!(record.payload == PAYLOADS[count as usize - 1], "record {count} is not the one written");
    }
    assert_eq!(recovery.records, count);
    recovery
}

/// Writes a file anew without emptying it first, which some file systems answer with a write to the disk.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

/// Damages a segment's bytes; `stale` is the same segment of another session, `rng` chooses.
fn damage(bytes: &mut Vec<u8>, segment: usize, stale: &[u8], rng: &mut fastrand::Rng) {
    let page = rng.usize(0..bytes.len().div_ceil(PAGE)) * PAGE;
    let end = (page + PAGE).min(bytes.len());
    let torn = page + rng.usize(0..=(end - page).div_ceil(SECTOR)) * SECTOR;
    match rng.u32(0..6) {
        0 => bytes.truncate(rng.usize(0..bytes.len())),
        1 | 2 => {
            for _ in 0..rng.u32(1..4) {
                let bit = rng.usize(0..bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        // Half of a page never came.
        3 => bytes[torn.min(end)..end].fill(0),
        4 => bytes[page..torn.min(end)].fill(0),
        // A page of another session. The first page of all says which session it is.
        _ if segment + page > 0 && end <= stale.len() => bytes[page..end].copy_from_slice(&stale[page..end]),
        _ => {}
    }
}

#[test]
fn five_thousand_damages_of_a_closed_journal() {
    damages(true);
}

#[test]
fn five_thousand_damages_of_a_journal_that_was_not_closed() {
    damages(false);
}

fn damages(is_closed: bool) {
    let stale = Written::new(2, false);
    let written = Written::new(1, is_closed);
    let mut rng = fastrand::Rng::with_seed(u64::from(is_closed));
    assert_eq!(recovered(written.folder.path()).damage, None);
    for trial in 0..TRIALS {
        let segment = rng.usize(0..written.files.len());
        let (path, bytes) = &written.files[segment];
        let mut damaged = bytes.clone();
        damage(&mut damaged, segment, &stale.files[segment].1, &mut rng);
        overwrite(path, &damaged);
        let recovery = recovered(written.folder.path());
        overwrite(path, bytes);

        let context = format!("trial {trial}, closed {is_closed}, segment {segment}: {:?}", recovery.damage);
        let Some(first) = (0..bytes.len()).find(|&place| damaged.get(place) != Some(&bytes[place])) else {
            assert_eq!((recovery.records, recovery.damage), (RECORDS, None), "untouched");
            continue;
        };
        let whole = written.whole_before(segment, first);
        assert_eq!(recovery.records, whole, "{context}");
        let Some(damage) = recovery.damage else {
            // The last segment is gone to the last byte, or as much of it as nothing was in: nothing tells of it.
            let is_unused = damaged.iter().all(|&byte| byte == 0);
            assert!(segment + 1 == written.files.len() && !recovery.is_closed, "{context}");
            assert!(is_unused || written.whole_in(whole, segment, &damaged) == 0, "{context}");
            continue;
        };
        assert!(damage.path != *path || damage.offset as usize <= first, "{context}");
        // A session is known by the first header alone.
        if segment > 0 || first >= HEADER {
            assert_eq!(damage.whole_records_dropped, written.whole_in(whole, segment, &damaged), "{context}");
        }
        assert!(damage.whole_records_dropped <= damage.records_lost, "{context}");
        assert!(damage.records_lost <= RECORDS - whole, "{context}");
        assert!(damage.to_string().contains(&damage.path.display().to_string()), "{context}");
    }
}

/// At some record the power goes. What was synced is on the disk; of every page behind, all, nothing, or some sectors.
#[test]
fn a_thousand_power_losses() {
    let written = Written::new(1, false);
    let mut rng = fastrand::Rng::with_seed(3);
    for trial in 0..POWER_LOSSES {
        let last = rng.usize(1..=RECORDS as usize);
        let synced = rng.usize(0..=last);
        let place_of = |count: usize| count.checked_sub(1).map_or((0, HEADER), |at| (written.places[at].0, written.places[at].2));
        let ((last_segment, last_end), (synced_segment, synced_end)) = (place_of(last), place_of(synced));
        for (segment, (path, bytes)) in written.files.iter().enumerate() {
            let (end, durable) = (
                if segment < last_segment {
                    SEGMENT
                } else if segment == last_segment {
                    last_end
                } else {
                    0
                },
                if segment < synced_segment {
                    SEGMENT
                } else if segment == synced_segment {
                    synced_end
                } else {
                    0
                },
            );
            let mut image = vec![0; SEGMENT];
            image[..end].copy_from_slice(&bytes[..end]);
            for page in (durable / PAGE * PAGE..end).step_by(PAGE) {
                let lost = match rng.u32(0..3) {
                    0 => 0,
                    1 => PAGE / SECTOR,
                    _ => rng.usize(0..PAGE / SECTOR),
                };
                let first = if rng.bool() { 0 } else { PAGE / SECTOR - lost };
                for sector in first..first + lost {
                    let from = (page + sector * SECTOR).max(durable);
                    image[from..(page + (sector + 1) * SECTOR).max(from)].fill(0);
                }
            }
            overwrite(path, &image);
        }
        let recovery = recovered(written.folder.path());
        assert!(recovery.records >= synced as u64, "trial {trial}: {} of {synced} synced, {:?}", recovery.records, recovery.damage);
        assert!(recovery.records <= last as u64, "trial {trial}");
    }
}

#[test]
fn records_twice_out_of_order_or_of_a_missing_segment_are_not_taken() {
    let written = Written::new(1, true);
    let (path, bytes) = &written.files[1];
    let of_second: Vec<&(usize, usize, usize)> = written.places.iter().filter(|place| place.0 == 1).collect();
    let before = written.whole_before(0, SEGMENT);

    // The second record of the segment in the place of the first.
    let (first, second) = (of_second[0], of_second[1]);
    let mut swapped = bytes.clone();
    swapped[first.1..first.1 + second.2 - second.1].copy_from_slice(&bytes[second.1..second.2]);
    std::fs::write(path, &swapped).unwrap();
    assert_eq!(recovered(written.folder.path()).records, before);

    // A record twice.
    let (first, mut twice) = (of_second[0], bytes.clone());
    twice[first.2..].copy_from_slice(&bytes[first.1..bytes.len() - (first.2 - first.1)]);
    std::fs::write(path, &twice).unwrap();
    assert_eq!(recovered(written.folder.path()).records, before + 1);

    // A segment in the place of another, and none at all.
    std::fs::write(path, &written.files[2].1).unwrap();
    let recovery = recovered(written.folder.path());
    assert_eq!(recovery.records, before);
    std::fs::remove_file(path).unwrap();
    let recovery = recovered(written.folder.path());
    let damage = recovery.damage.expect("a segment is missing");
    assert_eq!(recovery.records, before);
    assert_eq!(damage.whole_records_dropped, written.places.iter().filter(|place| place.0 > 1).count() as u64);
    assert_eq!(damage.records_lost, RECORDS - before);
    std::fs::remove_file(&written.files[0].0).unwrap();
    let recovery = recovered(written.folder.path());
    assert_eq!((recovery.records, recovery.damage.is_some()), (0, true));
}

#[test]
fn one_segment_alone_can_be_read() {
    let written = Written::new(1, true);
    let recovery = Recovery::open(&written.files[1].0).unwrap();
    let own = written.places.iter().filter(|place| place.0 == 1).count() as u64;
    assert_eq!((recovery.first_seq, recovery.records, recovery.damage.as_ref()), (written.whole_before(0, SEGMENT) + 1, own, None));
    let first = recovery.first_seq;
    assert_eq!(recovery.reader().next().unwrap().expect("its first record").seq, first);
    assert!(Recovery::open(&written.folder.path().join("none")).is_err());
    let empty = tempfile::tempdir().unwrap();
    let error = Recovery::open(empty.path()).expect_err("no segment").to_string();
    assert!(error.contains("no segment here"), "{error}");
    const { assert!(SEGMENT as u64 >= SEGMENT_BYTES_MIN) };
}
