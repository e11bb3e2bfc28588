//! The document: printed as it grows, written at the end.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A Markdown document with its pictures.
pub struct Report {
    text: String,
    promises: Vec<Promise>,
    /// Name and content of each.
    plots: Vec<(String, String)>,
}

/// A figure that the product is held to.
pub struct Promise {
    pub what: String,
    pub wanted: Wanted,
    pub seen: f64,
}

pub enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Wanted {
    /// The figures are given with two decimals, and judged as they are given.
    fn kept(&self, seen: f64) -> bool {
        let seen = (seen * 100.0).round() / 100.0;
        match self {
            Self::AtLeast(goal) => seen >= *goal,
            Self::AtMost(goal) => seen <= *goal,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::AtLeast(goal) => format!("≥ {goal:.2}"),
            Self::AtMost(goal) => format!("≤ {goal:.2}"),
        }
    }
}

/// Where the pictures are, beside the document.
const PLOTS: &str = "benchmarks";

impl Report {
    pub fn new() -> Self {
        Self {
            text: String::new(),
            promises: Vec::new(),
            plots: Vec::new(),
        }
    }

    pub fn heading(&mut self, level: usize, text: &str) {
        self.add(&format!("{} {text}\n\n", "#".repeat(level)));
    }

    /// A paragraph; line breaks and indentation in `text` are of no meaning.
    pub fn text(&mut self, text: &str) {
        const WIDTH: usize = 110;
        let mut out = String::new();
        let mut column = 0;
        for word in text.split_whitespace() {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > WIDTH {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
        self.add(&format!("{out}\n\n"));
    }

    /// Lines as they are.
    pub fn code(&mut self, text: &str) {
        for line in text.lines() {
            self.add(&format!("    {line}\n"));
        }
        self.add("\n");
    }

    /// Columns whose names begin with `<` are text, the others are numbers.
    pub fn table(&mut self, columns: &[&str], rows: &[Vec<String>]) {
        let heads: Vec<&str> = columns.iter().map(|c| c.trim_start_matches('<')).collect();
        let width = |n: usize| {
            rows.iter()
                .map(|row| row[n].chars().count())
                .chain([heads[n].chars().count(), 3])
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns.len()).map(width).collect();
        let is_text = |n: usize| columns[n].starts_with('<');
        let line = |cells: &[&str]| {
            let mut line = String::from("|");
            for (n, cell) in cells.iter().enumerate() {
                let width = widths[n];
                let _ = if is_text(n) {
                    write!(line, " {cell:<width$} |")
                } else {
                    write!(line, " {cell:>width$} |")
                };
            }
            line.push('\n');
            line
        };
        let mut text = line(&heads);
        text.push('|');
        for (n, width) in widths.iter().enumerate() {
            let dashes = "-".repeat(width + 1);
            let _ = if is_text(n) {
                write!(text, "{dashes}-|")
            } else {
                write!(text, "{dashes}:|")
            };
        }
        text.push('\n');
        for row in rows {
            text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        text.push('\n');
        self.add(&text);
    }

    /// A figure for the table of promises.
    pub fn promise(&mut self, promise: Promise) {
        self.promises.push(promise);
    }

    /// All promises so far, if there are any.
    pub fn promises(&mut self, title: &str) {
        if self.promises.is_empty() {
            return;
        }
        self.heading(2, title);
        let rows: Vec<Vec<String>> = self
            .promises
            .iter()
            .map(|promise| {
                let kept = promise.wanted.kept(promise.seen);
                vec![
                    promise.what.clone(),
                    promise.wanted.text(),
                    format!("{:.2}", promise.seen),
                    if kept { "kept" } else { "**missed**" }.to_owned(),
                ]
            })
            .collect();
        self.table(&["<", "promised", "this run", "<"], &rows);
    }

    /// A picture; `alt` is for those who do not see it.
    pub fn plot(&mut self, name: &str, alt: &str, svg: String) {
        self.add(&format!("![{alt}]({PLOTS}/{name}.svg)\n\n"));
        self.plots.push((format!("{name}.svg"), svg));
    }

    /// Writes the document and its pictures, and removes pictures of earlier runs; returns its path.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let plots = directory.join(PLOTS);
        fs::create_dir_all(&plots).expect("a directory for the pictures");
        for entry in fs::read_dir(&plots)
            .expect("the directory is there")
            .flatten()
        {
            if entry.path().extension().is_some_and(|e| e == "svg") {
                let _ = fs::remove_file(entry.path());
            }
        }
        let write = |path: &Path, text: &str| {
            fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        };
        for (name, svg) in &self.plots {
            write(&plots.join(name), svg);
        }
        let path = directory.join("benchmarks.md");
        write(&path, &format!("{}\n", self.text.trim_end()));
        path
    }

    fn add(&mut self, text: &str) {
        print!("{text}");
        self.text.push_str(text);
    }
}
