//! Whether work on a secret depends on the secret (PROTOCOL 7).
//!
//! Each [`Operation`] is done on three secrets: all zeros, all ones, and bits without a pattern. Three processes do
//! so under callgrind, which executes them on a simulated processor and counts: instructions, reads, writes,
//! branches, mispredicted branches and cache misses. As long as no branch and no address depends on the secret, the
//! counts are equal to the last digit. Operations that leak on purpose show that each kind of leak is seen.
//!
//! The simulated processor has AVX2 but not AVX-512. For the real one there is a test of the times taken, which is
//! run by hand: `docs/SIDE_CHANNELS.md` tells how, and what all this does not show.

mod callgrind;
mod leaks;
mod secret;
mod timing;

use callgrind::Counts;
use leaks::LEAKS;
pub(crate) use secret::Secret;

use crate::{ckks, ring, seal_format, sealed_sum};

/// One piece of work on a secret.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Does what is to be done beforehand, with the secret too, and gives the part that is looked at.
    pub(crate) prepare: fn(Secret) -> Work,
}

pub(crate) type Work = Box<dyn FnMut()>;

/// All that must not depend on the secret, module by module.
fn operations() -> impl Iterator<Item = &'static Operation> {
    let modules = [
        ring::constant_time::OPERATIONS,
        sealed_sum::constant_time::OPERATIONS,
        ckks::constant_time::OPERATIONS,
        seal_format::constant_time::OPERATIONS,
    ];
    modules.into_iter().flatten()
}

/// Callgrind counts what happens between entering and leaving this function, which it knows by its name.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
    // Or the call would be the last instruction, a jump, and there would be nothing to leave.
    std::hint::black_box(());
}

#[test]
fn counts_do_not_depend_on_the_secret() {
    let Some(counts) = counts_of_all_secrets() else {
        return;
    };
    let mut places = 0..;
    let mut of_secrets = || {
        let place = places.next().expect("an endless range");
        counts.each_ref().map(|counts| &counts[place])
    };
    let mut leaking = vec![];
    for operation in operations() {
        let counts = of_secrets();
        let [first, ..] = counts;
        assert!(first.instructions > 1000, "{}: {first:?}", operation.name);
        if counts.iter().any(|counts| !counts.agree(first)) {
            leaking.push((operation.name, counts));
        }
    }
    assert!(leaking.is_empty(), "{leaking:#?}");
    for leak in LEAKS {
        let counts = of_secrets();
        assert!(
            counts.iter().any(|other| !other.agree(counts[0])),
            "{} went unseen: {counts:#?}",
            leak.name
        );
    }
}

/// The process that callgrind looks at.
#[test]
#[ignore = "counts_do_not_depend_on_the_secret runs it, under callgrind"]
fn work_on_the_secret_named_in_the_environment() {
    let name = std::env::var(callgrind::SECRET_VARIABLE).expect("set by whoever starts this");
    let secret = Secret::named(&name).expect("the name of a secret");
    // This thread is the whole pool, so that what is handed to other threads is seen as well.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build_global();
    pool.expect("no pool was made before");
    for operation in operations().chain(LEAKS) {
        let mut work = (operation.prepare)(secret);
        // What is made once and then kept, such as tables, is no part of the work.
        work();
        measured(&mut *work);
    }
}

/// The counts of every operation and every leak, for each secret; nothing where there is no valgrind.
fn counts_of_all_secrets() -> Option<[Vec<Counts>; Secret::ALL.len()]> {
    if !callgrind::is_there() {
        let required = std::env::var_os("MYELIN_REQUIRE_VALGRIND").is_some();
        assert!(!required, "valgrind is required and was not found");
        eprintln!("skipped: install valgrind, for instance with `apt-get install valgrind`");
        return None;
    }
    let runs = Secret::ALL.map(callgrind::Run::start);
    let count = operations().count() + LEAKS.len();
    Some(runs.map(|run| run.counts(count)))
}
