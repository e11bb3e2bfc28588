//! `tpmctl selftest`: what tpm_selftest did, for both families.

use std::thread;
use std::time::{Duration, Instant};

use keys::log_setup;
use log::LevelFilter;
use serde::Serialize;
use tss::ErrorKind;
use tss::tpm2::services::TestResult;
use tss::tpm2::{Client, ResponseCode};
use tss::tpm12::{self, Code};

use crate::cli::{Global, Level, Selftest};
use crate::display::hex_bytes;
use crate::error::Error;
use crate::family::AnyTpm;
use crate::output;
use crate::settings::{self, Chosen};

/// What a TPM 2.0's tests led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// Everything that was tested works.
    Passed,
    /// Some algorithms have not been tested since the TPM started.
    Incomplete,
    /// Tests are running.
    Testing,
    /// The TPM is in failure mode.
    Failed,
    /// Only the manufacturer knows what the results mean: those of a TPM 1.2.
    Untold,
}

impl Outcome {
    /// From TPM2_GetTestResult's `testResult` (Part 3, 10.4).
    pub(crate) fn of(code: ResponseCode) -> Self {
        const NEEDS_TEST: u32 = 0x153;
        if code == ResponseCode::SUCCESS {
            Self::Passed
        } else if code.base() == NEEDS_TEST {
            Self::Incomplete
        } else if code.is_testing() {
            Self::Testing
        } else {
            Self::Failed
        }
    }

    /// In a sentence.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Passed => "The self-test succeeded.",
            Self::Incomplete => {
                "Not everything has been tested since the TPM started: it tests an algorithm \
                 before its first use, or all of them with `tpmctl selftest`."
            }
            Self::Testing => "The TPM is still testing itself.",
            Self::Untold => {
                "These are the results of the last self-test; their meaning is the manufacturer's."
            }
            Self::Failed => {
                "The self-test failed: the TPM is in failure mode and does no cryptography. \
                 Switch the machine off and on (a restart may not be enough); if it fails again, \
                 the TPM is broken or its firmware needs an update."
            }
        }
    }
}

/// What a test led to.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) outcome: Outcome,
    /// The TPM's answer; absent where nothing was tested and the results do not tell.
    pub(crate) result: Option<String>,
    /// The vendor's data in hexadecimal.
    pub(crate) data: String,
    /// Whether a test ran before.
    tested: bool,
}

/// Tests, prints the results; the status is 1 if the TPM failed.
pub(crate) fn run(global: &Global, args: &Selftest) -> Result<u8, Error> {
    if args.log == Level::Debug && log::max_level() < LevelFilter::Trace {
        log_setup::enable(LevelFilter::Trace, None);
    }
    match test(global, args) {
        // Said by the exit status alone.
        Err(error) if args.log == Level::None => Ok(error.status()),
        result => result,
    }
}

fn test(global: &Global, args: &Selftest) -> Result<u8, Error> {
    let chosen = settings::tpm(global)?;
    let started = Instant::now();
    let report = report(&chosen, !args.results)?;
    let outcome = report.outcome;
    if global.json {
        output::print_json(&report)?;
    } else {
        let mut text = format!("  TPM Test Results: {}\n", groups(&report.data));
        if let Some(result) = &report.result {
            text.push_str(&format!("  Test Result Code: {result}\n"));
        }
        output::print(&text)?;
    }
    let failed = outcome == Outcome::Failed;
    let least = if failed { Level::Error } else { Level::Info };
    if args.log >= least {
        output::note(&format!("tpmctl: {}", outcome.sentence()));
    }
    if args.log >= Level::Info && !args.results {
        let took = started.elapsed().as_millis();
        output::note(&format!(
            "tpmctl: The self-test and its result took {took} ms."
        ));
    }
    Ok(failed.into())
}

/// Has the TPM test itself, or asks for the results of the last test.
pub(crate) fn report(chosen: &Chosen, test: bool) -> Result<Report, Error> {
    Ok(match &AnyTpm::of(&chosen.tpm)? {
        AnyTpm::Tpm2(client, _) => two(client, test)?,
        AnyTpm::Tpm12(client) => one(client, test)?,
    })
}

fn two(client: &Client, test: bool) -> tss::Result<Report> {
    let result = if test {
        results(client, true)?
    } else {
        client.test_result()?
    };
    Ok(Report {
        outcome: Outcome::of(result.code),
        result: Some(match result.code {
            ResponseCode::SUCCESS => "0x000 (TPM_RC_SUCCESS)".to_owned(),
            code => code.to_string(),
        }),
        data: hex_bytes(&result.data),
        tested: test,
    })
}

/// A TPM 1.2 tells the outcome by its answer to TPM_SelfTestFull; what its results mean only the
/// manufacturer knows.
fn one(client: &tpm12::Client, test: bool) -> tss::Result<Report> {
    let (outcome, result) = match test.then(|| client.self_test()) {
        None => (Outcome::Untold, None),
        Some(Ok(())) => (Outcome::Passed, Some("TPM_SUCCESS (0x0)".to_owned())),
        Some(Err(error)) => match error.kind() {
            ErrorKind::Tpm12(failure) if failure.code() == Code::FAILEDSELFTEST => {
                (Outcome::Failed, Some(failure.code().to_string()))
            }
            _ => return Err(error),
        },
    };
    Ok(Report {
        outcome,
        result,
        data: hex_bytes(&client.test_result()?),
        tested: test,
    })
}

/// TPM2_SelfTest and what became of it: of everything if `full`, else of what is not yet tested.
pub(crate) fn results(client: &Client, full: bool) -> tss::Result<TestResult> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let tested = client.self_test(full);
    if let Err(error) = &tested
        && error.code().is_none()
    {
        return Err(error.clone());
    }
    let end = Instant::now() + PATIENCE;
    loop {
        let result = client.test_result()?;
        // Some TPMs answer at once and test on.
        if Outcome::of(result.code) != Outcome::Testing || Instant::now() >= end {
            // A test that fails says so, and why in its results: unless there is no reason.
            return match Outcome::of(result.code) {
                Outcome::Passed => tested.map(|()| result),
                _ => Ok(result),
            };
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Octets in groups of four, as tpm_selftest prints them.
fn groups(hexadecimal: &str) -> String {
    let digits: Vec<char> = hexadecimal.chars().collect();
    let groups: Vec<String> = digits.chunks(8).map(String::from_iter).collect();
    groups.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_grouped() {
        assert_eq!(groups(""), "");
        assert_eq!(groups("53687574646f0a"), "53687574 646f0a");
    }

    #[test]
    fn codes_have_outcomes() {
        for (code, outcome) in [
            (0, Outcome::Passed),
            (0x153, Outcome::Incomplete),
            (0x90a, Outcome::Testing),
            (0x101, Outcome::Failed),
            (0x9ff, Outcome::Failed),
        ] {
            assert_eq!(Outcome::of(ResponseCode(code)), outcome, "{code:#x}");
        }
    }
}
