//! The trade group on a thread of its own, behind one pair of rings.
//!
//! Events and frames travel in two rings. A frame belongs after the event it names (`frame.seq`) and before the next one; it is
//! pushed in that order, so whoever sees an event beyond it also sees the frame. Both rings are lossless in a replay: a full one
//! makes the ingest side wait.

use super::{Crossing, Ingest, IngestError, Observer, PinError, Trade, Waiting, pin_current_thread};
use crate::decision::Strategy;
use crate::stopwatch::Started;
use chronos_market::{Frame, InstrumentId, MarketEvent, Timestamp, Venue};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;

/// Events in flight.
const EVENTS_MAX: usize = 65_536;
/// Frames in flight.
const FRAMES_MAX: usize = 1_024;

/// The trade thread is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SplitError {
    /// It could not be started, or pinned.
    Pin(PinError),
    /// It panicked.
    Panicked,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SplitError::Pin(error) => error.fmt(f),
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
    thread: JoinHandle<Result<Trade<S, V, O>, SplitError>>,
}

struct Rings {
    events: rtrb::Producer<MarketEvent>,
    frames: rtrb::Producer<(Frame, Started)>,
    waiting: Waiting,
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
    /// Starts the trade thread, pinned to `core` where one is given.
    ///
    /// # Errors
    /// [`SplitError::Panicked`] where the system gives no thread.
    pub fn start(
        ingest: Ingest,
        trade: Trade<S, V, O>,
        core: Option<usize>,
        waiting: Waiting,
    ) -> Result<Split<S, V, O>, SplitError> {
        let (events, events_in) = rtrb::RingBuffer::new(EVENTS_MAX);
        let (frames, frames_in) = rtrb::RingBuffer::new(FRAMES_MAX);
        let shared = Arc::new(Shared { has_stopped: AtomicBool::new(false), end: AtomicI64::new(i64::MIN) });
        let theirs = Arc::clone(&shared);
        let run = move || {
            if let Some(core) = core {
                pin_current_thread(core).map_err(SplitError::Pin)?;
            }
            Ok(follow(trade, events_in, frames_in, &theirs, waiting))
        };
        let thread = std::thread::Builder::new().name("chronos-trade".into()).spawn(run).map_err(|_| SplitError::Panicked)?;
        Ok(Split { ingest, rings: Rings { events, frames, waiting }, shared, thread })
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

    /// Whether the trade thread has stopped early; [`Split::finish`] tells why.
    #[inline]
    pub fn has_stopped(&self) -> bool {
        self.shared.has_stopped.load(Ordering::Relaxed) || self.rings.events.is_abandoned()
    }

    /// Ends the session and gives the groups back.
    ///
    /// # Errors
    /// [`SplitError`] where the trade thread could not be pinned or panicked.
    pub fn finish(mut self) -> Result<(Ingest, Trade<S, V, O>), SplitError> {
        self.ingest.finish(&mut self.rings);
        self.shared.end.store(self.ingest.now().0, Ordering::Release);
        drop(self.rings);
        let trade = self.thread.join().map_err(|_| SplitError::Panicked)??;
        Ok((self.ingest, trade))
    }
}

impl Crossing for Rings {
    #[inline]
    fn event(&mut self, event: &MarketEvent) {
        push(&mut self.events, *event, self.waiting);
    }

    #[inline]
    fn frame(&mut self, frame: &Frame, started: Started) {
        push(&mut self.frames, (*frame, started), self.waiting);
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
    mut events: rtrb::Consumer<MarketEvent>,
    mut frames: rtrb::Consumer<(Frame, Started)>,
    shared: &Shared,
    waiting: Waiting,
) -> Trade<S, V, O> {
    let mut last_seq = 0;
    let mut idle = 0u32;
    loop {
        // Read the ends before the rings: what was pushed before an end was dropped is then seen below.
        let is_over = events.is_abandoned() && frames.is_abandoned();
        let next_event = events.peek().is_ok();
        // Seen after the event, so a frame that belongs before it is there.
        let frame_is_next = frames.peek().is_ok_and(|(frame, _)| frame.seq <= last_seq);
        if frame_is_next {
            if let Ok((frame, started)) = frames.pop() {
                trade.on_frame(&frame, started);
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
