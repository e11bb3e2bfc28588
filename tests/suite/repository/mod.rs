//! The repository itself: that the tests which documents name exist, and that the tests' own tools do what they say.

mod claims;
mod dependencies;
mod documents;
mod harness;
mod install;
mod notices;
mod other_tools;
mod workflows;
