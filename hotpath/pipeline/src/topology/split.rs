//! The trade group on a thread of its own, behind one pair of rings.
//!
//! Events and frames travel in two rings. A frame belongs after the event it names (`frame.seq`) and before the next one; it is
//! pushed in that order, so whoever sees an event beyond it also sees the frame. Both rings are lossless: a full one makes the
//! ingest side wait. What is done by hand, and what was lost before ingest, has a ring of its own and says after which event and how many
//! frames it comes, so its place is the one it was given in. Where the session is live, the trade side skips a frame when it comes to its place and a newer one of the same
//! instrument is in the ring already ([`BackPressure`]); so a skip has a place in the order of things, like all else.

use super::hot_thread::touch_ring;
use super::{BackPressure, ByHand, Crossing, HostError, HotThread, Ingest, IngestError, Observer, Overrun, Trade, Waiting};
use crate::decision::Strategy;
use crate::stopwatch::Started;
use chronos_market::{Frame, InstrumentId, MarketEvent, Timestamp, Venue};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// Events in flight.
const EVENTS_MAX: usize = 65_536;
/// Frames in flight.
const FRAMES_MAX: usize = 1_024;
/// Things done by hand, and overruns, in flight.
const PLACED_MAX: usize = 8;

/// The trade thread is gone.
#[derive(Debug)]
pub enum SplitError {
    /// The system gives no thread.
    Spawn(std::io::Error),
    /// The host did not give what was asked for it.
    Host(HostError),
    /// It panicked.
    Panicked,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SplitError::Spawn(error) => write!(f, "cannot start the trade thread: {error}"),
            SplitError::Host(error) => error.fmt(f),
            SplitError::Panicked => f.write_str("the trade thread ended unexpectedly; this is a defect"),
        }
    }
}

impl std::error::Error for SplitError {}

/// The split driver: ingest on the calling thread, trade on its own.
pub struct Split<S, V, O> {
    ingest: Ingest,
    rings: Rings,
    shared: Arc<Shared>,
    thread: JoinHandle<Trade<S, V, O>>,
}

struct Rings {
    events: rtrb::Producer<MarketEvent>,
    frames: rtrb::Producer<(Frame, Started)>,
    placed: rtrb::Producer<Placed>,
    /// `seq` of the last event pushed.
    last_seq: u64,
    /// Frames pushed.
    frames_pushed: u64,
    waiting: Waiting,
}

/// What the trade thread takes from.
struct Inputs {
    events: rtrb::Consumer<MarketEvent>,
    frames: rtrb::Consumer<(Frame, Started)>,
    placed: rtrb::Consumer<Placed>,
}

/// What is neither event nor frame, and its place: after the event with this `seq` and so many frames of the session, at `now`.
struct Placed {
    last_seq: u64,
    frames_pushed: u64,
    now: Timestamp,
    what: What,
}

/// What is done by hand, or went wrong before ingest.
#[expect(clippy::large_enum_variant, reason = "self-contained, as what is done by hand is")]
enum What {
    ByHand(ByHand),
    Overrun(Overrun),
}

/// What the trade thread tells besides its result.
struct Shared {
    has_stopped: AtomicBool,
    /// Logical time at the end of the session, valid once the rings are abandoned.
    end: AtomicI64,
}

