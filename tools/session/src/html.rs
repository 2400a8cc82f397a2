//! stub
use chronos_pipeline::latency::Latencies;
/// Stub.
#[derive(Clone, Debug)]
pub struct LatencyCurve {
    /// s
    pub stage: &'static str,
    /// p
    pub points: Vec<(f64, u64)>,
}
/// Stub.
pub fn latency_curves(_: &Latencies) -> Vec<LatencyCurve> {
    Vec::new()
}
/// Stub.
pub fn render(_: &crate::report::Report, _: &crate::series::Series, _: &[LatencyCurve]) -> String {
    String::new()
}
