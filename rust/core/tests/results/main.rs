//! Stored results: nothing that was changed is read, and a pack does what a map does.
#![cfg(not(loom))]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // real files and threads
#![allow(clippy::unwrap_used)] // helpers of tests are no tests

mod envelope;
mod evicting;
mod model;
mod pack;
mod support;
mod values;
