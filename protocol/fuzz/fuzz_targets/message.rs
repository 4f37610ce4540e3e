#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some((&choice, input)) = input.split_first() {
        let messages = protocol_fuzz::messages::ALL;
        messages[usize::from(choice) % messages.len()].fuzz(input);
    }
});
