//! What holds of every decoder. The tests `decoders` of `crypto` and of `seal-format` have it each, of the decoders that they list in
//! their `decoders()`.

use proptest::prelude::*;

use super::decoder::Decoder;
use super::decoders;

fn decoder() -> impl Strategy<Value = &'static Decoder> {
    prop::sample::select(decoders().collect::<Vec<_>>())
}

#[test]
fn what_was_encoded_is_accepted_and_nothing_shorter_or_longer() {
    for decoder in decoders() {
        for accepted in (decoder.accepted)() {
            let name = decoder.name;
            assert!(decoder.accepts(&accepted), "{name}");
            for length in [0, 1, accepted.len() / 2, accepted.len() - 1] {
                assert!(!decoder.accepts(&accepted[..length]), "{name}: {length}");
            }
            let longer = [&accepted[..], &[0]].concat();
            assert!(!decoder.accepts(&longer), "{name} and a byte");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_read_or_refused(
        decoder in decoder(),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        decoder.fuzz(&[&[0], &bytes[..]].concat());
    }

    #[test]
    fn edited_bytes_are_read_or_refused(
        decoder in decoder(),
        choice in 1..=u8::MAX,
        script in prop::collection::vec(any::<u8>(), 8..64),
    ) {
        decoder.fuzz(&[&[choice], &script[..]].concat());
    }
}
