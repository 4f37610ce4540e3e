//! The tests again on a processor without wide vectors: `.ci/run` has qemu simulate one, and the plain code of every kernel
//! and of the transforms, the same that is compiled for aarch64, has to give the same answers.

/// The run is not one of the fast paths by mistake.
#[test]
fn this_processor_is_as_plain_as_the_environment_says() {
    if std::env::var_os("MYELIN_REQUIRE_PORTABLE").is_none() {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    {
        let fast = [
            ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
            ("AVX-512", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        for (name, there) in fast {
            assert!(!there, "this processor has {name}");
        }
        assert!(pulp::x86::V3::try_new().is_none() && pulp::x86::V4::try_new().is_none());
    }
}
