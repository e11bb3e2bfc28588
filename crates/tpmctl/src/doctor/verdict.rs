//! Verdicts, and how they are printed.

use console::Style;
use keys::printable;
use serde::Serialize;

use crate::print::wrap;

/// The layers between the hardware and OpenSSL, in their order.
pub(super) const LAYERS: [&str; 13] = [
    "firmware",
    "driver",
    "device",
    "holder",
    "tcsd",
    "address",
    "identity",
    "self-test",
    "lockout",
    "room",
    "root key",
    "openssl",
    "settings",
];

/// How a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Works, and could be better or may soon fail.
    Warning,
    /// Nothing works, or not for this user, before it is mended.
    Problem,
    /// An earlier layer has a problem, or this layer cannot be seen.
    NotChecked,
    /// This TPM has no such layer.
    NotApplicable,
}

impl Verdict {
    /// In a word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
            Self::NotChecked => "not checked",
            Self::NotApplicable => "not needed",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => Style::new().green(),
            Self::Warning => Style::new().yellow().bold(),
            Self::Problem => Style::new().red().bold(),
            Self::NotChecked | Self::NotApplicable => Style::new(),
        }
    }
}

/// What was found in a layer: what is, why it matters, what to type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// How the layer is.
    pub(crate) verdict: Verdict,
    /// What is.
    pub(crate) what: String,
    /// Why it matters and what helps; empty where all is well.
    pub(crate) why: String,
    /// Commands to type next, in order.
    pub(crate) commands: Vec<String>,
}

impl Finding {
    pub(super) fn new(verdict: Verdict, what: impl Into<String>) -> Self {
        Self {
            verdict,
            what: what.into(),
            why: String::new(),
            commands: Vec::new(),
        }
    }

    pub(super) fn ok(what: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, what)
    }

    pub(super) fn warning(what: impl Into<String>) -> Self {
        Self::new(Verdict::Warning, what)
    }

    pub(super) fn problem(what: impl Into<String>) -> Self {
        Self::new(Verdict::Problem, what)
    }

    pub(super) fn not_checked(what: impl Into<String>) -> Self {
        Self::new(Verdict::NotChecked, what)
    }

    pub(super) fn not_applicable(what: impl Into<String>) -> Self {
        Self::new(Verdict::NotApplicable, what)
    }

    pub(super) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    pub(super) fn command(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }
}

/// All layers. The structure is also the command's JSON.
#[derive(Serialize)]
pub(crate) struct Diagnosis {
    /// Number of the first layer with a problem; 0 if there is none.
    pub(crate) first_problem: u8,
    /// One for each of [`LAYERS`].
    pub(crate) layers: Vec<Layer>,
}

#[derive(Serialize)]
pub(crate) struct Layer {
    /// From 1.
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    #[serde(flatten)]
    pub(crate) finding: Finding,
}

impl Diagnosis {
    /// From the findings in the order of [`LAYERS`].
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        let layers: Vec<Layer> = (1..)
            .zip(LAYERS)
            .zip(findings)
            .map(|((number, name), finding)| Layer {
                number,
                name,
                finding,
            })
            .collect();
        let failed = layers
            .iter()
            .find(|layer| layer.finding.verdict == Verdict::Problem);
        Self {
            first_problem: failed.map_or(0, |layer| layer.number),
            layers,
        }
    }

    /// For people.
    pub(super) fn text(&self, colour: bool, width: usize) -> String {
        let mut text = String::new();
        for Layer {
            number,
            name,
            finding,
        } in &self.layers
        {
            let word = format!("{:<12}", finding.verdict.word());
            let word = finding.verdict.style().force_styling(colour).apply_to(word);
            let mut head = format!("{number:>2} {name:<10}{word}");
            for paragraph in [&finding.what, &finding.why] {
                if paragraph.is_empty() {
                    continue;
                }
                let words: Vec<&str> = paragraph.split_whitespace().collect();
                let line = wrap::hanging(&printable::line(&words.join(" ")), INDENT, width);
                text.push_str(&format!("{head}{line}\n"));
                head = " ".repeat(INDENT);
            }
            for command in &finding.commands {
                // Never wrapped: it is to be copied.
                let command = printable::line(command);
                text.push_str(&format!("{:INDENT$}$ {command}\n", ""));
            }
        }
        let warned = self
            .layers
            .iter()
            .filter(|layer| layer.finding.verdict == Verdict::Warning);
        let numbers: Vec<String> = warned.map(|layer| layer.number.to_string()).collect();
        text.push_str(&match (self.first_problem, numbers.len()) {
            (0, 0) => "\nNothing is wrong.\n".to_owned(),
            (0, 1) => format!(
                "\nNothing is broken; see the warning of layer {}.\n",
                numbers[0]
            ),
            (0, _) => format!(
                "\nNothing is broken; see the warnings of layers {}.\n",
                numbers.join(", ")
            ),
            (first, _) => format!("\nBegin with layer {first}, then ask again.\n"),
        });
        text
    }
}

/// The column where sentences begin.
const INDENT: usize = 25;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_problem_is_counted_and_warnings_are_not() {
        let mut findings = vec![Finding::ok("fine"); LAYERS.len()];
        assert_eq!(Diagnosis::new(findings.clone()).first_problem, 0);
        findings[2] = Finding::warning("hm");
        let diagnosis = Diagnosis::new(findings.clone());
        assert_eq!(diagnosis.first_problem, 0);
        assert!(
            diagnosis
                .text(false, 80)
                .ends_with("the warning of layer 3.\n")
        );
        findings[7] = Finding::problem("broken")
            .why("It matters.")
            .command("mend it");
        findings[11] = Finding::problem("broken, too");
        let diagnosis = Diagnosis::new(findings);
        assert_eq!(diagnosis.first_problem, 8);
        let text = diagnosis.text(false, 80);
        let indent = " ".repeat(INDENT);
        assert!(
            text.contains(&format!(
                " 8 self-test problem     broken\n{indent}It matters.\n{indent}$ mend it\n"
            )),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
        assert!(diagnosis.text(true, 80).contains('\u{1b}'));
    }
}
