#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((&choice, input)) = input.split_first() {
        let mut decoders = protocol_fuzz::messages::all();
        let choice = usize::from(choice) % decoders.clone().count();
        if let Some(decoder) = decoders.nth(choice) {
            decoder.fuzz(input);
        }
    }
});
