//! The parts of a session, made from its configuration: what a replay runs and a bench measures.

use crate::config::Config;
use crate::meta::MetaDirectory;
use crate::model::ChosenModel;
use crate::replay::SessionError;
use crate::series::Series;
use chronos_coldpath::{ColdConfig, ColdHandle, ColdPath, RECORDS_CAPACITY, RecordConfig, RegimeConfig, cold_links};
use chronos_exchange::SimulatedVenue;
use chronos_market::{Instrument, OrderId};
use chronos_pipeline::decision::{MetaFilter, ThresholdConfig, ThresholdStrategy};
use chronos_pipeline::gateway::WiredVenue;
use chronos_pipeline::journal::MappedJournal;
use chronos_pipeline::predictor::Predictor;
use chronos_pipeline::topology::{BackPressure, ColdLink, Fused, Ingest, IngestConfig, Source, Trade, TradeConfig, Waiting};
use std::path::Path;

/// The strategy of a replay.
pub type ReplayStrategy = MetaFilter<ThresholdStrategy>;
/// The trade group of a replay.
pub type ReplayTrade = Trade<ReplayStrategy, WiredVenue<SimulatedVenue>, Series>;
/// Both groups of a replay on one thread.
pub type ReplayFused = Fused<ReplayStrategy, WiredVenue<SimulatedVenue>, Series>;

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
    let journal = match options.record {
        Some(folder) => Some(MappedJournal::create(&folder.join("journal.bin"), config.journal.segment_mib << 20)?),
        None => None,
    };
    let trade = Trade::new(
        instruments,
        TradeConfig {
            session: 1,
            limits: config.limits(instruments),
            windows: config.windows(),
            is_recording: options.record.is_some(),
            back_pressure: options.back_pressure,
        },
        MetaFilter::new(ThresholdStrategy::new(threshold), options.meta.map(|meta| meta.model.clone())).watching(options.watch),
        WiredVenue::new(SimulatedVenue::new(config.venue(), instruments)?),
        predictors,
        journal,
        ColdLink { records: ends.records, blocks: ends.blocks, retired: ends.retired, waiting },
        Series::new(instruments),
    );
    let ingest_config = IngestConfig { tick, features: config.features(), verify: options.verify, cold_start: config.cold_start() };
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
