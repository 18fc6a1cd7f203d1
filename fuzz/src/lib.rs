//! What the fuzz targets share. Next: `fuzz_targets/`.

pub mod memory;
