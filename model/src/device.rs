//! Where the network computes.

use std::{fmt, sync::Once};

use protocol::training_job::DeviceChoice;

/// A device that is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Device(pub(crate) tch::Device);

impl Device {
    /// The CPU, which is always there.
    pub const CPU: Self = Self(tch::Device::Cpu);

    /// Loads what libtorch needs for this choice, unless that has happened: for CUDA a library of its own, which libtorch finds by name.
    /// [`Device::find`] does so itself; one that will not be able to open files any more does it before.
    pub fn load_libraries(choice: DeviceChoice) {
        static CUDA: Once = Once::new();
        if choice != DeviceChoice::Cpu {
            CUDA.call_once(|| {
                if let Err(error) = torch_ffi::load_cuda() {
                    tracing::warn!(%error, "the CUDA part of libtorch is there but cannot be loaded");
                }
            });
        }
    }

    /// Finds the device that a person asks for.
    ///
    /// # Errors
    /// A CUDA device was named that libtorch does not see.
    pub fn find(choice: DeviceChoice) -> Result<Self, DeviceError> {
        if choice == DeviceChoice::Cpu {
            return Ok(Self::CPU);
        }
        // Before libtorch is asked: it remembers what it had when it first was.
        Self::load_libraries(choice);
        let found = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
        match choice {
            DeviceChoice::Auto if found > 0 => Ok(Self(tch::Device::Cuda(0))),
            DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Self::CPU),
            DeviceChoice::Cuda(index) if index < found => Ok(Self(tch::Device::Cuda(index))),
            DeviceChoice::Cuda(index) => Err(DeviceError { index, found }),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            tch::Device::Cuda(index) => write!(f, "cuda:{index}"),
            _ => f.write_str("cpu"),
        }
    }
}

/// libtorch sees fewer CUDA devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no device cuda:{index}: libtorch sees {found} CUDA devices; use --device cpu, or build with a libtorch for CUDA \
     (LIBTORCH=$(cargo xtask libtorch --cuda))"
)]
pub struct DeviceError {
    /// The index asked for.
    pub index: usize,
    /// How many there are.
    pub found: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        assert_eq!(Device::find(DeviceChoice::Cpu), Ok(Device::CPU));
        assert!(matches!(
            Device::find(DeviceChoice::Cuda(4096)),
            Err(DeviceError { index: 4096, .. })
        ));
    }
}
