//! A simulated exchange: matching engine, agents, capture generator and the venue that fills our orders in a replay.

mod simulated_venue;

pub use simulated_venue::{SimulatedVenue, SimulatedVenueConfig, VenueConfigError};
