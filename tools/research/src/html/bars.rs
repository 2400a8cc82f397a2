//! Bars as a page: price, volume and how long each bar took, and the returns from close to close.

use super::drawing::{Line, Panel, Shown, push_drawn_note, push_histogram, push_panels};
use crate::bars::{CaptureBars, Ohlcv};
use chronos_session::format::{clock_utc, count, date_utc, decimal, span_ns};
use chronos_session::html::axis::{Range, TimeRange};
use chronos_session::html::page::{begin_page, end_page, escape, push_figure_row, push_notices, push_table};

/// Instruments drawn; the others stand in the table.
const DRAWN: usize = 8;

/// What [`bars_page`] shows.
#[derive(Clone, Copy, Debug)]
pub struct BarsPage<'a> {
    /// The rule, as it was asked for.
    pub rule: &'a str,
    /// Bars by instrument.
    pub made: &'a [CaptureBars],
    /// What a reader should know first.
    pub notices: &'a [String],
}

/// The page.
pub fn bars_page(of: &BarsPage<'_>) -> String {
    let mut page = begin_page(&format!("Bars {}", of.rule));
    page.push_str(&format!("<header><p class=\"kind\">Chronos bars</p><h1>{}</h1></header>\n", escape(of.rule)));
    push_notices(&mut page, of.notices);
    let bars: usize = of.made.iter().map(|one| one.bars.len()).sum();
    let inputs: u64 = of.made.iter().map(|one| one.trades).sum();
    let a_bar = if bars > 0 { decimal(inputs as f64 / bars as f64, 1) } else { "n/a".into() };
    let figures = [
        ("Instruments", count(of.made.len() as u64), "of the input".into()),
        ("Bars", count(bars as u64), "closed by the rule".into()),
        ("Trades or finer bars", count(inputs), format!("{a_bar} a bar")),
    ];
    push_figure_row(&mut page, figures);
    for one in of.made.iter().take(DRAWN) {
        push_instrument(&mut page, one);
    }
    if of.made.len() > DRAWN {
        page.push_str(&format!(
            "<p class=\"note\">Of {} instruments the first {DRAWN} are drawn; `--symbols` chooses.</p>\n",
            count(of.made.len() as u64)
        ));
    }
    page.push_str("<section>\n");
    let clock = |at: Option<i64>| at.map_or("n/a".into(), |at| format!("{} {}", date_utc(at), clock_utc(at, 0)));
    let row = |one: &CaptureBars| {
        let (first, last) = (one.bars.first().map(|bar| bar.start_ns), one.bars.last().map(|bar| bar.end_ns));
        vec![one.instrument.clone(), count(one.bars.len() as u64), count(one.trades), clock(first), clock(last)]
    };
    let head = ["Instrument", "Bars", "Trades or finer bars", "From, UTC", "To, UTC"];
    push_table(&mut page, "Instruments", &head, of.made.iter().map(row).collect());
    page.push_str("</section>\n");
    end_page(&mut page);
    page
}

