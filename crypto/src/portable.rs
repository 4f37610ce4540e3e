//! The tests again on a processor with narrower vectors than this one: `.ci/run` has qemu simulate one without any (the plain code
//! of every kernel and of the transforms, the same that is compiled for aarch64) and one with AVX2 alone. Each has to give the same
//! answers.

/// The run is not one of another path by mistake.
#[test]
fn this_processor_has_the_vectors_that_the_environment_says() {
    let Some(expected) = std::env::var_os("MYELIN_REQUIRE_VECTORS") else {
        return;
    };
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected;

        use pulp::x86::{V3, V4};

        let found = [V3::try_new().is_some(), V4::try_new().is_some()];
        match expected.to_str() {
            Some("none") => {
                assert!(!is_x86_feature_detected!("avx2"), "this processor has AVX2");
                assert_eq!(found, [false, false]);
            }
            Some("avx2") => assert_eq!(found, [true, false]),
            _ => panic!(
                "MYELIN_REQUIRE_VECTORS is none or avx2, not {}",
                expected.display()
            ),
        }
        assert!(
            !is_x86_feature_detected!("avx512f"),
            "this processor has AVX-512"
        );
    }
}

/// The loops over rows too: which widths they are compiled for is a matter of features of `pulp`, that nothing else would miss.
#[cfg(target_arch = "x86_64")]
#[test]
fn rows_use_the_widest_vectors() {
    use pulp::Arch;
    use pulp::x86::{V3, V4};

    let arch = Arch::new();
    let used = [matches!(arch, Arch::V3(_)), matches!(arch, Arch::V4(_))];
    let wide = V4::try_new().is_some();
    assert_eq!(used, [!wide && V3::try_new().is_some(), wide]);
}
