//! A simulated exchange: matching engine, agents, capture generator and the venue that fills our orders in a replay.

mod agents;
mod capture;
mod matching_engine;
mod simulated_venue;

pub use capture::{GeneratedSummary, GeneratorConfig, generate, generate_file};
pub use matching_engine::{EngineEvent, EngineRefusal, EngineRequest, MatchingEngine, OrderType};
pub use simulated_venue::{SimulatedVenue, SimulatedVenueConfig, VenueConfigError};