fn push_instrument(page: &mut String, one: &CaptureBars) {
    page.push_str(&format!("<section><h2>{}</h2>\n", escape(&one.instrument)));
    let instants = one.bars.iter().flat_map(|bar| [bar.start_ns, bar.end_ns]);
    let Some(time) = TimeRange::around(instants) else {
        page.push_str("<p class=\"empty\">No bar was closed.</p></section>\n");
        return;
    };
    page.push_str(&format!(
        "<p class=\"facts\">{} bars of {} trades or finer bars <span class=\"dot\">·</span> {}</p>\n",
        count(one.bars.len() as u64),
        count(one.trades),
        span_ns(time.length_ns())
    ));
    let line = |name: &str, of: fn(&Ohlcv) -> [f64; 3], shown: Shown| {
        Line::new(name, "line", time, one.bars.iter().map(|bar| (bar.end_ns, of(bar))), shown)
    };
    let price = line("close", |bar| [bar.low, bar.high, bar.close], Shown::Last);
    let volume = line("volume", |bar| [bar.volume; 3], Shown::Mean);
    let length = line("length", |bar| [bar.end_ns.saturating_sub(bar.start_ns) as f64 / 1e9; 3], Shown::Mean);
    let bought = line("bought", |bar| [bar.flow.map_or(f64::NAN, |flow| 100.0 * flow.buy_volume / bar.volume); 3], Shown::Mean);
    let panels: [(&str, &str, &str, Line, usize); 4] = [
        ("Price", "close, quote currency; the band is low to high", "price", price, 4),
        ("Volume", "of a bar, in the units of the source", "low", volume, 3),
        ("Length", "of a bar, seconds", "low", length, 3),
        ("Bought", "per cent of volume whose aggressor bought", "low", bought, 1),
    ];
    let panels: Vec<Panel> = panels
        .into_iter()
        .filter_map(|(title, unit, class, line, decimals)| {
            let range = Range::around(line.extent())?;
            let (unit, legend, marks) = (unit.to_owned(), String::new(), String::new());
            Some(Panel { title, unit, class, legend, lines: vec![line], range, marks, decimals })
        })
        .collect();
    push_panels(page, &one.instrument, time, &panels);
    push_drawn_note(page, "bars", one.bars.len());
    let returns: Vec<f64> = one.bars.windows(2).map(|pair| 1e4 * (pair[1].close / pair[0].close).ln()).collect();
    push_histogram(page, "Returns", "Log return from close to close, basis points", &returns, true, &[]);
    page.push_str("</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars::Flow;
    use chronos_session::html::plot::GRID;
    use chronos_tests::page::check_page;

    fn made(instrument: &str, bars: usize) -> CaptureBars {
        let mut random = fastrand::Rng::with_seed(1);
        let mut close: f64 = 60_000.0;
        let mut bar = |place: usize| {
            let open = close;
            close *= 1.0 + 0.001 * (random.f64() - 0.5);
            let start_ns = 1_700_000_000_000_000_000 + place as i64 * 60_000_000_000;
            let flow = Some(Flow { trades: 3, buy_volume: random.f64() });
            let (high, low) = (open.max(close) * 1.0001, open.min(close) * 0.9999);
            Ohlcv { start_ns, end_ns: start_ns + 60_000_000_000, open, high, low, close, volume: 1.0, notional: close, flow }
        };
        CaptureBars { instrument: instrument.to_owned(), bars: (0..bars).map(&mut bar).collect(), trades: 3 * bars as u64 }
    }

    fn page(made: &[CaptureBars]) -> String {
        bars_page(&BarsPage { rule: "time:60s", made, notices: &["<b>7 rows</b>".into()] })
    }

    #[test]
    fn a_million_bars_make_a_small_page_with_its_plots() {
        let million = [made("BTCUSDT", 1_000_000)];
        let page = page(&million);
        check_page(&page, GRID);
        for title in ["Price", "Volume", "Length", "Bought", "Returns"] {
            assert!(page.contains(&format!("<b>{title}</b>")), "{title}");
        }
        assert!(page.contains("1,000,000 bars are drawn in 1000 columns"));
        assert_eq!(page, super::bars_page(&BarsPage { rule: "time:60s", made: &million, notices: &["<b>7 rows</b>".into()] }));
    }

    #[test]
    fn names_are_text_and_little_is_still_a_page() {
        let text = page(&[made("<script>&\"", 3), made("none", 0), made("one", 1)]);
        check_page(&text, GRID);
        assert!(
            text.contains("&lt;script&gt;&amp;&quot;") && text.contains("&lt;b&gt;7 rows") && text.contains("No bar was closed")
        );
        check_page(&page(&[]), GRID);
        check_page(&page(&vec![made("many", 2_000); 20]), GRID);
    }
}
