//! stub
use chronos_session::report::Report;
pub(crate) fn render(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}
