#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    seal_format_fuzz::files::SEAL_PUBLIC_KEY.fuzz(input);
});