impl<S, V, O> Split<S, V, O>
where
    S: Strategy + Send + 'static,
    V: Venue + Send + 'static,
    O: Observer + Send + 'static,
{
    /// Starts the trade thread as `host` says and waits until it is ready and its models are warm ([`Trade::warm_up`]).
    ///
    /// # Errors
    /// [`SplitError`] where there is no thread to be had, or the host refuses what it asks for.
    pub fn start(
        ingest: Ingest,
        mut trade: Trade<S, V, O>,
        host: HotThread,
        waiting: Waiting,
    ) -> Result<Split<S, V, O>, SplitError> {
        let (mut events, events_in) = rtrb::RingBuffer::new(EVENTS_MAX);
        let (mut frames, frames_in) = rtrb::RingBuffer::new(FRAMES_MAX);
        let (mut placed, placed_in) = rtrb::RingBuffer::new(PLACED_MAX);
        touch_ring(&mut events);
        touch_ring(&mut frames);
        touch_ring(&mut placed);
        let inputs = Inputs { events: events_in, frames: frames_in, placed: placed_in };
        let shared = Arc::new(Shared { has_stopped: AtomicBool::new(false), end: AtomicI64::new(i64::MIN) });
        let theirs = Arc::clone(&shared);
        let (ready, is_ready) = mpsc::sync_channel(1);
        let run = move || {
            // A failure to tell is one of whoever started this, who is gone then.
            let (entered, told) = match host.enter() {
                Ok(entered) => (Some(entered), Ok(())),
                Err(error) => (None, Err(error)),
            };
            trade.warm_up();
            let _ = ready.send(told);
            if let Some(entered) = &entered {
                entered.begin();
            }
            follow(trade, inputs, &theirs, waiting)
        };
        let thread = std::thread::Builder::new().name("chronos-trade".into()).spawn(run).map_err(SplitError::Spawn)?;
        is_ready.recv().map_err(|_| SplitError::Panicked)?.map_err(SplitError::Host)?;
        let rings = Rings { events, frames, placed, last_seq: 0, frames_pushed: 0, waiting };
        Ok(Split { ingest, rings, shared, thread })
    }

    /// See [`Ingest::set_symbol`].
    pub fn set_symbol(&mut self, source: usize, symbol: &str) {
        self.ingest.set_symbol(source, symbol);
    }

    /// See [`Ingest::resync`].
    pub fn resync(&mut self, instrument: InstrumentId) {
        self.ingest.resync(instrument, &mut self.rings);
    }

    /// Takes one message, received at `recv` from `source`.
    ///
    /// # Errors
    /// [`IngestError`] where the message has no effect; the next one is not affected.
    #[inline]
    pub fn on_message(&mut self, source: usize, recv: Timestamp, raw: &[u8]) -> Result<(), IngestError> {
        self.ingest.advance(recv, &mut self.rings);
        self.ingest.on_message(source, raw, &mut self.rings)
    }

    /// Messages of `source` were lost on the way here for want of room, noticed at `recv`: see [`Ingest::on_overrun`].
    ///
    /// # Errors
    /// [`IngestError::UnknownSource`].
    #[cold]
    pub fn on_overrun(&mut self, source: usize, recv: Timestamp) -> Result<(), IngestError> {
        self.ingest.advance(recv, &mut self.rings);
        self.ingest.on_overrun(source, &mut self.rings)
    }

    /// Does what somebody wants done at `now`, between two messages, none of which may follow with an earlier time.
    #[cold]
    pub fn by_hand(&mut self, now: Timestamp, what: &ByHand) {
        let now = self.ingest.advance(now, &mut self.rings);
        self.rings.place(now, What::ByHand(*what));
    }

    /// To be called while there is nothing to take, see [`Ingest::idle`]. The trade thread does its own [`Trade::idle`] where it spins.
    #[inline]
    pub fn idle(&mut self) {
        self.ingest.idle();
    }

    /// The first group.
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// Whether the trade thread has stopped early; [`Split::finish`] tells why.
    #[inline]
    pub fn has_stopped(&self) -> bool {
        self.shared.has_stopped.load(Ordering::Relaxed) || self.rings.events.is_abandoned()
    }

    /// Ends the session and gives the groups back.
    ///
    /// # Errors
    /// [`SplitError::Panicked`] where the trade thread did.
    pub fn finish(mut self) -> Result<(Ingest, Trade<S, V, O>), SplitError> {
        self.ingest.finish(&mut self.rings);
        self.shared.end.store(self.ingest.now().0, Ordering::Release);
        drop(self.rings);
        let trade = self.thread.join().map_err(|_| SplitError::Panicked)?;
        Ok((self.ingest, trade))
    }
}

