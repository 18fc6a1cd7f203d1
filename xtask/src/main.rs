//! `cargo xtask tidy`: prints what is wrong with the house, one line each, and fails if anything is.
//! `cargo xtask lines`: prints how much code each replicated log is made of.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = xtask::root();
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy(&root),
        Some("lines") => lines(&root),
        Some(_) | None => {
            eprintln!("usage: cargo xtask tidy|lines");
            ExitCode::from(2)
        }
    }
}

fn lines(root: &Path) -> ExitCode {
    match xtask::House::read(root) {
        Ok(house) => {
            print!("{}", xtask::lines::table(&house));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn tidy(root: &Path) -> ExitCode {
    match xtask::tidy(root) {
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
