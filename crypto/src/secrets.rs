//! That every type that holds a secret is erased when dropped and can be neither copied, printed nor stored by
//! accident (PROTOCOL 7). A line that is not true does not compile.

use side_channels::assert_secrets;

use crate::{ckks, hash, ring, sealed_sum};

assert_secrets!(
    hash::SecretKey32,
    ring::Coefficients,
    ring::Evaluations,
    ring::Prg,
    sealed_sum::Contribution,
    sealed_sum::OpenedSum,
    sealed_sum::PackedMessage,
    sealed_sum::Seed,
    sealed_sum::Share,
    sealed_sum::TagKey,
    sealed_sum::UnlockVector,
    ckks::Plaintext,
    ckks::SecretKey,
);

/// Those that hold words or bytes themselves; the others, and they, are dropped field by field.
fn assert_erased_on_drop<T: zeroize::ZeroizeOnDrop>() {}

#[test]
fn what_holds_words_erases_them() {
    assert_erased_on_drop::<hash::SecretKey32>();
    assert_erased_on_drop::<ring::Coefficients>();
    assert_erased_on_drop::<ring::Evaluations>();
    assert_erased_on_drop::<sealed_sum::OpenedSum>();
    assert_erased_on_drop::<sealed_sum::PackedMessage>();
    assert_erased_on_drop::<sealed_sum::Seed>();
    assert_erased_on_drop::<sealed_sum::Share>();
    assert_erased_on_drop::<sealed_sum::TagKey>();
    assert_erased_on_drop::<sealed_sum::UnlockVector>();
}
