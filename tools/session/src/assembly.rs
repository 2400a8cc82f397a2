//! The parts of a session, made from its configuration: what a replay runs and a bench measures.

use crate::config::Config;
use crate::journal::{Beginning, FollowError, SessionInput};
use crate::meta::MetaDirectory;
use crate::model::ChosenModel;
use crate::replay::SessionError;
use crate::series::Series;
use chronos_coldpath::{ColdConfig, ColdHandle, ColdPath, RECORDS_CAPACITY, RecordConfig, RegimeConfig, cold_links};
use chronos_exchange::SimulatedVenue;
use chronos_market::{Instrument, MarketEvent, OrderCommand, OrderId, ReportBuffer, SubmitError, Timestamp, Venue};
use chronos_pipeline::decision::{MetaFilter, ThresholdConfig, ThresholdStrategy};
use chronos_pipeline::gateway::WiredVenue;
use chronos_pipeline::journal::{Journal, JournalConfig, JournalFollower, JournaledVenue, Recovery, WhenLate};
use chronos_pipeline::predictor::Predictor;
use chronos_pipeline::topology::{BackPressure, ColdLink, Fused, Ingest, IngestConfig, Source, Trade, TradeConfig, Waiting};
use std::path::Path;
use std::time::Duration;

/// Number of a replay's session, part of every order id.
const SESSION: u32 = 1;

/// The strategy of a replay.
pub type ReplayStrategy = MetaFilter<ThresholdStrategy>;
/// The trade group of a replay.
pub type ReplayTrade = Trade<ReplayStrategy, WiredVenue<ReplayVenue>, Series>;
/// Both groups of a replay on one thread.
pub type ReplayFused = Fused<ReplayStrategy, WiredVenue<ReplayVenue>, Series>;

/// Where the orders of a replay go.
pub enum ReplayVenue {
    /// To a venue that fills them against the replayed market.
    Simulated(Box<SimulatedVenue>),
    /// Nowhere: their reports are those of the journal that is followed.
    Journaled(Box<JournaledVenue>),
}

/// What an assembly is asked for beside its configuration.
#[derive(Clone, Copy, Default, Debug)]
pub struct AssemblyOptions<'a> {
    /// Judge what the strategy opens by this model.
    pub meta: Option<&'a MetaDirectory>,
    /// Keep what this order was decided on, for [`MetaFilter::watched`].
    pub watch: Option<OrderId>,
    /// Compare books with every quote at an equal update id.
    pub verify: bool,
    /// Record to this folder.
    pub record: Option<&'a Path>,
    /// For tests: makes the cold path dawdle at random, from this seed.
    pub cold_delay: Option<u64>,
    /// What a full ring does.
    pub back_pressure: BackPressure,
    /// The journal to follow, and its path.
    pub follow: Option<(&'a Recovery, &'a Path)>,
    /// What the session is fed with, for a journal that is written or followed.
    pub input: SessionInput<'a>,
}

/// Both groups of the hot path, and the cold path running.
pub struct Assembly {
    /// The first group.
    pub ingest: Ingest,
    /// The second group.
    pub trade: ReplayTrade,
    /// The cold path; it ends when `trade` and `quarantine` are dropped.
    pub cold: ColdHandle,
    /// Where malformed messages go.
    pub quarantine: rtrb::Producer<u8>,
    /// The name of the inference engine; `none` without a model.
    pub engine: String,
}

