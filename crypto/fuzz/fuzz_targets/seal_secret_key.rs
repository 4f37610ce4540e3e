#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    crypto_fuzz::seal_format::SEAL_SECRET_KEY.fuzz(input);
});
