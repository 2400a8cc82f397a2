//! Work that takes long, run several times: median, p99 and maximum, beside the hash of what it ran on and Python on the same.

use sha2::{Digest, Sha256};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Runs work so many times, after once that does not count, and prints seconds. Of fewer than 100 runs the p99 is the slowest.
pub fn measure<T>(name: &str, runs: usize, mut work: impl FnMut() -> T) {
    black_box(work());
    let seconds: Vec<f64> = (0..runs.max(1))
        .map(|_| {
            let started = Instant::now();
            black_box(work());
            started.elapsed().as_secs_f64()
        })
        .collect();
    print_seconds(name, seconds);
}

/// Prints what runs of work took, at least one. Of fewer than 100 the p99 is the slowest.
pub fn print_seconds(name: &str, mut seconds: Vec<f64>) {
    seconds.sort_unstable_by(f64::total_cmp);
    let at = |quantile: f64| seconds[((seconds.len() as f64 * quantile).ceil() as usize).clamp(1, seconds.len()) - 1];
    println!("  {name:<62} {:>4} runs  median {:>10.6}  p99 {:>10.6}  max {:>10.6} s", seconds.len(), at(0.5), at(0.99), at(1.0));
}

/// Times passes over the same `count` things, each on what `set_up` makes anew, and prints what one of them costs, in nanoseconds: the
/// distribution over the passes. Of fewer than 1,000 passes the p99.9 is the slowest. What is timed runs within [`measured`].
pub fn each<S>(name: &str, count: usize, passes: usize, mut set_up: impl FnMut() -> S, mut pass: impl FnMut(&mut S)) {
    let mut costs_ns: Vec<f64> = (0..passes.max(1))
        .map(|_| {
            let mut state = set_up();
            let started = Instant::now();
            measured(|| pass(&mut state));
            started.elapsed().as_nanos() as f64 / count.max(1) as f64
        })
        .collect();
    costs_ns.sort_unstable_by(f64::total_cmp);
    let at = |quantile: f64| costs_ns[((costs_ns.len() as f64 * quantile).ceil() as usize).clamp(1, costs_ns.len()) - 1];
    println!(
        "  {name:<42} {count:>9} x {:<5} best {:>8.2}  p50 {:>8.2}  p99 {:>8.2}  p99.9 {:>8.2}  max {:>8.2} ns",
        costs_ns.len(),
        at(0.0),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// What instructions are counted of, by `valgrind --tool=callgrind --toggle-collect='*measured*'`.
#[inline(never)]
pub fn measured<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// What a bench was told on the command line.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Arguments {
    /// Names of the stages to run; all where there is none.
    pub stages: Vec<String>,
    /// `--passes N`.
    pub passes: Option<usize>,
    /// `--capture PATH`.
    pub capture: Option<String>,
}

impl Arguments {
    /// Those of this process; what Cargo adds, `--bench`, says nothing.
    pub fn of_process() -> Arguments {
        let (mut arguments, mut words) = (Arguments::default(), std::env::args().skip(1));
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--passes" => arguments.passes = words.next().and_then(|passes| passes.parse().ok()),
                "--capture" => arguments.capture = words.next(),
                _ => arguments.stages.push(word),
            }
        }
        arguments
    }

    /// Whether a stage is to be run.
    pub fn takes(&self, stage: &str) -> bool {
        self.stages.is_empty() || self.stages.iter().any(|name| name == stage)
    }
}

/// SHA-256 of an input, of its parts in their order.
pub fn input_sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    parts.into_iter().for_each(|part| hasher.update(part));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Floats as a file holds them.
pub fn float_bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Whole numbers as a file holds them.
pub fn integer_bytes(values: impl IntoIterator<Item = i64>) -> Vec<u8> {
    values.into_iter().flat_map(i64::to_le_bytes).collect()
}

/// Runs a script of `reference/` in the Python that `CHRONOS_PYTHON` names (default `python3`) and prints what it says, each line
/// as it came; says so where it does not run, so that no figure is taken for one beside Python.
pub fn reference(script: &str, arguments: &[String]) {
    let python = std::env::var("CHRONOS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference").join(script);
    match Command::new(&python).arg("-B").arg(path).args(arguments).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().for_each(|line| println!("  {line}"));
        }
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            println!("  reference skipped: {python}: {}", errors.lines().last().unwrap_or("it failed"));
        }
        Err(error) => println!("  reference skipped: {python}: {error}"),
    }
}
