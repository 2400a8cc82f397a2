//! A session from files to a report.
//!
//! [`config`] reads and checks the configuration, [`model`] and [`meta`] the model directories, [`capture`] opens the files and puts them in order,
//! [`assembly`] makes the hot and the cold path, [`replay()`] runs them (over sockets with [`wire`]), and the [`report::Report`]
//! says what happened, as JSON or, with the [`series`], as a page of [`html`]. [`controls`] are what somebody does to it by hand. [`journal`] says what a journal begins with and which
//! replay may follow it, [`order`] replays up to one order, to explain it; [`mod@bfloat16`] measures what rounding a model's weights does. [`mod@inspect`] tells what captures hold without running
//! anything, and the [`doctor`] looks at the host.

pub mod assembly;
pub mod bfloat16;
pub mod capture;
pub mod config;
pub mod controls;
pub mod doctor;
mod evidence;
pub mod export;
pub mod features;
pub mod format;
pub mod html;
pub mod inspect;
pub mod journal;
pub mod meta;
pub mod model;
pub mod order;
mod replay;
pub mod report;
pub mod series;
mod warm_up;
pub mod wire;

pub use replay::{Progress, ReplayOptions, Replayed, Resync, SessionError, replay};
