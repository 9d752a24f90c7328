//! A run on one page of HTML that needs nothing else.

use super::output::escaped;
use super::tally::{Second, Series, Tally};
use super::threshold::Threshold;
use std::fmt::Write;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #ddd}\
    td:first-child,th:first-child{text-align:left}.bad{color:#b00020}.good{color:#1b5e20}svg{width:100%;height:auto}\
    figcaption{color:#555}";

/// Size of a plot, and its margin.
const SIZE: (f64, f64) = (800.0, 200.0);
const MARGIN: f64 = 50.0;

/// The page of a run.
pub fn page(name: &str, tally: &Tally, thresholds: &[Threshold]) -> String {
    let name = escaped(name);
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title><style>{STYLE}</style><h1>{name}</h1>"
    );
    let faults = tally.faults();
    html += &if faults.is_empty() {
        "<p class=\"good\">The generator was in time: the figures are valid.</p>".to_owned()
    } else {
        format!("<p class=\"bad\">Not valid, the generator itself was late: {}.</p>", escaped(&faults.join("; ")))
    };
    // A string takes everything written.
    let _ = write!(
        html,
        "<p>{} calls, {} answered, {} failed; {} of {} packets lost; {} of {} markers lost.</p>",
        tally.offered,
        tally.answered,
        tally.failed(),
        tally.lost_packets,
        tally.packets + tally.lost_packets,
        tally.lost_markers,
        tally.markers
    );
    html += "<table><tr><th><th>min<th>p05<th>p50<th>p95<th>p99<th>max<th>count";
    for (row, series) in [
        ("call set-up, ms", &tally.setup),
        ("post-dial delay, ms", &tally.post_dial),
        ("MOS", &tally.mos),
        ("mouth to ear and back, ms", &tally.latency),
        ("calls began late, ms", &tally.lateness),
    ] {
        html += &row_of(row, series);
    }
    html += "</table>";
    if !thresholds.is_empty() {
        html += "<table><tr><th>threshold<th>value<th>";
        for threshold in thresholds {
            let (value, holds) = threshold.judge(tally);
            let (class, word) = if holds { ("good", "holds") } else { ("bad", "does not hold") };
            let value = value.map_or("-".to_owned(), |value| format!("{value:.3}"));
            let _ = write!(html, "<tr><td>{}<td>{value}<td class=\"{class}\">{word}", escaped(&threshold.to_string()));
        }
        html += "</table>";
    }
    if !tally.failures.is_empty() {
        html += "<table><tr><th>failure<th>calls";
        for (reason, count) in &tally.failures {
            let _ = write!(html, "<tr><td>{}<td>{count}", escaped(reason));
        }
        html += "</table>";
    }
    let seconds = |value: fn(&Second) -> f64| tally.seconds.iter().map(value).collect::<Vec<_>>();
    html += &plot("Calls at a time", &seconds(|second| second.calls as f64));
    html += &plot("Calls begun a second", &seconds(|second| second.begun as f64));
    html += &plot("Slowest call set-up of each second, ms", &seconds(|second| second.slowest_setup));
    html += &plot("Failed calls a second", &seconds(|second| second.failed as f64));
    html + "</html>\n"
}

fn row_of(name: &str, series: &Series) -> String {
    let values = [0.0, 0.05, 0.5, 0.95, 0.99, 1.0]
        .map(|share| series.quantile(share).map_or("<td>-".to_owned(), |value| format!("<td>{value:.2}")));
    format!("<tr><td>{name}{}<td>{}", values.concat(), series.count())
}

/// Values second by second, as a line.
fn plot(title: &str, values: &[f64]) -> String {
    let highest = values.iter().copied().fold(0.0, f64::max).max(1e-9);
    let (width, height) = SIZE;
    let last = values.len().saturating_sub(1).max(1) as f64;
    let points: String = values
        .iter()
        .enumerate()
        .map(|(at, value)| {
            let x = MARGIN + (width - 2.0 * MARGIN) * at as f64 / last;
            let y = height - 25.0 - (height - 40.0) * value / highest;
            format!("{x:.1},{y:.1} ")
        })
        .collect();
    let (bottom, right) = (height - 25.0, width - MARGIN);
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\
         <path d=\"M{MARGIN} 15V{bottom}H{right}\" fill=\"none\" stroke=\"#999\"/>\
         <text x=\"{}\" y=\"20\" text-anchor=\"end\" font-size=\"12\">{highest:.4}</text>\
         <text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\" font-size=\"12\">0</text>\
         <text x=\"{right}\" y=\"{}\" text-anchor=\"end\" font-size=\"12\">{last} s</text>\
         <polyline points=\"{points}\" fill=\"none\" stroke=\"#1565c0\" stroke-width=\"2\"/></svg></figure>",
        MARGIN - 5.0,
        MARGIN - 5.0,
        bottom + 15.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_else_and_shows_what_failed() {
        let mut tally = Tally { offered: 3, answered: 2, ..Tally::default() };
        tally.failures.insert("486 <Busy>".into(), 1);
        tally.setup.note(12.5);
        tally.seconds = vec![Second::default(); 5];
        let html = page("load", &tally, &["failures < 1%".parse().unwrap()]);
        assert!(
            html.contains("486 &lt;Busy&gt;") && html.contains("does not hold") && html.contains("valid"),
            "{html}"
        );
        assert!(!html.contains("http") && !html.contains("<script"), "nothing is fetched");
        assert_eq!(html.matches("<svg").count(), 4);
    }
}
