//! The doctor's page: score, the histogram of the gaps it measured, and every finding with its remedy.

use super::axis::{Decades, Tick};
use super::page::{begin_page, end_page, escape, push_figure_row, push_table};
use super::plot::{Axes, bar_path, push_plot};
use crate::doctor::{Diagnosis, Finding, GAP_BINS_US, Jitter, Level};
use crate::format::{count, decimal, duration_ns};

/// Where the axis of counts begins, so that a single gap has a height.
const COUNT_MIN: f64 = 0.5;
/// Where the last bin is drawn to, as a multiple of where it begins: it has no end.
const LAST_BIN: u64 = 10;

/// The page of a diagnosis.
pub fn render_diagnosis(diagnosis: &Diagnosis) -> String {
    let mut page = begin_page(&format!("Doctor, core {}", diagnosis.core));
    page.push_str(&format!(
        "<header><p class=\"kind\">Chronos doctor</p><h1>Core {}</h1>\n<p>{}</p></header>\n",
        diagnosis.core,
        escape(&match &diagnosis.jitter {
            Some(jitter) => format!("{}, measured for {} s", diagnosis.core_choice, decimal(jitter.seconds, 1)),
            None => format!("{}, not measured", diagnosis.core_choice),
        })
    ));
    push_figures(&mut page, diagnosis);
    page.push_str("<section><h2>Jitter</h2>\n");
    match &diagnosis.jitter {
        Some(jitter) => push_jitter(&mut page, jitter),
        None => page.push_str("<p class=\"empty\">No jitter was measured.</p>\n"),
    }
    page.push_str("</section>\n<section><h2>Findings</h2>\n");
    let row = |finding: &Finding| {
        let remedy = if finding.remedy.is_empty() { "nothing to do" } else { &finding.remedy };
        vec![
            finding.level.name().to_owned(),
            finding.id.replace('_', " "),
            finding.observed.clone(),
            remedy.to_owned(),
            finding.section.to_owned(),
            finding.weight.to_string(),
        ]
    };
    let head = ["State", "What", "Found", "Remedy", "Section of tuning.md", "Weight"];
    push_table(&mut page, "", &head, diagnosis.worst_first().into_iter().map(row).collect());
    page.push_str(
        "<p class=\"note\">The score is the part that is well of the weights of all that could be read: ok counts whole, warn half, bad \
         not at all. The section of tuning.md says why, how, how to verify and how to undo.</p>\n</section>\n",
    );
    end_page(&mut page);
    page
}

fn push_figures(page: &mut String, diagnosis: &Diagnosis) {
    let of_level = |level| count(diagnosis.count(level) as u64);
    let jitter = |figure: &dyn Fn(&Jitter) -> String| diagnosis.jitter.as_ref().map_or("n/a".to_owned(), figure);
    let over_10 =
        |jitter: &Jitter| jitter.gaps.iter().find(|gap| gap.over_us == 10).map_or("n/a".into(), |gap| decimal(gap.per_second, 1));
    push_figure_row(
        page,
        [
            ("Score", diagnosis.score.map_or("n/a".into(), |score| score.to_string()), "of 100".into()),
            ("Bad", of_level(Level::Bad), "cost latency now".into()),
            ("Warn", of_level(Level::Warn), "cost something, or may under load".into()),
            ("Ok", of_level(Level::Ok), "as they should be".into()),
            ("Unknown", of_level(Level::Unknown), "could not be read".into()),
            ("Gaps", jitter(&over_10), "of 10 µs and more a second".into()),
            ("Longest gap", jitter(&|jitter| duration_ns(jitter.max_ns)), String::new()),
            (
                "Time lost",
                jitter(&|jitter| format!("{} %", decimal(100.0 * jitter.lost_part, 3))),
                "in gaps of 1 µs and more".into(),
            ),
        ],
    );
}

