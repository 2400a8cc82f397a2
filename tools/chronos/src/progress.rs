//! A progress bar on a terminal, nothing elsewhere.

use chronos_session::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `total` units; it draws to standard error, and only where that is a terminal.
pub(crate) fn bar(total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Does `work` under a bar of the bytes of captures that were read; `unit` is what is counted in them.
pub(crate) fn with_capture_bar<T>(unit: &str, work: impl FnOnce(&mut dyn FnMut(Progress)) -> T) -> T {
    let bar = bar(0, "{bar:40} {bytes}/{total_bytes}  {msg}  {eta} left");
    let done = work(&mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_read);
        bar.set_message(format!("{} {unit}", progress.lines));
    });
    bar.finish_and_clear();
    done
}
