//! Tables for a terminal.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table};

/// Columns of a terminal that does not tell how many it has.
const WIDTH_DEFAULT: u16 = 80;
/// Narrower than this, tables are no tables any more.
const WIDTH_MIN: u16 = 48;

/// Columns of the terminal, as the environment's `COLUMNS` says, or 80.
pub(crate) fn terminal_width() -> u16 {
    std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(WIDTH_DEFAULT)
}

/// A table with some columns to the right; nothing without rows.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>, right: &[usize]) -> Option<Table> {
    let mut table = Table::new();
    table.set_header(head).add_rows(rows);
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    (!table.is_empty()).then_some(table)
}

/// The table as lines of at most `width` columns: a rule under the header and nothing else drawn.
pub(crate) fn lines(mut table: Table, width: u16) -> String {
    table.load_style(NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(WIDTH_MIN));
    table.trim_fmt() + "\n"
}

/// A table for the terminal there is; nothing without rows.
pub(crate) fn listing<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>, right: &[usize]) -> String {
    table(head, rows, right).map(|table| printable(&lines(table, terminal_width()))).unwrap_or_default()
}

/// Text without what would speak to the terminal: names come from files.
pub(crate) fn printable(text: &str) -> String {
    text.replace(|character: char| character.is_control() && character != '\n', "\u{fffd}")
}
