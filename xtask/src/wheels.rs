//! The files libtorch is taken from: three wheels of the Python package index, pinned by hash.

/// The libtorch that tch 0.24.0 binds; the pair is exact.
pub const LIBTORCH_VERSION: &str = "2.11.0";

/// One wheel.
pub struct Wheel {
    /// The package's name in the index.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The platform tag it is published under: pip takes the one it is told, and not an older one it implies.
    pub platform: &'static str,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: &'static str,
    /// Size of the file, to tell how long it will take.
    pub megabytes: u32,
}

/// torch for Python 3.11, after the two CUDA libraries that even its CPU part is linked with: where the index cannot be
/// reached, the small ones say so at once.
pub const WHEELS: [Wheel; 3] = [
    Wheel {
        package: "nvidia-cuda-runtime",
        version: "13.0.96",
        platform: "manylinux2014_x86_64",
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        megabytes: 2,
    },
    Wheel {
        package: "nvidia-cuda-cupti",
        version: "13.0.85",
        platform: "manylinux_2_25_x86_64",
        sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        megabytes: 11,
    },
    Wheel {
        package: "torch",
        version: LIBTORCH_VERSION,
        platform: "manylinux_2_28_x86_64",
        sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        megabytes: 531,
    },
];

impl Wheel {
    /// The line of a requirements file that makes pip itself refuse any other file.
    pub fn requirement(&self) -> String {
        format!(
            "{}=={} --hash=sha256:{}\n",
            self.package, self.version, self.sha256
        )
    }

    /// Whether a file name is this wheel's; the index spells a package's dashes as underscores there.
    pub fn is_named(&self, file_name: &str) -> bool {
        let stem = format!("{}-{}-", self.package.replace('-', "_"), self.version);
        file_name.starts_with(&stem) && file_name.ends_with(".whl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_is_known_by_package_and_version() {
        let [_, cupti, torch] = &WHEELS;
        assert!(torch.is_named("torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl"));
        assert!(!torch.is_named("torch-2.11.00-cp311-cp311-manylinux_2_28_x86_64.whl"));
        assert!(!torch.is_named("torchvision-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl"));
        assert!(!torch.is_named("torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl.part"));
        assert!(cupti.is_named("nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl"));
    }

    #[test]
    fn every_requirement_pins_a_whole_hash() {
        for wheel in &WHEELS {
            assert!(
                wheel.sha256.len() == 64
                    && wheel.sha256.bytes().all(|digit| digit.is_ascii_hexdigit())
            );
            assert_eq!(
                wheel.requirement(),
                format!(
                    "{}=={} --hash=sha256:{}\n",
                    wheel.package, wheel.version, wheel.sha256
                )
            );
        }
    }
}
