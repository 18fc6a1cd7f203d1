//! The `synod` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    synod::main()
}
