//! Stored results: the record, the pack that holds many of them, and what is kept of them in memory.
//!
//! | module | what it owns |
//! |---|---|
//! | [`envelope`] | the form of a record: bound to its key, checked before anything in it is looked at |
//! | [`keys`] | who signs records |
//! | [`values`] | the form of plain values inside of a record |
//! | [`pack`] | reading, writing and removing records of a folder, by many threads and processes |
//! | `reading` | rows and files as records |
//! | `connections` | the database of a pack: how it is opened, who uses it |
//! | [`forks`] | nobody works on a pack while the process forks |
//! | `schema` | its tables |
//! | `files` | the folder, and the files of large records |
//! | `upkeep` | limits of size and age, what killed processes left |
//! | `memory` | the records lately used, as bytes |
//! | [`generations`] | how a process sees that another has written what it holds in memory |
//! | [`error`] | what can go wrong |
//!
//! Times are Unix times in nanoseconds that are passed in; so are random numbers. No code of a caller runs while a
//! lock is held.

mod connections;
pub mod envelope;
pub mod error;
mod files;
pub mod forks;
pub mod generations;
pub mod keys;
mod memory;
pub mod pack;
mod reading;
mod schema;
mod upkeep;
pub mod values;
