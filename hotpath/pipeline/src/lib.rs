//! From a feature frame to an order: inference, decision, risk, journal and gateway, and the two drivers that run them.
//!
//! Start at [`topology`]: it holds the two groups and shows what crosses between them. [`decision`] has the strategy seam and the
//! strategy that ships, [`risk`] the pre-trade checks, [`account`] positions and money, [`journal`] what is written before anything is sent,
//! [`ingress`] sockets that market data comes by, [`gateway`] orders as bytes and the socket they leave by, [`latency`] and [`stopwatch`] the telemetry.

pub mod account;
pub mod decision;
pub mod gateway;
pub mod ingress;
pub mod journal;
pub mod latency;
pub mod predictor;
pub mod risk;
pub mod stopwatch;
pub mod topology;
