//! What the tests of `crypto` and `seal-format` share, so that both show the same of their secrets (`docs/SIDE_CHANNELS.md`).
//!
//! | module | what it shows |
//! |---|---|
//! | [`constant_time`] | no branch and no address depends on a secret |
//! | [`memory`] | what was erased lies nowhere in the memory of the process |
//! | [`assert_secrets`] | a type that holds a secret is erased when dropped, and can be neither copied nor printed |
//!
//! It knows nothing of the cryptography and is part of no program.

#![forbid(unsafe_code)]

pub mod constant_time;
#[cfg(target_os = "linux")]
pub mod memory;

#[doc(hidden)]
pub use serde::Serialize;
#[doc(hidden)]
pub use static_assertions::assert_not_impl_any;

/// That each type is erased when dropped and can be neither copied, printed nor stored by accident (PROTOCOL 7). Where one can, the
/// line does not compile.
///
/// ```
/// struct Key(zeroize::Zeroizing<[u8; 32]>);
/// side_channels::assert_secrets!(Key);
/// ```
///
/// ```compile_fail
/// #[derive(Clone)]
/// struct Key(zeroize::Zeroizing<[u8; 32]>);
/// side_channels::assert_secrets!(Key);
/// ```
#[macro_export]
macro_rules! assert_secrets {
    ($($secret:ty),+ $(,)?) => { $(
        $crate::assert_not_impl_any!(
            $secret: Clone, Copy, ::std::fmt::Debug, ::std::fmt::Display, $crate::Serialize, PartialEq, ::std::hash::Hash
        );
        const _: () = assert!(::std::mem::needs_drop::<$secret>());
    )+ };
}
