//! Whether a message continues a book, by what its venue sends to tell.

use crate::decode::Link;

/// Where a book stands in its venue's numbering.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Position {
    /// Id of the last message applied, or of the snapshot; `None` while nothing had one.
    last: Option<u64>,
    /// Id of the snapshot.
    snapshot: Option<u64>,
    /// Whether a message has followed the snapshot.
    is_joined: bool,
}

/// How a message stands to a book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// The book contains it.
    Old,
    /// It comes next.
    Next,
    /// Something is missing before it.
    Gap,
}

impl Position {
    /// A book as of a snapshot.
    pub(super) fn of_snapshot(link: Link) -> Position {
        Position { last: link.id(), snapshot: link.id(), is_joined: false }
    }

    /// The id the book stands at; 0 where the venue sends none.
    #[inline]
    pub(super) fn id(self) -> u64 {
        self.last.unwrap_or(0)
    }

    #[inline]
    pub(super) fn standing(self, link: Link) -> Standing {
        let Some(last) = self.last else { return Standing::Next };
        match link {
            Link::None => Standing::Next,
            Link::Consecutive(id) if id <= last => Standing::Old,
            Link::Consecutive(id) if id - last == 1 => Standing::Next,
            Link::Consecutive(_) => Standing::Gap,
            // Several messages may have one number, so only the snapshot's own is old.
            Link::Rising(id) if id < last || self.snapshot == Some(id) => Standing::Old,
            Link::Rising(_) => Standing::Next,
            Link::Chained { previous, .. } if previous == last => Standing::Next,
            Link::Chained { this, .. } if this <= last => Standing::Old,
            // A snapshot that came another way stands between two messages.
            Link::Chained { previous, .. } if !self.is_joined && previous <= last => Standing::Next,
            Link::Chained { .. } => Standing::Gap,
        }
    }

    /// Goes on to a message that comes next.
    #[inline]
    pub(super) fn advance(&mut self, link: Link) {
        if let Some(id) = link.id() {
            self.last = Some(id);
            self.is_joined = true;
        }
    }
}

/// Whether messages kept while a snapshot was awaited reach back to it. `oldest` is the first kept at all, `first_new` the first
/// that the snapshot does not contain.
///
/// A number that only rises tells of no hole, so the snapshot must not be older than the oldest message: what lies between the two
/// was never seen.
pub(super) fn reaches_back(position: Position, oldest: Link, first_new: Link) -> bool {
    match (first_new, oldest.id()) {
        (Link::Rising(_), Some(oldest)) => oldest <= position.id(),
        _ => position.standing(first_new) == Standing::Next,
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::*;
    use super::*;

    fn after(snapshot: Link, links: &[Link]) -> Vec<Standing> {
        let mut position = Position::of_snapshot(snapshot);
        let mut follow = |link: &Link| {
            let standing = position.standing(*link);
            if standing == Next {
                position.advance(*link);
            }
            standing
        };
        links.iter().map(&mut follow).collect()
    }

    #[test]
    fn numbers_of_each_kind() {
        let chained = |previous, this| Link::Chained { previous, this };
        let consecutive = [9, 10, 11, 11, 12, 14].map(Link::Consecutive);
        assert_eq!(after(Link::Consecutive(10), &consecutive), [Old, Old, Next, Old, Next, Gap]);
        assert_eq!(after(Link::Rising(10), &[9, 10, 12, 12, 11, 15].map(Link::Rising)), [Old, Old, Next, Next, Old, Next]);
        let chain = [chained(7, 9), chained(9, 12), chained(12, 13), chained(9, 12), chained(12, 15)];
        assert_eq!(after(Link::Rising(10), &chain), [Old, Next, Next, Old, Gap]);
        assert_eq!(after(Link::Rising(10), &[chained(11, 12)]), [Gap]);
        assert_eq!(after(Link::None, &[Link::Consecutive(5), Link::Consecutive(7)]), [Next, Gap]);
        assert_eq!(after(Link::None, &[Link::None, Link::None]), [Next, Next]);
        assert_eq!(after(Link::Consecutive(u64::MAX), &[Link::Consecutive(u64::MAX), Link::Consecutive(0)]), [Old, Old]);
    }

    #[test]
    fn a_snapshot_older_than_all_that_was_kept_is_not_reached() {
        let position = Position::of_snapshot(Link::Rising(10));
        assert!(reaches_back(position, Link::Rising(8), Link::Rising(12)));
        assert!(!reaches_back(position, Link::Rising(12), Link::Rising(12)));
        let position = Position::of_snapshot(Link::Consecutive(10));
        assert!(reaches_back(position, Link::Consecutive(11), Link::Consecutive(11)));
        assert!(!reaches_back(position, Link::Consecutive(12), Link::Consecutive(12)));
    }
}
