//! That every type that holds a secret is erased when dropped and can be neither copied, printed nor stored by
//! accident (PROTOCOL 7). A line that is not true does not compile.

use static_assertions::assert_not_impl_any;

use crate::{ckks, hash, ring, seal_format, sealed_sum};

macro_rules! secrets {
    ($($secret:ty),+ $(,)?) => { $(
        assert_not_impl_any!(
            $secret: Clone, Copy, std::fmt::Debug, std::fmt::Display, serde::Serialize, PartialEq, std::hash::Hash
        );
        const _: () = assert!(std::mem::needs_drop::<$secret>());
    )+ };
}

secrets!(
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
    seal_format::TensealContext,
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