impl Rings {
    #[cold]
    fn place(&mut self, now: Timestamp, what: What) {
        let placed = Placed { last_seq: self.last_seq, frames_pushed: self.frames_pushed, now, what };
        push(&mut self.placed, placed, self.waiting);
    }
}

impl Crossing for Rings {
    #[inline]
    fn event(&mut self, event: &MarketEvent) {
        self.last_seq = event.seq;
        push(&mut self.events, *event, self.waiting);
    }

    #[inline]
    fn frame(&mut self, frame: &Frame, started: Started) {
        self.frames_pushed += 1;
        push(&mut self.frames, (*frame, started), self.waiting);
    }

    #[cold]
    fn overrun(&mut self, overrun: &Overrun) {
        self.place(overrun.recv, What::Overrun(*overrun));
    }
}

/// Pushes, waiting for room; drops the value where nobody is left to take it.
#[inline]
fn push<T>(ring: &mut rtrb::Producer<T>, value: T, waiting: Waiting) {
    let mut value = value;
    let mut idle = 0;
    while let Err(rtrb::PushError::Full(back)) = ring.push(value) {
        if ring.is_abandoned() {
            return;
        }
        value = back;
        waiting.pause(idle);
        idle = idle.saturating_add(1);
    }
}

/// The trade thread.
fn follow<S: Strategy, V: Venue, O: Observer>(
    mut trade: Trade<S, V, O>,
    inputs: Inputs,
    shared: &Shared,
    waiting: Waiting,
) -> Trade<S, V, O> {
    let is_live = trade.back_pressure() == BackPressure::Live;
    let Inputs { mut events, mut frames, mut placed } = inputs;
    let (mut last_seq, mut frames_taken) = (0, 0);
    let mut idle = 0u32;
    loop {
        // Read the ends before the rings: what was pushed before an end was dropped is then seen below.
        let is_over = events.is_abandoned() && frames.is_abandoned() && placed.is_abandoned();
        let next_event = events.peek().is_ok();
        // Seen after the event, so a frame that belongs before it is there.
        let frame_is_next = frames.peek().is_ok_and(|(frame, _)| frame.seq <= last_seq);
        // Seen after both, so what belongs before either is there; it is next when all that belongs before it was taken.
        let placed_is_next = placed.peek().is_ok_and(|next| next.last_seq == last_seq && next.frames_pushed == frames_taken);
        if placed_is_next {
            if let Ok(next) = placed.pop() {
                trade.advance(next.now);
                match &next.what {
                    What::ByHand(what) => trade.by_hand(what),
                    What::Overrun(overrun) => trade.on_overrun(overrun),
                }
            }
        } else if frame_is_next {
            frames_taken += 1;
            let has_newer = is_live && has_newer(&mut frames);
            match frames.pop() {
                Ok((frame, _)) if has_newer => trade.skip_frame(&frame),
                Ok((frame, started)) => trade.on_frame(&frame, started),
                Err(_) => {}
            }
        } else if next_event {
            if let Ok(event) = events.pop() {
                last_seq = event.seq;
                trade.on_event(&event);
            }
        } else if is_over {
            trade.finish(Timestamp(shared.end.load(Ordering::Acquire)));
            return trade;
        } else {
            if idle == 0 {
                trade.flush();
            }
            if waiting == Waiting::Spin {
                trade.idle();
            }
            waiting.pause(idle);
            idle = idle.saturating_add(1);
            continue;
        }
        idle = 0;
        if trade.error().is_some() {
            shared.has_stopped.store(true, Ordering::Relaxed);
            return trade;
        }
    }
}

/// Whether the ring holds a newer frame of the first one's instrument.
fn has_newer(frames: &mut rtrb::Consumer<(Frame, Started)>) -> bool {
    let waiting = frames.slots();
    let Ok(chunk) = frames.read_chunk(waiting) else { return false };
    let (one, two) = chunk.as_slices();
    let mut instruments = one.iter().chain(two).map(|(frame, _)| frame.instrument);
    let first = instruments.next();
    // The chunk is dropped without a commit: nothing was taken.
    instruments.any(|instrument| Some(instrument) == first)
}
