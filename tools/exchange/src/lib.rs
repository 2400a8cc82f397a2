//! A simulated exchange: matching engine, agents, capture generator and the venue that fills our orders in a replay.

mod matching_engine;
mod simulated_venue;

pub use matching_engine::{EngineEvent, EngineRefusal, EngineRequest, MatchingEngine, OrderType};
pub use simulated_venue::{SimulatedVenue, SimulatedVenueConfig, VenueConfigError};
