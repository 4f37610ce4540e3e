//! Whether work on a secret depends on the secret (PROTOCOL 7).
//!
//! Each [`Operation`] is done on three secrets: all zeros, all ones, and bits without a pattern. Three processes do
//! so under callgrind, which executes them on a simulated processor and counts: instructions, reads, writes,
//! branches, mispredicted branches and cache misses. As long as no branch and no address depends on the secret, the
//! counts are equal to the last digit. Operations that leak on purpose show that each kind of leak is seen.
//!
//! The simulated processor has AVX2 but not AVX-512. For the real one there is a test of the times taken, which is
//! run by hand: `docs/SIDE_CHANNELS.md` tells how, and what all this does not show.
//!
//! A crate lists its operations and makes the tests of them with [`constant_time_tests!`](crate::constant_time_tests).

mod callgrind;
mod leaks;
mod secret;
mod timing;

use callgrind::Counts;
use leaks::LEAKS;
pub use secret::Secret;
pub use timing::assert_times_agree;

/// One piece of work on a secret.
pub struct Operation {
    /// For messages.
    pub name: &'static str,
    /// Does what is to be done beforehand, with the secret too, and gives the part that is looked at.
    pub prepare: fn(Secret) -> Work,
}

/// The part of an operation that is looked at.
pub type Work = Box<dyn FnMut()>;

/// Callgrind counts what happens between entering and leaving this function, which it knows by its name.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
    // Or the call would be the last instruction, a jump, and there would be nothing to leave.
    std::hint::black_box(());
}

/// The tests of a crate's operations, a `&[&[Operation]]`: of counts, the work that callgrind looks at, and of times.
///
/// They are called `counts_do_not_depend_on_the_secret`, `work_on_the_secret_named_in_the_environment` and
/// `times_do_not_depend_on_the_secret`, in the module that the macro stands in.
#[macro_export]
macro_rules! constant_time_tests {
    ($operations:expr) => {
        #[test]
        fn counts_do_not_depend_on_the_secret() {
            let worker = concat!(
                module_path!(),
                "::work_on_the_secret_named_in_the_environment"
            );
            $crate::constant_time::assert_counts_agree($operations, worker);
        }

        /// The process that callgrind looks at.
        #[test]
        #[ignore = "counts_do_not_depend_on_the_secret runs it, under callgrind"]
        fn work_on_the_secret_named_in_the_environment() {
            $crate::constant_time::work_on_the_named_secret($operations);
        }

        #[test]
        #[ignore = "takes a minute of a quiet machine; `--nocapture` shows the table"]
        fn times_do_not_depend_on_the_secret() {
            $crate::constant_time::assert_times_agree($operations);
        }
    };
}

/// Counts the operations under callgrind. Skips where there is no valgrind, unless `MYELIN_REQUIRE_VALGRIND` is set.
///
/// `worker` is the path of the test that calls [`work_on_the_named_secret`] with the same operations.
///
/// # Panics
/// If the counts of an operation differ between secrets, or those of a leak on purpose do not.
pub fn assert_counts_agree(operations: &[&[Operation]], worker: &str) {
    let operations: Vec<_> = operations.iter().copied().flatten().collect();
    let Some(counts) = counts_of_all_secrets(worker, operations.len() + LEAKS.len()) else {
        return;
    };
    let mut places = 0..;
    let mut of_secrets = || {
        let place = places.next().expect("an endless range");
        counts.each_ref().map(|counts| &counts[place])
    };
    let mut leaking = vec![];
    for operation in operations {
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

/// Does every operation and every leak on the secret that the environment names.
///
/// # Panics
/// If the environment names none.
pub fn work_on_the_named_secret(operations: &[&[Operation]]) {
    let name = std::env::var(callgrind::SECRET_VARIABLE).expect("set by whoever starts this");
    let secret = Secret::named(&name).expect("the name of a secret");
    // This thread is the whole pool, so that what is handed to other threads is seen as well.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build_global();
    pool.expect("no pool was made before");
    for operation in operations.iter().copied().flatten().chain(LEAKS) {
        let mut work = (operation.prepare)(secret);
        // What is made once and then kept, such as tables, is no part of the work.
        work();
        measured(&mut *work);
    }
}

/// The counts of so many calls of [`measured`], for each secret; nothing where there is no valgrind.
fn counts_of_all_secrets(worker: &str, calls: usize) -> Option<[Vec<Counts>; Secret::ALL.len()]> {
    if !callgrind::is_there() {
        let required = std::env::var_os("MYELIN_REQUIRE_VALGRIND").is_some();
        assert!(!required, "valgrind is required and was not found");
        eprintln!("skipped: install valgrind, for instance with `apt-get install valgrind`");
        return None;
    }
    let runs = Secret::ALL.map(|secret| callgrind::Run::start(secret, worker));
    Some(runs.map(|run| run.counts(calls)))
}
