//! Both groups on the calling thread, each message to completion: the default.

use super::{ByHand, Crossing, Ingest, IngestError, Observer, Overrun, Trade, TradeError};
use crate::decision::Strategy;
use crate::stopwatch::Started;
use chronos_market::{Frame, InstrumentId, MarketEvent, Timestamp, Venue};

/// The fused driver.
pub struct Fused<S, V, O> {
    ingest: Ingest,
    trade: Trade<S, V, O>,
}

impl<S: Strategy, V: Venue, O: Observer> Fused<S, V, O> {
    /// A driver for two groups.
    pub fn new(ingest: Ingest, trade: Trade<S, V, O>) -> Fused<S, V, O> {
        Fused { ingest, trade }
    }

    /// See [`Ingest::set_symbol`].
    pub fn set_symbol(&mut self, source: usize, symbol: &str) {
        self.ingest.set_symbol(source, symbol);
    }

    /// See [`Ingest::resync`].
    pub fn resync(&mut self, instrument: InstrumentId) {
        self.ingest.resync(instrument, &mut Inline { trade: &mut self.trade });
    }

    /// Takes one message, received at `recv` from `source`.
    ///
    /// # Errors
    /// [`IngestError`] where the message has no effect; the next one is not affected.
    #[inline]
    pub fn on_message(&mut self, source: usize, recv: Timestamp, raw: &[u8]) -> Result<(), IngestError> {
        self.advance(recv);
        let result = self.take(source, raw);
        self.flush();
        result
    }

    /// First step of [`Fused::on_message`]: moves logical time to `recv`. What the simulated world did since the last message is
    /// not part of this message's latency.
    #[inline]
    pub fn advance(&mut self, recv: Timestamp) {
        let mut inline = Inline { trade: &mut self.trade };
        let now = self.ingest.advance(recv, &mut inline);
        inline.trade.advance(now);
    }

    /// Second step: the message and all it causes on the way to an order, which is its tick-to-trade.
    ///
    /// # Errors
    /// [`IngestError`] where the message has no effect; the next one is not affected.
    #[inline]
    pub fn take(&mut self, source: usize, raw: &[u8]) -> Result<(), IngestError> {
        self.ingest.on_message(source, raw, &mut Inline { trade: &mut self.trade })
    }

    /// Messages of `source` were lost on the way here for want of room, noticed at `recv`: see [`Ingest::on_overrun`].
    ///
    /// # Errors
    /// [`IngestError::UnknownSource`].
    #[cold]
    pub fn on_overrun(&mut self, source: usize, recv: Timestamp) -> Result<(), IngestError> {
        self.advance(recv);
        let result = self.ingest.on_overrun(source, &mut Inline { trade: &mut self.trade });
        self.flush();
        result
    }

    /// Does what somebody wants done at `now`, between two messages, none of which may follow with an earlier time.
    #[cold]
    pub fn by_hand(&mut self, now: Timestamp, what: &ByHand) {
        self.advance(now);
        self.trade.by_hand(what);
    }

    /// Third step: what may wait until the decision is made, see [`Trade::flush`].
    #[inline]
    pub fn flush(&mut self) {
        self.trade.flush();
    }

    /// To be called while there is nothing to take, see [`Ingest::idle`] and [`Trade::idle`].
    #[inline]
    pub fn idle(&mut self) {
        self.ingest.idle();
        self.trade.idle();
    }

    /// To be called before the first message: see [`Trade::warm_up`].
    pub fn warm_up(&mut self) {
        self.trade.warm_up();
    }

    /// The first group.
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// The second group.
    pub fn trade(&self) -> &Trade<S, V, O> {
        &self.trade
    }

    /// The venue.
    #[inline]
    pub fn venue_mut(&mut self) -> &mut V {
        self.trade.venue_mut()
    }

    /// What stopped the session, if anything did.
    #[inline]
    pub fn error(&self) -> Option<TradeError> {
        self.trade.error()
    }

    /// Ends the session and gives the groups back.
    pub fn finish(mut self) -> (Ingest, Trade<S, V, O>) {
        self.ingest.finish(&mut Inline { trade: &mut self.trade });
        self.trade.finish(self.ingest.now());
        (self.ingest, self.trade)
    }
}

struct Inline<'a, S, V, O> {
    trade: &'a mut Trade<S, V, O>,
}

impl<S: Strategy, V: Venue, O: Observer> Crossing for Inline<'_, S, V, O> {
    #[inline]
    fn event(&mut self, event: &MarketEvent) {
        self.trade.on_event(event);
    }

    #[inline]
    fn frame(&mut self, frame: &Frame, started: Started) {
        self.trade.on_frame(frame, started);
    }

    #[cold]
    fn overrun(&mut self, overrun: &Overrun) {
        self.trade.on_overrun(overrun);
    }
}
