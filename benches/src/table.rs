//! The table of latencies, and what a figure is worthless without.

use hdrhistogram::Histogram;
use std::fs;

/// The heading over rows of [`row`].
pub fn heading(title: &str) -> String {
    format!("{title:<44} {:>9} {:>10} {:>10} {:>10} {:>10}", "count", "p50", "p99", "p99.9", "max")
}

/// Count and percentiles of a histogram of nanoseconds, in microseconds.
pub fn row(name: &str, histogram: &Histogram<u64>) -> String {
    let us = |nanos: u64| format!("{:.2}", nanos as f64 / 1e3);
    let at = |quantile: f64| us(histogram.value_at_quantile(quantile));
    if histogram.is_empty() {
        return format!("  {name:<42} {:>9}", 0);
    }
    format!("  {name:<42} {:>9} {:>10} {:>10} {:>10} {:>10}", histogram.len(), at(0.5), at(0.99), at(0.999), us(histogram.max()))
}

/// Processor, cores, load, profile and command of this run.
pub fn circumstances() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        line.split(':').nth(1).map(|name| name.trim().to_owned())
    });
    let load = fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next().map(str::to_owned));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "processor: {}; cores: {cores}; load before: {}\nprofile: {}; command: {}",
        processor.as_deref().unwrap_or("not told by this system"),
        load.as_deref().unwrap_or("not told by this system"),
        if cfg!(debug_assertions) {
            "with debug assertions: these figures mean nothing"
        } else {
            "optimised (bench inherits release)"
        },
        std::env::args().skip(1).fold("cargo bench -p chronos-benches".to_owned(), |line, word| line + " " + &word),
    )
}
