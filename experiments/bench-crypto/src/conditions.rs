//! The machine that numbers come from, and what else it did.

use std::fs;

use serde::Serialize;

use super::{CryptoBench, REPETITIONS};

/// What a reader needs to judge the numbers of the cryptography by.
#[derive(Clone, Debug, Serialize)]
pub struct Conditions {
    profile: String,
    threads: u32,
    clock: &'static str,
    rounds: usize,
    repetitions_per_round: usize,
    sums: usize,
    #[serde(flatten)]
    machine: Machine,
}

/// The machine and what else it does. What it does not tell is null.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    processor: Option<String>,
    cores: Option<usize>,
    vector_instructions: &'static str,
    /// One minute's average of the programs that want to run, this one included.
    load_at_start: Option<f64>,
    load_at_end: Option<f64>,
}

impl Conditions {
    /// Looks at the machine.
    pub fn at_start(bench: &CryptoBench) -> Self {
        Self {
            profile: bench.profile.to_string(),
            threads: 1,
            clock: bench.clock.name(),
            rounds: bench.rounds,
            repetitions_per_round: REPETITIONS,
            sums: bench.sums,
            machine: Machine::at_start(),
        }
    }

    /// Looks again at what changes.
    pub fn at_end(&mut self) {
        self.machine.at_end();
    }

    /// One line for a person.
    pub fn line(&self) -> String {
        format!(
            "{}, one thread, {} clock, {} rounds of {} and {} sums, {}",
            self.machine.kind(),
            self.clock,
            self.rounds,
            self.repetitions_per_round,
            self.sums,
            self.machine.load(),
        )
    }
}

impl Machine {
    /// Looks at it.
    pub fn at_start() -> Self {
        Self {
            processor: processor(),
            cores: std::thread::available_parallelism()
                .ok()
                .map(std::num::NonZero::get),
            vector_instructions: vector_instructions(),
            load_at_start: load(),
            load_at_end: None,
        }
    }

    /// Looks again at what changes.
    pub fn at_end(&mut self) {
        self.load_at_end = load();
    }

    /// The processor and what it can do, for a person.
    pub fn kind(&self) -> String {
        let processor = self.processor.as_deref().unwrap_or("an unknown processor");
        format!("{processor}, {}", self.vector_instructions)
    }

    /// How busy it was, for a person.
    pub fn load(&self) -> String {
        let load = |load: Option<f64>| load.map_or("?".to_owned(), |load| format!("{load:.2}"));
        format!(
            "load {} to {}",
            load(self.load_at_start),
            load(self.load_at_end)
        )
    }
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn load() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// The best of the kinds that the libraries choose between when they start.
fn vector_instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512ifma") {
            return "AVX-512 with IFMA";
        }
        if is_x86_feature_detected!("avx512f") {
            return "AVX-512";
        }
        if is_x86_feature_detected!("avx2") {
            return "AVX2";
        }
    }
    "portable"
}
