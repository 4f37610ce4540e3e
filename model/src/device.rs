//! Where the network computes.

use std::{fmt, str::FromStr};

/// What a person asks for: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if libtorch sees one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this index.
    Cuda(usize),
}

impl DeviceChoice {
    /// Finds the device.
    ///
    /// # Errors
    /// A CUDA device was named that libtorch does not see.
    pub fn resolve(self) -> Result<Device, DeviceError> {
        if self == Self::Cpu {
            return Ok(Device::CPU);
        }
        // Before libtorch is asked: it remembers what it had when it first was.
        if let Err(error) = torch_ffi::load_cuda() {
            tracing::warn!(%error, "the CUDA part of libtorch was found but cannot be loaded");
        }
        let found = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
        match self {
            Self::Auto if found > 0 => Ok(Device(tch::Device::Cuda(0))),
            Self::Auto | Self::Cpu => Ok(Device::CPU),
            Self::Cuda(index) if index < found => Ok(Device(tch::Device::Cuda(index))),
            Self::Cuda(index) => Err(DeviceError::Absent { index, found }),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Unknown {
                    text: text.to_owned(),
                }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// A device that is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Device(pub(crate) tch::Device);

impl Device {
    /// The CPU, which is always there.
    pub const CPU: Self = Self(tch::Device::Cpu);
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            tch::Device::Cuda(index) => write!(f, "cuda:{index}"),
            _ => f.write_str("cpu"),
        }
    }
}

/// Why there is no such device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not the name of a device.
    #[error("unknown device {text:?}: use auto, cpu, cuda or cuda:N")]
    Unknown {
        /// What was given.
        text: String,
    },
    /// libtorch sees fewer CUDA devices.
    #[error(
        "no device cuda:{index}: libtorch sees {found} CUDA devices; use --device cpu, or build with a libtorch for CUDA \
         (LIBTORCH=$(cargo xtask libtorch --cuda))"
    )]
    Absent {
        /// The index asked for.
        index: usize,
        /// How many there are.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(
                name.parse().as_ref().map(DeviceChoice::to_string),
                Ok(name.to_owned())
            );
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"] {
            assert!(wrong.parse::<DeviceChoice>().is_err());
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        assert_eq!(DeviceChoice::Cpu.resolve(), Ok(Device::CPU));
        assert!(matches!(
            DeviceChoice::Cuda(4096).resolve(),
            Err(DeviceError::Absent { index: 4096, .. })
        ));
    }
}
