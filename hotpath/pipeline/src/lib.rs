//! From a feature frame to an order: inference, decision, risk, journal, gateway, and the two drivers.
