//! docs/ui.md: its lines as they are written, and its pictures.

use std::fs;
use std::path::Path;

use testkit::bench::Bench;
use testkit::process::Run;
use testkit::tmux::Tmux;
use testkit::tools::{self, need, root};

use super::command;

fn page() -> String {
    fs::read_to_string(root().join("docs/ui.md")).expect("the page")
}

/// A shell that finds tpmctl, for a line of the page.
fn shell(bench: &Bench, line: &str) -> Run {
    let like = command(bench, "ui");
    let directory = Path::new(tools::tpmctl()).parent().expect("a directory");
    let path = std::env::var("PATH").expect("PATH");
    let mut run = Run::new(need("bash", "bash"))
        .args(["-euc", line])
        .dir(like.command.get_current_dir().expect("a directory"));
    for (name, value) in like.command.get_envs() {
        match value {
            Some(value) => run.command.env(name, value),
            None => run.command.env_remove(name),
        };
    }
    run.env("PATH", format!("{}:{path}", directory.display()))
}

#[test]
fn lines_as_they_are_written() {
    let bench = Bench::new();
    let page = page();
    let blocks = page.split("```sh\n").skip(1);
    let lines: Vec<&str> = blocks
        .flat_map(|block| block.split("```").next().unwrap_or_default().lines())
        .collect();
    assert!(lines.len() >= 4, "{lines:?}");
    for line in lines {
        if line.contains("--plain") {
            shell(&bench, line).ok();
            continue;
        }
        let at = Tmux::start(&shell(&bench, line), 80, 24);
        at.sees(&["1 Overview", "q quit", "0/3"]);
        at.keys(&["q"]);
        assert_eq!(at.end(), 0, "{line}");
    }
    let state = bench.openssl.dir().read_text("state.txt");
    assert!(state.contains("0x81000001"), "{state}");
    bench.tpm.assert_clean();
}

#[test]
fn pictures_are_there() {
    let page = page();
    let named: Vec<&str> = page
        .split("](ui/")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect();
    assert!(named.len() >= 6, "{named:?}");
    for name in named {
        let svg = fs::read_to_string(root().join("docs/ui").join(name)).expect(name);
        assert!(
            svg.starts_with("<svg ") && svg.contains("<title>"),
            "{name}"
        );
    }
}