/// Makes the groups for `instruments`, fed by `sources`, and starts the cold path.
///
/// # Errors
/// [`SessionError`], with the place and the remedy.
pub fn assemble(
    config: &Config,
    model: &ChosenModel,
    instruments: &[Instrument],
    sources: Vec<Source>,
    waiting: Waiting,
    options: &AssemblyOptions<'_>,
) -> Result<Assembly, SessionError> {
    let (predictors, engine) = predictors(model, config, instruments.len())?;
    let tick = model.directory().map_or(config.tick(), |model| model.tick());
    let threshold = match model.directory() {
        Some(model) => ThresholdConfig {
            entry: model.manifest.outputs.entry_threshold,
            exit: model.manifest.outputs.exit_threshold,
            ..config.threshold()
        },
        None => config.threshold(),
    };
    let record = options.record.map(|folder| RecordConfig {
        folder: folder.to_owned(),
        rows_per_segment: config.record.rows_per_segment,
        instruments: instruments.iter().map(|known| format!("{} {}", known.exchange, known.symbol)).collect(),
    });
    let regime = RegimeConfig { window_ns: config.windows().window_ns, ..RegimeConfig::default() };
    let (ends, links) = cold_links(RECORDS_CAPACITY);
    let cold = ColdPath::start(ColdConfig { regime, record, quarantine: None, delay: options.cold_delay }, links)?;
    let mut journal = None;
    let mut follower = None;
    let mut venue = ReplayVenue::Simulated(Box::new(SimulatedVenue::new(config.venue(), instruments)?));
    if options.record.is_some() || options.follow.is_some() {
        let beginning = Beginning::of(SESSION, config, model, options.meta, &engine, instruments, &options.input)?;
        let (mut session, mut segment_bytes) = (beginning.session_id(), config.journal.segment_mib << 20);
        if let Some((recovery, path)) = options.follow {
            let then = Beginning::read(recovery)?.ok_or_else(|| FollowError::NoBeginning { path: path.to_owned() })?;
            beginning.check(&then, path)?;
            // Written anew it is the same to the byte.
            (session, segment_bytes) = (recovery.session, recovery.segment_bytes);
            venue = ReplayVenue::Journaled(Box::new(JournaledVenue::new(recovery)));
            follower = Some(JournalFollower::new(recovery)?);
        }
        if let Some(folder) = options.record {
            let (folder, when_late) = (folder.join("journal"), WhenLate::Wait);
            let sync_interval = Duration::from_secs_f64(config.journal.sync_interval_ms * 1e-3);
            let mut made = Journal::create(&JournalConfig { folder, session, segment_bytes, sync_interval, when_late })?;
            beginning.write(&mut made)?;
            journal = Some(made);
        }
    }
    let mut trade = Trade::new(
        instruments,
        TradeConfig {
            session: SESSION,
            limits: config.limits(instruments),
            windows: config.windows(),
            is_recording: options.record.is_some(),
            back_pressure: options.back_pressure,
        },
        MetaFilter::new(ThresholdStrategy::new(threshold), options.meta.map(|meta| meta.model.clone())).watching(options.watch),
        WiredVenue::new(venue),
        predictors,
        journal,
        ColdLink { records: ends.records, blocks: ends.blocks, retired: ends.retired, waiting },
        Series::new(instruments),
    );
    if let Some(follower) = follower {
        trade.follow(follower);
    }
    let ingest_config = IngestConfig {
        tick,
        features: config.features(),
        verify: options.verify,
        cold_start: config.cold_start(),
        levels: config.levels(),
    };
    let ingest = Ingest::new(instruments, sources, &ingest_config);
    Ok(Assembly { ingest, trade, cold, quarantine: ends.quarantine, engine })
}

/// One predictor for each instrument, and the name of the engine.
fn predictors(model: &ChosenModel, config: &Config, instruments: usize) -> Result<(Vec<Predictor>, String), SessionError> {
    let mut predictors = Vec::new();
    let mut engine = "none".to_owned();
    if let Some(model) = model.directory() {
        for _ in 0..instruments {
            let (predictor, name) = model.predictor(config.engine()?)?;
            predictors.push(predictor);
            engine = name;
        }
    }
    Ok((predictors, engine))
}

impl Venue for ReplayVenue {
    #[inline]
    fn submit(&mut self, now: Timestamp, command: &OrderCommand) -> Result<(), SubmitError> {
        match self {
            ReplayVenue::Simulated(venue) => venue.submit(now, command),
            ReplayVenue::Journaled(venue) => venue.submit(now, command),
        }
    }

    #[inline]
    fn on_market(&mut self, event: &MarketEvent) {
        match self {
            ReplayVenue::Simulated(venue) => venue.on_market(event),
            ReplayVenue::Journaled(venue) => venue.on_market(event),
        }
    }

    #[inline]
    fn next_due(&self) -> Option<Timestamp> {
        match self {
            ReplayVenue::Simulated(venue) => venue.next_due(),
            ReplayVenue::Journaled(venue) => venue.next_due(),
        }
    }

    #[inline]
    fn poll(&mut self, until: Timestamp, out: &mut ReportBuffer) {
        match self {
            ReplayVenue::Simulated(venue) => venue.poll(until, out),
            ReplayVenue::Journaled(venue) => venue.poll(until, out),
        }
    }
}
