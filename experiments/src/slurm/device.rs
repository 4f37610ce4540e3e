//! Where the tasks of a job array compute.

use anyhow::bail;
use protocol::training_job::DeviceChoice;

/// Whether each task asks Slurm for a GPU.
///
/// # Errors
/// A device that is not the same one for every task.
pub fn needs_gpu(device: DeviceChoice) -> anyhow::Result<bool> {
    match device {
        DeviceChoice::Cpu => Ok(false),
        DeviceChoice::Cuda(0) => Ok(true),
        DeviceChoice::Cuda(_) => bail!(
            "--device {device}: under Slurm a task sees only the GPU that it was given, as the first one; give --device cuda"
        ),
        DeviceChoice::Auto => bail!(
            "--device auto: under Slurm a task has a GPU only where the script asks for one; give --device cuda for a GPU a task, or \
             --device cpu"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_the_first_gpu_or_none() {
        let of = |device: &str| needs_gpu(device.parse().expect("a device"));
        for (device, needs) in [("cpu", false), ("cuda", true), ("cuda:0", true)] {
            assert_eq!(of(device).expect("fine"), needs);
        }
        for device in ["cuda:1", "auto"] {
            let refused = of(device).expect_err("refused").to_string();
            assert!(refused.contains(device), "{refused}");
            assert!(refused.contains("give --device cuda"), "{refused}");
        }
    }
}
