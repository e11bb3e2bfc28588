//! Screens of a machine that is made up, compared with those in `src/ui/snapshots`, and the pictures in `docs/ui`.
//! `UPDATE=1 cargo test --release -p tpm-provider-tpmctl ui::` writes them.

mod behaviour;
mod sample;
mod svg;

use std::fs;
use std::path::{Path, PathBuf};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::input::Key;
use super::model::{Effect, Event, Model, Panel};
use super::plain;
use super::view::{self, look::Look};
use svg::Ground;

const PLAIN: Look = Look {
    colour: false,
    ascii: false,
};
const COLOURS: Look = Look {
    colour: true,
    ascii: false,
};
const ASCII: Look = Look {
    colour: false,
    ascii: true,
};

/// What every panel must fit.
const SIZES: [(u16, u16); 3] = [(80, 24), (200, 60), (40, 10)];

fn screen(model: &Model, look: Look, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| view::draw(model, &look, frame))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The characters of a screen.
fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let line: String = (0..buffer.area.width)
            .map(|x| buffer[(x, y)].symbol())
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for key in keys.chars() {
        let key = match key {
            '\n' => Key::Enter,
            '\u{1b}' => Key::Esc,
            key => Key::Char(key),
        };
        effects.extend(model.update(Event::Key(key)));
    }
    effects
}

/// Compares with a file, or writes it.
#[track_caller]
fn same(path: &Path, content: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        return;
    }
    let known = fs::read_to_string(path).unwrap_or_default();
    assert!(
        known == content,
        "{} is not what is drawn: `UPDATE=1 cargo test --release -p tpm-provider-tpmctl ui::` writes it. Drawn is:\n{content}",
        path.display()
    );
}

fn snapshot(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/ui/snapshots")
        .join(name)
}

/// A screen in each size, under each other.
#[track_caller]
fn snapshots(name: &str, model: &Model, look: Look) {
    let mut all = String::new();
    for size in SIZES {
        let shown = text(&screen(model, look, size));
        all.push_str(&format!("{}x{}\n{shown}", size.0, size.1));
    }
    same(&snapshot(name), &all);
}

#[test]
fn every_panel_in_every_size() {
    let mut model = sample::model();
    for panel in Panel::ALL {
        model.panel = panel;
        snapshots(
            &format!("{}.txt", panel.name().to_lowercase()),
            &model,
            PLAIN,
        );
    }
}

#[test]
fn what_stands_before_the_panels() {
    let mut model = sample::model();
    press(&mut model, "?");
    snapshots("help.txt", &model, PLAIN);
    press(&mut model, "\u{1b}u2");
    press(&mut model, "G");
    press(&mut model, "e");
    snapshots("evict.txt", &model, PLAIN);
    // Neither is there before anything was read.
    snapshots("nothing.txt", &Model::new(Panel::Keys), PLAIN);
}

#[test]
fn ascii_alone() {
    let mut model = sample::model();
    let mut keys = sample::keys();
    keys.keys[0].policy = "grün".into();
    model.facts.keys.value = Some(keys);
    model.panel = Panel::Keys;
    snapshots("ascii.txt", &model, ASCII);
    for panel in Panel::ALL {
        model.panel = panel;
        for size in SIZES {
            assert!(text(&screen(&model, ASCII, size)).is_ascii(), "{panel:?}");
        }
    }
}

#[test]
fn the_same_as_text() {
    let mut model = sample::model();
    let mut all = String::new();
    for panel in Panel::ALL {
        model.panel = panel;
        all.push_str(&plain::text(&model));
    }
    same(&snapshot("plain.txt"), &all);
}

/// Without colours nothing is lost: the characters are the same.
#[test]
fn colours_say_nothing_by_themselves() {
    let mut model = sample::model();
    for panel in Panel::ALL {
        model.panel = panel;
        for size in SIZES {
            let plain = screen(&model, PLAIN, size);
            assert_eq!(text(&screen(&model, COLOURS, size)), text(&plain));
            let coloured = |cell: &ratatui::buffer::Cell| {
                (cell.fg, cell.bg) != (ratatui::style::Color::Reset, ratatui::style::Color::Reset)
            };
            assert!(!plain.content.iter().any(coloured));
        }
    }
}

#[test]
fn pictures_for_the_documentation() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ui");
    let mut model = sample::model();
    let picture = |model: &Model, name: &str, ground, title: &str| {
        let buffer = screen(model, COLOURS, (100, 26));
        same(&directory.join(name), &svg::picture(&buffer, ground, title));
    };
    picture(
        &model,
        "overview.svg",
        Ground::Dark,
        "The overview: three TPMs, and what is known of the first",
    );
    picture(
        &model,
        "overview-light.svg",
        Ground::Light,
        "The overview on a light ground",
    );
    model.panel = Panel::Keys;
    picture(
        &model,
        "keys.svg",
        Ground::Dark,
        "Keys: what they are, and whether they would work now",
    );
    model.panel = Panel::Registers;
    press(&mut model, "jj");
    picture(
        &model,
        "registers.svg",
        Ground::Dark,
        "Registers: one has changed, and what depends on it",
    );
    model.panel = Panel::Owner;
    picture(
        &model,
        "owner.svg",
        Ground::Dark,
        "Who may change the TPM, and its protection against guessing",
    );
    model.panel = Panel::Doctor;
    press(&mut model, "Gkk");
    picture(
        &model,
        "doctor.svg",
        Ground::Dark,
        "The doctor's findings, and what mends them",
    );
    press(&mut model, "\n");
    picture(&model, "cure.svg", Ground::Dark, "What mends a finding");
    press(&mut model, "\u{1b}");
    model.panel = Panel::Log;
    model.message = None;
    picture(
        &model,
        "log.svg",
        Ground::Dark,
        "The log: each action, and the command that does the same",
    );
}
