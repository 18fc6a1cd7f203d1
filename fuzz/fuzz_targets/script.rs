//! Lines of scripts: understood, or refused in words.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for line in text.lines() {
        if let Err(why) = synod_script::understand(line) {
            assert!(!why.is_empty());
        }
    }
});
