//! How much of a GPU's memory the trainer may take, as libtorch is told: in an environment variable, which a launcher hands on.

use std::env;

/// A share in percent, from 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuMemoryShare(u8);

impl GpuMemoryShare {
    /// None unless it is from 1 to 100.
    pub fn new(percent: u8) -> Option<Self> {
        (1..=ALL).contains(&percent).then_some(Self(percent))
    }

    /// In percent.
    pub fn percent(self) -> u8 {
        self.0
    }

    /// The variable for the trainer; none where it may take all.
    pub(super) fn variable(self) -> Option<(&'static str, String)> {
        let set = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        self.beside(set(OF_CUDA), set(OF_ALL_DEVICES))
    }

    /// Added to what the user of the program has set. libtorch reads the older variable first, and the other one only where that is not
    /// there, even where it is empty.
    fn beside(
        self,
        of_cuda: Option<String>,
        of_all_devices: Option<String>,
    ) -> Option<(&'static str, String)> {
        if self.0 == ALL {
            return None;
        }
        let (name, given) = match of_cuda {
            Some(given) => (OF_CUDA, given),
            None => (OF_ALL_DEVICES, of_all_devices.unwrap_or_default()),
        };
        let mut fraction = f64::from(self.0) / f64::from(ALL);
        let mut entries = Vec::new();
        for entry in entries_of(&given) {
            match entry.split_once(':') {
                Some((key, value)) if key.trim() == FRACTION => {
                    // Who asks for less gets less.
                    let less = value.trim().parse().ok();
                    fraction = less
                        .filter(|less| (0.0..fraction).contains(less))
                        .unwrap_or(fraction);
                }
                _ => entries.push(entry.to_owned()),
            }
        }
        entries.push(format!("{FRACTION}:{fraction}"));
        Some((name, entries.join(",")))
    }
}

impl Default for GpuMemoryShare {
    fn default() -> Self {
        Self(ALL)
    }
}

/// `key:value,key:[value,value]`, cut at the commas that are in no list.
fn entries_of(text: &str) -> impl Iterator<Item = &str> {
    let mut in_list = false;
    let between = move |letter| {
        match letter {
            '[' => in_list = true,
            ']' => in_list = false,
            _ => {}
        }
        letter == ',' && !in_list
    };
    let entries = text.split(between).map(str::trim);
    entries.filter(|entry| !entry.is_empty())
}

const ALL: u8 = 100;
const OF_CUDA: &str = "PYTORCH_CUDA_ALLOC_CONF";
const OF_ALL_DEVICES: &str = "PYTORCH_ALLOC_CONF";
const FRACTION: &str = "per_process_memory_fraction";

#[cfg(test)]
mod tests {
    use super::*;

    fn half(of_cuda: Option<&str>, of_all_devices: Option<&str>) -> Option<(&'static str, String)> {
        let share = GpuMemoryShare::new(50).expect("in range");
        share.beside(
            of_cuda.map(str::to_owned),
            of_all_devices.map(str::to_owned),
        )
    }

    #[test]
    fn a_share_is_from_1_to_100() {
        for percent in [0, 101, 255] {
            assert_eq!(GpuMemoryShare::new(percent), None);
        }
        let all = GpuMemoryShare::new(100).expect("in range");
        assert_eq!(all, GpuMemoryShare::default());
        assert_eq!(all.beside(Some("a:b".into()), None), None);
    }

    #[test]
    fn the_variable_that_libtorch_reads_first_keeps_what_it_says() {
        let fraction = "per_process_memory_fraction:0.5";
        for (of_cuda, of_all, name, value) in [
            (None, None, OF_ALL_DEVICES, fraction.to_owned()),
            (
                None,
                Some("expandable_segments:True"),
                OF_ALL_DEVICES,
                format!("expandable_segments:True,{fraction}"),
            ),
            (Some(""), Some("a:1"), OF_CUDA, fraction.to_owned()),
            (
                Some("roundup_power2_divisions:[256:1,>:2], max_split_size_mb:64,"),
                None,
                OF_CUDA,
                format!("roundup_power2_divisions:[256:1,>:2],max_split_size_mb:64,{fraction}"),
            ),
        ] {
            assert_eq!(half(of_cuda, of_all), Some((name, value)));
        }
    }

    #[test]
    fn of_two_shares_the_smaller_one_holds() {
        for (theirs, holds) in [("0.3", "0.3"), ("0.7", "0.5"), ("-1", "0.5"), ("?", "0.5")] {
            let given = format!("a:1,{FRACTION}:{theirs},b:2");
            let (_, value) = half(None, Some(&given)).expect("a share");
            assert_eq!(value, format!("a:1,b:2,{FRACTION}:{holds}"));
        }
    }
}
