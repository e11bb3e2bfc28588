//! Two kinds of charts: bars, and the distribution of waiting times.

use crate::turns::quantile;
use std::fmt::Write as _;

/// What a colour stands for, in every chart.
#[derive(Clone, Copy)]
pub enum Colour {
    /// The TPM alone.
    Raw,
    Ours,
    /// The same with something else in play.
    Other,
    Software,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Raw => "#8a8f98",
            Self::Ours => "#2b6cb0",
            Self::Other => "#c05621",
            Self::Software => "#2f855a",
        }
    }
}

/// A bar of a chart.
pub struct Bar {
    pub name: String,
    pub value: f64,
    /// Where the quartiles are, if there are any.
    pub spread: Option<[f64; 2]>,
    /// What stands behind it.
    pub text: String,
    pub colour: Colour,
}

/// Bars that belong together.
pub struct Group {
    pub name: String,
    pub bars: Vec<Bar>,
}

const WIDTH: f64 = 800.0;
/// Where the bars begin, and where the longest ends.
const LEFT: f64 = 240.0;
const RIGHT: f64 = 630.0;
const ROW: f64 = 20.0;

/// Horizontal bars, from zero; `unit` is the axis' title.
pub fn bars(title: &str, unit: &str, groups: &[Group]) -> String {
    let all = groups.iter().flat_map(|group| &group.bars);
    let most = all
        .map(|bar| {
            bar.spread
                .map_or(bar.value, |[_, high]| high.max(bar.value))
        })
        .fold(f64::MIN_POSITIVE, f64::max);
    let step = round_step(most / 5.0);
    let x = |value: f64| LEFT + (RIGHT - LEFT) * value / most;
    let rows: usize = groups.iter().map(|group| group.bars.len() + 1).sum();
    let bottom = 40.0 + rows as f64 * ROW + groups.len() as f64 * 6.0;
    let mut body = String::new();
    let mut tick = 0.0;
    while tick <= most * 1.0001 {
        let _ = writeln!(
            body,
            r##"<path d="M{0:.1} 36V{bottom}" stroke="#d8dce2"/>{1}"##,
            x(tick),
            label(x(tick), bottom + 16.0, "middle", "", &number(tick, step)),
        );
        tick += step;
    }
    body.push_str(&label(
        (LEFT + RIGHT) / 2.0,
        bottom + 36.0,
        "middle",
        "",
        unit,
    ));
    let mut y = 40.0;
    for group in groups {
        body.push_str(&label(10.0, y + 15.0, "start", "b", &group.name));
        y += ROW;
        for bar in &group.bars {
            let end = x(bar.value);
            body.push_str(&label(LEFT - 8.0, y + 14.0, "end", "", &bar.name));
            let _ = writeln!(
                body,
                r#"<rect x="{LEFT}" y="{:.1}" width="{:.1}" height="14" fill="{}"/>"#,
                y + 3.0,
                end - LEFT,
                bar.colour.code(),
            );
            let mut after = end;
            if let Some([low, high]) = bar.spread {
                after = end.max(x(high));
                let _ = writeln!(
                    body,
                    r##"<path d="M{:.1} {m:.1}H{:.1}M{0:.1} {t:.1}v6M{1:.1} {t:.1}v6" stroke="#1a202c"/>"##,
                    x(low),
                    x(high),
                    m = y + 10.0,
                    t = y + 7.0,
                );
            }
            body.push_str(&label(after + 6.0, y + 14.0, "start", "", &bar.text));
            y += ROW;
        }
        y += 6.0;
    }
    picture(title, bottom + 48.0, &body)
}

/// The waiting times of one kind of requests.
pub struct Series {
    pub name: String,
    /// In milliseconds, sorted.
    pub times: Vec<f64>,
    pub colour: Colour,
}

