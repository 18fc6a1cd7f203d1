//! `cargo xtask tidy`: prints what is wrong with the house, one line each, and fails if anything is.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().skip(1).collect::<Vec<_>>() != ["tidy"] {
        eprintln!("usage: cargo xtask tidy");
        return ExitCode::from(2);
    }
    match xtask::tidy(&xtask::root()) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            complaints.iter().for_each(|complaint| println!("{complaint}"));
            eprintln!("{} complaints", complaints.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
