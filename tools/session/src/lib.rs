//! A session from files to a report.
//!
//! [`config`] reads and checks the configuration, [`model`] the model directory, [`capture`] opens the files and puts them in order,
//! [`assembly`] makes the hot and the cold path, [`replay()`] runs them, and the [`report::Report`] says what happened, as JSON or, with
//! the [`series`], as a page of [`html`]. [`journal`] says what a journal begins with and which replay may follow it. [`mod@inspect`] tells what captures hold without running anything.

pub mod assembly;
pub mod capture;
pub mod config;
pub mod features;
pub mod format;
pub mod html;
pub mod inspect;
pub mod journal;
pub mod model;
mod replay;
pub mod report;
pub mod series;

pub use replay::{Progress, ReplayOptions, Replayed, SessionError, replay};