/// How many of the requests (up) were answered within which time (right, a logarithmic scale); `limit`, in
/// milliseconds, is marked.
pub fn distribution(title: &str, limit: (&str, f64), series: &[Series]) -> String {
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = 770.0;
    const TOP: f64 = 40.0;
    const BOTTOM: f64 = 300.0;
    let all = || series.iter().flat_map(|s| &s.times).copied();
    let first = all().fold(f64::MAX, f64::min).max(0.01).log10();
    let last = all().fold(0.1, f64::max).log10();
    // Whole powers of ten on the axis would leave half of it empty.
    let (first, last) = ((first * 2.0).floor() / 2.0, (last * 2.0).ceil() / 2.0);
    let x = |time: f64| LEFT + (RIGHT - LEFT) * (time.max(0.001).log10() - first) / (last - first);
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * share;
    let mut body = String::new();
    for decade in -2..=6 {
        for digit in [1.0, 2.0, 5.0] {
            let time = digit * 10f64.powi(decade);
            if !(LEFT - 1.0..=RIGHT + 1.0).contains(&x(time)) {
                continue;
            }
            let _ = writeln!(
                body,
                r##"<path d="M{0:.1} {TOP}V{BOTTOM}" stroke="#d8dce2"/>{1}"##,
                x(time),
                label(x(time), BOTTOM + 16.0, "middle", "", &format!("{time}")),
            );
        }
    }
    for percent in [0.0, 25.0, 50.0, 75.0, 95.0, 100.0] {
        let _ = writeln!(
            body,
            r##"<path d="M{LEFT} {0:.1}H{RIGHT}" stroke="#d8dce2"/>{1}"##,
            y(percent / 100.0),
            label(
                LEFT - 8.0,
                y(percent / 100.0) + 4.0,
                "end",
                "",
                &format!("{percent} %")
            ),
        );
    }
    body.push_str(&label(
        420.0,
        BOTTOM + 36.0,
        "middle",
        "",
        "answered within, milliseconds",
    ));
    let (name, limit) = limit;
    let _ = writeln!(
        body,
        r##"<path d="M{0:.1} {TOP}V{BOTTOM}" stroke="#1a202c" stroke-dasharray="5 4"/>{1}"##,
        x(limit),
        label(x(limit) + 5.0, BOTTOM - 8.0, "start", "", name),
    );
    for (n, series) in series.iter().enumerate() {
        let colour = series.colour.code();
        let mut path = String::new();
        for step in 0..=200 {
            let share = f64::from(step) / 200.0;
            let _ = write!(
                path,
                "{}{:.1} {:.1}",
                if step == 0 { "M" } else { "L" },
                x(quantile(&series.times, share)),
                y(share)
            );
        }
        let _ = writeln!(
            body,
            r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>"#
        );
        let top = BOTTOM + 54.0 + n as f64 * ROW;
        let _ = writeln!(
            body,
            r#"<path d="M{LEFT} {top:.1}h28" stroke="{colour}" stroke-width="4"/>{}"#,
            label(LEFT + 36.0, top + 4.0, "start", "", &series.name)
        );
    }
    picture(title, BOTTOM + 58.0 + series.len() as f64 * ROW, &body)
}

fn picture(title: &str, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"12\" \
         fill=\"#1a202c\">\n\
         <title>{0}</title>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n{1}{body}</svg>\n",
        escape(title),
        label(10.0, 22.0, "start", "b", title),
    )
}

fn label(x: f64, y: f64, anchor: &str, weight: &str, text: &str) -> String {
    let weight = if weight == "b" {
        " font-weight=\"bold\""
    } else {
        ""
    };
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{weight} paint-order=\"stroke\" stroke=\"#ffffff\" \
         stroke-width=\"3\">{}</text>\n",
        escape(text)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The next number above that begins with 1, 2 or 5.
fn round_step(at_least: f64) -> f64 {
    let decade = 10f64.powf(at_least.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * decade)
        .into_iter()
        .find(|&step| step >= at_least)
        .unwrap_or(10.0 * decade)
}

/// With the decimals that steps of this size need.
fn number(value: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}