/// The gaps by length, both axes logarithmic, and how many there were from each length on.
fn push_jitter(page: &mut String, jitter: &Jitter) {
    let ends = GAP_BINS_US.iter().skip(1).copied().chain([GAP_BINS_US[GAP_BINS_US.len() - 1] * LAST_BIN]);
    let bins = || jitter.histogram.iter().zip(ends.clone());
    let most = jitter.histogram.iter().map(|bin| bin.count).max().unwrap_or(0);
    let time = Decades::around(bins().flat_map(|(bin, end_us)| [1_000 * bin.from_us, 1_000 * end_us]));
    let Some(time) = time.filter(|_| most > 0) else {
        page.push_str("<p class=\"empty\">Not one gap of a microsecond or more.</p>\n");
        return;
    };
    let height = |gaps: f64| (gaps / COUNT_MIN).log10() / (10f64.powf((most as f64).log10().ceil().max(1.0)) / COUNT_MIN).log10();
    let bars = bins()
        .filter(|(bin, _)| bin.count > 0)
        .map(|(bin, end_us)| (time.fraction(1_000 * bin.from_us), time.fraction(1_000 * end_us), height(bin.count as f64)));
    let powers = (0..=19).map(|power| 10f64.powi(power)).take_while(|gaps| height(*gaps) <= 1.0 + 1e-9);
    let y: Vec<Tick> = powers.map(|gaps| Tick { place: 100.0 * height(gaps).min(1.0), label: decimal(gaps, 0) }).collect();
    page.push_str("<figure><figcaption><b>Gaps by length</b> <i>number of gaps, both axes logarithmic</i></figcaption>\n");
    let axes = Axes {
        class: "price",
        description: "Number of gaps by their length, both axes logarithmic",
        y: &y,
        rule: None,
        x: &time.ticks(),
        x_labels: true,
    };
    push_plot(page, &axes, &format!("<path class=\"bars\" d=\"{}\"/>", bar_path(bars)), "");
    page.push_str("</figure><p class=\"x-title\">Length of the gap; the last bar has no upper end</p>\n");
    let row = |gap: &crate::doctor::GapCount| {
        vec![format!("from {}", duration_ns(1_000 * gap.over_us)), count(gap.count), decimal(gap.per_second, 1)]
    };
    push_table(page, "", &["Gaps", "Number", "A second"], jitter.gaps.iter().map(row).collect());
}

#[cfg(test)]
mod tests {
    use super::super::plot::GRID;
    use super::*;
    use crate::doctor::{GapBin, GapCount, SCHEMA};
    use chronos_tests::page::{attribute, check_page, tags};

    fn jitter(counts: [u64; GAP_BINS_US.len()]) -> Jitter {
        let histogram = GAP_BINS_US.into_iter().zip(counts).map(|(from_us, count)| GapBin { from_us, count }).collect();
        let gaps = vec![GapCount { over_us: 10, count: 7, per_second: 3.5 }];
        Jitter { core: 1, seconds: 2.0, gaps, histogram, max_ns: 183_000, lost_part: 0.0125 }
    }

    fn diagnosis(jitter: Option<Jitter>) -> Diagnosis {
        let finding = |id, level, remedy: &str| Finding {
            id,
            level,
            weight: 8,
            observed: format!("<{id}> & all"),
            remedy: remedy.into(),
            section: "Sleep states",
        };
        let findings = vec![finding("turbo_boost", Level::Ok, ""), finding("sleep_states", Level::Bad, "set it")];
        Diagnosis { schema: SCHEMA, score: Some(50), core: 1, core_choice: "last allowed", jitter, findings }
    }

    #[test]
    fn score_findings_and_gaps_are_on_the_page_worst_first() {
        let mut counts = [0; GAP_BINS_US.len()];
        (counts[0], counts[4], counts[GAP_BINS_US.len() - 1]) = (900, 7, 1);
        let page = render_diagnosis(&diagnosis(Some(jitter(counts))));
        check_page(&page, GRID);
        for told in [
            ">50</dd>",
            "of 100",
            ">183 µs<",
            ">1.250 %<",
            "set it",
            "Sleep states",
            "nothing to do",
            "&lt;turbo_boost&gt; &amp; all",
        ] {
            assert!(page.contains(told), "`{told}` is not on the page");
        }
        assert!(page.find(">bad<").expect("bad") < page.find(">ok<").expect("ok"));
        // A bar for each bin with gaps, the tallest below the top, that of one gap above the bottom.
        let path = tags(&page)
            .iter()
            .find(|tag| tag.starts_with("path class=\"bars\""))
            .and_then(|tag| attribute(tag, "d").map(str::to_owned));
        let path = path.expect("bars");
        let tops: Vec<f64> =
            path.split('V').skip(1).step_by(2).map(|part| part.split('H').next().unwrap().parse().unwrap()).collect();
        assert!(tops.len() == 3 && tops[0] < tops[1] && tops[1] < tops[2] && tops[0] > 0.0 && tops[2] < GRID, "{tops:?}");
    }

    #[test]
    fn little_is_still_a_page() {
        let page = render_diagnosis(&diagnosis(None));
        check_page(&page, GRID);
        assert!(page.contains("No jitter was measured.") && page.contains(">n/a<"));
        check_page(&render_diagnosis(&diagnosis(Some(jitter([0; GAP_BINS_US.len()])))), GRID);
        check_page(&render_diagnosis(&diagnosis(Some(jitter([u64::MAX; GAP_BINS_US.len()])))), GRID);
        check_page(&render_diagnosis(&diagnosis(Some(jitter([1; GAP_BINS_US.len()])))), GRID);
        let nothing = Diagnosis { score: None, findings: Vec::new(), ..diagnosis(None) };
        check_page(&render_diagnosis(&nothing), GRID);
    }
}
