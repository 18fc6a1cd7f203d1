//! Checks on the house itself: what the compiler and clippy cannot see.
//!
//! [`tidy`] runs every check over the repository; `cargo xtask tidy` and this crate's own test both
//! call it. Each check is a function from a [`House`] to the [`Complaint`]s it has, and is tested
//! with planted faults.
//!
//! | module | what must hold |
//! |---|---|
//! | [`layers`] | crates depend on each other only as the table allows |
//! | [`idle`] | every dependency is used |
//! | [`shape`] | files open with what they are for; files and functions stay small |
//! | [`reach`] | every source file is compiled, every script is run |
//! | [`purity`] | `core`, `protocols` and `services` name nothing impure |
//! | [`words`] | no unfinished business, no path of somebody's machine |
//! | [`links`] | links between documents lead somewhere |
//!
//! [`lines`] counts lines of code; it has no complaints.

pub mod house;
pub mod idle;
pub mod layers;
pub mod lines;
pub mod links;
pub mod purity;
pub mod reach;
pub mod shape;
pub mod words;

use std::path::{Path, PathBuf};

pub use house::{Complaint, House, ReadError};

/// The root of the repository, for a program or test that cargo runs. It is asked at run time: in a
/// target folder that several clones share, the path at compile time may be another clone's.
///
/// # Panics
/// If it is not run by cargo.
#[must_use]
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo runs this");
    Path::new(&package).join("..")
}

/// Every complaint about the repository at `root`.
///
/// # Errors
/// [`ReadError`] if the repository cannot be read.
pub fn tidy(root: &Path) -> Result<Vec<Complaint>, ReadError> {
    let house = House::read(root)?;
    let checks = [
        layers::check,
        idle::check,
        shape::check,
        reach::check,
        purity::check,
        words::check,
        links::check,
    ];
    Ok(checks.iter().flat_map(|check| check(&house)).collect())
}
