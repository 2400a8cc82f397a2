//! What research finds as one HTML file that opens anywhere: bars, samples, validations and the gate's verdict,
//! why a meta model says what it says, and what a model of ticks is worth.
//!
//! Pages are made of the same parts as those of a replay ([`chronos_session::html`]): plots in SVG, light and dark, nothing from
//! outside. A page stays under 5 MB whatever there is to draw: a series has a column for each thousandth of its time, with the band
//! of what lies between, marks that would stand on one another are one, and a note under the plot says so.

mod bars;
mod drawing;
mod explanation;
mod reliability;
mod samples;
mod scores;
mod trials;
mod validation;

pub use bars::{BarsPage, bars_page};
pub use explanation::{ExplanationPage, explanation_page};
pub use samples::{SamplesPage, samples_page};
pub use scores::evaluation_page;
pub use validation::{ValidationPage, validation_page};
