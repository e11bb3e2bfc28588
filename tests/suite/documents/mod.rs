//! The pages in docs/ that are about other people's programs, and about programs of one's own: every command as it is written,
//! on a machine where the product is installed.

mod acme;
mod faq;
mod programming;
mod programs;
