//! What every page is made of: its frame, notices, a row of figures, tables. All text is escaped here.

use super::axis::minus;
use crate::format::count;

/// Rows of a table; what comes after is counted.
const ROWS_MAX: usize = 200;

/// A page of this title, up to where its content begins.
pub fn begin_page(title: &str) -> String {
    let mut page = String::with_capacity(1 << 20);
    page.push_str(&format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>{}</title>\n<style>\n{}</style></head>\n<body><main>\n",
        escape(title),
        include_str!("page.css"),
    ));
    page.push_str(include_str!("marks.svg"));
    page
}

/// What stands behind a page's content.
pub fn end_page(page: &mut String) {
    page.push_str(&format!("</main>\n<script>\n{}</script>\n</body></html>\n", include_str!("page.js")));
}

/// Writes what a reader has to know first; nothing where there is nothing.
pub fn push_notices(page: &mut String, notices: &[String]) {
    if notices.is_empty() {
        return;
    }
    page.push_str("<ul class=\"notices\">\n");
    for notice in notices.iter().take(ROWS_MAX) {
        page.push_str(&format!("<li>{}</li>\n", escape(notice)));
    }
    if notices.len() > ROWS_MAX {
        page.push_str(&format!("<li>and {} more</li>\n", count((notices.len() - ROWS_MAX) as u64)));
    }
    page.push_str("</ul>\n");
}

/// Writes figures with their names and a note each.
pub fn push_figure_row<const N: usize>(page: &mut String, figures: [(&str, String, String); N]) {
    page.push_str("<dl class=\"figures\">\n");
    for (name, value, note) in figures {
        let (value, note) = (escape(&minus(value)), escape(&minus(note)));
        page.push_str(&format!("<div><dt>{}</dt><dd>{value}</dd><dd class=\"note\">{note}</dd></div>\n", escape(name)));
    }
    page.push_str("</dl>\n");
}

/// Writes a table; with no `head`, of names and values. Columns of figures stand to the right.
pub fn push_table(page: &mut String, title: &str, head: &[&str], rows: Vec<Vec<String>>) {
    page.push_str("<div class=\"table\">");
    if !title.is_empty() {
        page.push_str(&format!("<h3>{}</h3>", escape(title)));
    }
    if rows.is_empty() {
        page.push_str("<p class=\"empty\">none</p></div>\n");
        return;
    }
    let columns = rows.first().map_or(0, Vec::len);
    let class = |place: usize| {
        let figures = rows.iter().all(|row| row.get(place).is_some_and(|cell| is_figure(cell)));
        if figures { " class=\"figure\"" } else { "" }
    };
    let classes: Vec<&str> = (0..columns).map(class).collect();
    page.push_str("<table>");
    if !head.is_empty() {
        page.push_str("<thead><tr>");
        for (name, class) in head.iter().zip(&classes) {
            page.push_str(&format!("<th scope=\"col\"{class}>{}</th>", escape(name)));
        }
        page.push_str("</tr></thead>");
    }
    page.push_str("<tbody>\n");
    for row in rows.iter().take(ROWS_MAX) {
        page.push_str("<tr>");
        for (place, (cell, class)) in row.iter().zip(&classes).enumerate() {
            let (open, close) = if place == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
            page.push_str(&format!("<{open}{class}>{}</{close}>", escape(cell)));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>");
    if rows.len() > ROWS_MAX {
        page.push_str(&format!("<p class=\"note\">and {} more</p>", count((rows.len() - ROWS_MAX) as u64)));
    }
    page.push_str("</div>\n");
}

/// Whether a cell is a number with or without a unit (and no hash that begins with a digit).
fn is_figure(cell: &str) -> bool {
    cell == "n/a" || (cell.starts_with(|first: char| first.is_ascii_digit() || first == '\u{2212}') && cell.chars().count() <= 24)
}

/// The first few of a list, and how many more there are.
pub fn some_of<'a>(items: impl Iterator<Item = &'a str>, shown_max: usize) -> String {
    let items: Vec<&str> = items.collect();
    let shown = items.iter().take(shown_max).copied().collect::<Vec<_>>().join(", ");
    if items.len() > shown_max { format!("{shown} and {} more", items.len() - shown_max) } else { shown }
}

/// Text as it may stand between tags and in quoted attributes. Control characters, which HTML does not allow, become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            control if control.is_control() && !control.is_whitespace() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
