//! A session from files to a report: configuration, model directory, capture sources, replay and its report.
