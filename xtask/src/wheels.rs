//! The files libtorch is taken from: wheels of the Python package index, pinned by hash.

/// The libtorch that tch 0.24.0 binds; the pair is exact.
pub const LIBTORCH_VERSION: &str = "2.11.0";

/// What libtorch is to compute on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Processors only: a fifth of the download.
    Cpu,
    /// NVIDIA's GPUs as well.
    Cuda,
}

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

impl Build {
    /// The end of its folder's name, and what the unpacking script is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }

    /// torch for Python 3.11, after the CUDA libraries it is linked with, of which even its CPU part needs two: where the index
    /// cannot be reached, the small ones say so at once.
    pub fn wheels(self) -> &'static [Wheel] {
        match self {
            Self::Cpu => &CPU_WHEELS,
            Self::Cuda => &CUDA_WHEELS,
        }
    }
}

const CPU_WHEELS: [Wheel; 3] = [CUDA_RUNTIME, CUPTI, TORCH];

const CUDA_RUNTIME: Wheel = Wheel {
    package: "nvidia-cuda-runtime",
    version: "13.0.96",
    platform: "manylinux2014_x86_64",
    sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    megabytes: 2,
};

const CUPTI: Wheel = Wheel {
    package: "nvidia-cuda-cupti",
    version: "13.0.85",
    platform: "manylinux_2_25_x86_64",
    sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    megabytes: 11,
};

const TORCH: Wheel = Wheel {
    package: "torch",
    version: LIBTORCH_VERSION,
    platform: "manylinux_2_28_x86_64",
    sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
    megabytes: 531,
};

/// What torch 2.11.0 itself asks for, but for what only its Python needs.
const CUDA_WHEELS: [Wheel; 16] = [
    CUDA_RUNTIME,
    CUPTI,
    Wheel {
        package: "nvidia-cufile",
        version: "1.15.1.6",
        platform: "manylinux2014_x86_64",
        sha256: "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44",
        megabytes: 1,
    },
    Wheel {
        package: "nvidia-nvtx",
        version: "13.0.85",
        platform: "manylinux1_x86_64",
        sha256: "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4",
        megabytes: 1,
    },
    Wheel {
        package: "nvidia-nvjitlink",
        version: "13.0.88",
        platform: "manylinux2010_x86_64",
        sha256: "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b",
        megabytes: 41,
    },
    Wheel {
        package: "nvidia-curand",
        version: "10.4.0.35",
        platform: "manylinux_2_27_x86_64",
        sha256: "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
        megabytes: 60,
    },
    Wheel {
        package: "nvidia-nvshmem-cu13",
        version: "3.4.5",
        platform: "manylinux2014_x86_64",
        sha256: "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
        megabytes: 60,
    },
    Wheel {
        package: "nvidia-cuda-nvrtc",
        version: "13.0.88",
        platform: "manylinux2010_x86_64",
        sha256: "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
        megabytes: 90,
    },
    Wheel {
        package: "nvidia-cusparse",
        version: "12.6.3.3",
        platform: "manylinux2014_x86_64",
        sha256: "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b",
        megabytes: 146,
    },
    Wheel {
        package: "nvidia-cusparselt-cu13",
        version: "0.8.0",
        platform: "manylinux2014_x86_64",
        sha256: "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd",
        megabytes: 170,
    },
    Wheel {
        package: "nvidia-nccl-cu13",
        version: "2.28.9",
        platform: "manylinux_2_18_x86_64",
        sha256: "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42",
        megabytes: 197,
    },
    Wheel {
        package: "nvidia-cusolver",
        version: "12.0.4.66",
        platform: "manylinux_2_27_x86_64",
        sha256: "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112",
        megabytes: 201,
    },
    Wheel {
        package: "nvidia-cufft",
        version: "12.0.0.61",
        platform: "manylinux2014_x86_64",
        sha256: "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
        megabytes: 214,
    },
    Wheel {
        package: "nvidia-cudnn-cu13",
        version: "9.19.0.56",
        platform: "manylinux_2_27_x86_64",
        sha256: "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf",
        megabytes: 366,
    },
    Wheel {
        package: "nvidia-cublas",
        version: "13.1.0.3",
        platform: "manylinux_2_27_x86_64",
        sha256: "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171",
        megabytes: 423,
    },
    TORCH,
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
        let [_, cupti, torch] = &CPU_WHEELS;
        assert!(torch.is_named("torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl"));
        assert!(!torch.is_named("torch-2.11.00-cp311-cp311-manylinux_2_28_x86_64.whl"));
        assert!(!torch.is_named("torchvision-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl"));
        assert!(!torch.is_named("torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl.part"));
        assert!(cupti.is_named("nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl"));
    }

    #[test]
    fn the_wheels_for_cuda_are_those_for_the_cpu_and_more() {
        let names = |build: Build| build.wheels().iter().map(|wheel| wheel.package);
        let cuda: Vec<_> = names(Build::Cuda).collect();
        assert!(names(Build::Cpu).all(|name| cuda.contains(&name)));
        assert_eq!(cuda.last(), Some(&"torch"));
        assert!(cuda.contains(&"nvidia-cudnn-cu13") && cuda.contains(&"nvidia-cublas"));
    }

    #[test]
    fn every_requirement_pins_a_whole_hash() {
        for wheel in &CUDA_WHEELS {
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
