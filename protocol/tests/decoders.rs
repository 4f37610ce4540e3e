//! Any bytes are a message or an error: what the fuzz target runs, on a few inputs in every test.

#[path = "../../crypto/fuzz/src/decoder.rs"]
mod decoder;
#[path = "../../crypto/fuzz/src/edits.rs"]
mod edits;
#[path = "../fuzz/src/messages.rs"]
mod messages;

use proptest::prelude::*;

use messages::{ALL, all};

use decoder::Decoder;

fn decoders() -> Vec<&'static Decoder> {
    all().collect()
}

#[test]
fn what_was_encoded_is_accepted_and_nothing_shorter_or_longer() {
    for message in ALL {
        for accepted in (message.accepted)() {
            let name = message.name;
            assert!(message.accepts(&accepted), "{name}");
            for length in 0..accepted.len().min(300) {
                assert!(!message.accepts(&accepted[..length]), "{name}: {length}");
            }
            assert!(!message.accepts(&accepted[..accepted.len() - 1]), "{name}");
            let longer = [&accepted[..], &[0]].concat();
            assert!(!message.accepts(&longer), "{name} and a byte");
        }
    }
}

#[test]
fn texts_that_were_written_are_accepted() {
    for text in messages::TEXTS {
        for accepted in (text.accepted)() {
            assert!(text.accepts(&accepted), "{}", text.name);
            let half = &accepted[..accepted.len() / 2];
            assert!(!text.accepts(half), "{}", text.name);
        }
    }
}

/// A frame of another version is refused, whatever follows.
#[test]
fn frames_have_a_version() {
    for message in &ALL[..2] {
        for mut frame in (message.accepted)() {
            frame[0] ^= 3;
            assert!(!message.accepts(&frame), "{}", message.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(1000)
    })]

    #[test]
    fn any_bytes_are_read_or_refused(
        message in prop::sample::select(decoders()),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        message.fuzz(&[&[0], &bytes[..]].concat());
    }

    #[test]
    fn edited_bytes_are_read_or_refused(
        message in prop::sample::select(decoders()),
        choice in 1..=u8::MAX,
        script in prop::collection::vec(any::<u8>(), 8..64),
    ) {
        message.fuzz(&[&[choice], &script[..]].concat());
    }
}
