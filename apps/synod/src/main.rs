//! The `synod` binary; everything is in the library.

use std::process::ExitCode;

/// Threads that free what others allocated cost the C library's a fifth of a loaded node: decision 10.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    synod::main()
}
