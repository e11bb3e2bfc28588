//! A screen as a picture.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// A cell, in pixels.
const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 18.0;
const MARGIN: f32 = 10.0;

/// The ground of the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    Dark,
    Light,
}

impl Ground {
    fn text(self) -> &'static str {
        match self {
            Self::Dark => "#d8dee9",
            Self::Light => "#24292f",
        }
    }

    fn back(self) -> &'static str {
        match self {
            Self::Dark => "#1e222a",
            Self::Light => "#ffffff",
        }
    }

    /// The terminal's own colours; contrast with the ground is 4.5 to 1 at least.
    fn colour(self, colour: Color) -> &'static str {
        match (colour, self) {
            (Color::Green, Self::Dark) => "#8fc77f",
            (Color::Green, Self::Light) => "#116329",
            (Color::Red, Self::Dark) => "#ff7b72",
            (Color::Red, Self::Light) => "#b00020",
            (Color::Magenta, Self::Dark) => "#d2a8ff",
            (Color::Magenta, Self::Light) => "#8250df",
            (Color::Blue, Self::Dark) => "#79c0ff",
            (Color::Blue, Self::Light) => "#0550ae",
            (Color::Cyan, Self::Dark) => "#76d3d6",
            (Color::Cyan, Self::Light) => "#0b6a75",
            _ => self.text(),
        }
    }
}

/// What a run of cells looks like.
#[derive(Clone, PartialEq, Eq)]
struct Style {
    text: &'static str,
    back: Option<&'static str>,
    is_bold: bool,
    is_dim: bool,
}

impl Style {
    fn of(cell: &Cell, ground: Ground) -> Self {
        let colour = ground.colour(cell.fg);
        let is = |modifier| cell.modifier.contains(modifier);
        let (text, back) = match is(Modifier::REVERSED) {
            true => (ground.back(), Some(colour)),
            false => (colour, None),
        };
        Self {
            text,
            back,
            is_bold: is(Modifier::BOLD),
            is_dim: is(Modifier::DIM),
        }
    }
}

/// The picture of a screen, under a title for those who cannot see it.
pub(super) fn picture(buffer: &Buffer, ground: Ground, title: &str) -> String {
    let area = buffer.area;
    let (columns, lines) = (f32::from(area.width), f32::from(area.height));
    let (width, height) = (
        columns * WIDTH + 2.0 * MARGIN,
        lines * HEIGHT + 2.0 * MARGIN,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" width=\"{width:.0}\" role=\"img\">\n\
         <title>{}</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{}\"/>\n\
         <g font-family=\"ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace\" font-size=\"14\" xml:space=\"preserve\">\n",
        escaped(title),
        ground.back(),
    );
    for y in 0..area.height {
        let mut x = 0;
        while x < area.width {
            let style = Style::of(&buffer[(x, y)], ground);
            let start = x;
            let mut text = String::new();
            while x < area.width && Style::of(&buffer[(x, y)], ground) == style {
                text.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            run(&mut svg, &style, &text, start, x - start, y);
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn run(svg: &mut String, style: &Style, text: &str, x: u16, cells: u16, y: u16) {
    let left = MARGIN + f32::from(x) * WIDTH;
    let top = MARGIN + f32::from(y) * HEIGHT;
    let width = f32::from(cells) * WIDTH;
    if let Some(back) = style.back {
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{HEIGHT:.1}\" fill=\"{back}\"/>"
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let bold = if style.is_bold {
        " font-weight=\"bold\""
    } else {
        ""
    };
    let dim = if style.is_dim {
        " opacity=\"0.75\""
    } else {
        ""
    };
    let blanks = text.len() - text.trim_start().len();
    let left = left + blanks as f32 * WIDTH;
    let text = text.trim();
    let width = text.chars().count() as f32 * WIDTH;
    let _ = writeln!(
        svg,
        "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" fill=\"{}\"{bold}{dim}>{}</text>",
        top + 13.0,
        style.text,
        escaped(text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
