//! Text of a peer made fit for a log or a terminal.

/// Text of the peer's choice, for a log or a terminal: bounded, and without control characters.
pub(super) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|character| !character.is_control())
        .take(MAX_REASON_CHARACTERS)
        .collect()
}

const MAX_REASON_CHARACTERS: usize = 512;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_reason_is_short_and_printable(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let text = printable(&bytes);
            prop_assert!(text.chars().count() <= MAX_REASON_CHARACTERS);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
