//! `coordinator run plan`.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use coordinator::{
    run_plan::{Assumed, Needs, RunPlan, Traffic},
    settings::Settings,
};
use host::{
    failure::Failure,
    key_files::NamedFile,
    output::{printable, say},
    settings::{environment, key_and_value},
    shown::Format,
};
use protocol::{counted::counted, manifest::Manifest};
use serde_json::{Value, json};

/// Says what a run will cost before anybody starts it: megabytes, seconds, disk and memory, of a hospital and of the coordinator.
///
/// What the settings do not say is assumed: give what you know of the largest hospital. Nothing is sent or written.
#[derive(Args)]
pub struct Plan {
    /// The settings of the run: a TOML file with the section [run] of coordinator.toml, or coordinator.toml itself.
    #[arg(value_name = "MANIFEST")]
    settings: PathBuf,

    /// Hospitals that take part, 2 to 100 [default: those of the roster].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=100))]
    hospitals: Option<u8>,

    /// Patients of a hospital.
    #[arg(long, value_name = "N", default_value_t = 60)]
    patients: u32,

    /// Slices that are used of each patient.
    #[arg(long, value_name = "N", default_value_t = 16)]
    slices: u32,

    /// What a hospital's line carries each way, in megabits a second.
    #[arg(long, value_name = "RATE", default_value_t = 50.0, value_parser = above_zero)]
    megabits: f64,

    /// A training step of one batch, in milliseconds; `cargo xtask bench training` measures it.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 300.0, value_parser = above_zero)]
    step_ms: f64,

    /// Set any key of the settings, for example --set run.rounds=16. May be given several times. A relative path
    /// starts at the current folder.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,

    /// For people, or one JSON object.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Plan {
    /// Runs the command.
    pub fn execute(self) -> Result<(), Failure> {
        let settings = Settings::load(&self.settings, environment(), &self.set);
        let settings = settings.map_err(Failure::settings)?;
        let manifest = settings.run().map_err(Failure::settings)?.manifest();
        let assumed = Assumed {
            hospitals: self.hospitals(&settings.roster)?,
            patients: self.patients,
            slices: self.slices,
            megabits: self.megabits,
            step_millis: self.step_ms,
        };
        let plan = RunPlan::of(&manifest, &assumed).map_err(Failure::settings)?;
        match self.format {
            Format::Text => say(printable(&text(&manifest, &assumed, &plan))),
            Format::Json => say(object(&manifest, &assumed, &plan)),
        }
        Ok(())
    }

    fn hospitals(&self, roster: &Path) -> Result<usize, Failure> {
        if let Some(hospitals) = self.hospitals {
            return Ok(hospitals.into());
        }
        if !roster.exists() {
            return Err(Failure::Settings(anyhow!(
                "there is no roster {} yet: say with --hospitals how many take part",
                roster.display()
            )));
        }
        let roster = NamedFile::new("roster", roster).roster();
        Ok(roster.map_err(Failure::settings)?.size())
    }
}

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("a number above 0 is needed".to_owned()),
    }
}

fn text(manifest: &Manifest, assumed: &Assumed, plan: &RunPlan) -> String {
    let hospitals = assumed.hospitals as u64;
    let line = |what: &str, one: u64, run: u64| {
        format!(
            "  {what:<32} {:>10} {:>12}\n",
            megabytes(one),
            megabytes(run)
        )
    };
    let traffic =
        |what: &str, of: Traffic, times: u64| line(what, times * of.round, times * of.run);
    let needs = |what: &str, needs: Needs| line(what, needs.disk, needs.memory);
    let seconds = &plan.seconds;
    format!(
        "{:?}: {}, conditioning {}, {hospitals} hospitals.\nAssumed of each: {} with {}, a line of {} Mbit/s each way, {} ms a training step.\n\n  {:<32} {:>10} {:>12}\n{}{}{}{}\n  {:<32} {:>10} {:>12}\n{}{}\nA round takes about {}: training {}, transfer {}, cryptography {}. The run takes about {}, beside the time in which\nhospitals join.\nIf every hospital takes part and nothing is sent twice; a round lasts as long as the slowest hospital's.",
        manifest.name.0,
        counted(plan.rounds, ["learning round", "learning rounds"]),
        manifest.conditioning,
        counted(assumed.patients, ["patient", "patients"]),
        counted(assumed.slices, ["slice", "slices"]),
        assumed.megabits,
        assumed.step_millis,
        "megabytes",
        "in a round",
        "in the run",
        traffic("a hospital sends", plan.up, 1),
        traffic("a hospital receives", plan.down, 1),
        traffic("the coordinator sends", plan.down, hospitals),
        traffic("the coordinator receives", plan.up, hospitals),
        "megabytes",
        "on disk",
        "in memory",
        needs("a hospital", plan.hospital),
        needs("the coordinator", plan.coordinator),
        duration(seconds.total()),
        duration(seconds.training),
        duration(seconds.transfer),
        duration(seconds.cryptography),
        duration(plan.run_secs),
    )
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 120.0 => format!("{short:.0} s"),
        middle if middle < 7200.0 => format!("{:.0} min", middle / 60.0),
        long => format!("{:.1} h", long / 3600.0),
    }
}

fn object(manifest: &Manifest, assumed: &Assumed, plan: &RunPlan) -> Value {
    let traffic = |of: Traffic| json!({"round": of.round, "run": of.run});
    let needs = |needs: Needs| json!({"disk_bytes": needs.disk, "memory_bytes": needs.memory});
    let seconds = &plan.seconds;
    json!({
        "schema": 1,
        "run": manifest.name.0,
        "rounds": plan.rounds,
        "conditioning": manifest.conditioning.as_str(),
        "assumed": {
            "hospitals": assumed.hospitals,
            "patients": assumed.patients,
            "slices": assumed.slices,
            "megabits_per_second": assumed.megabits,
            "step_milliseconds": assumed.step_millis,
        },
        "bytes_of_a_hospital": {"up": traffic(plan.up), "down": traffic(plan.down)},
        "seconds": {
            "training": seconds.training,
            "transfer": seconds.transfer,
            "cryptography": seconds.cryptography,
            "round": seconds.total(),
            "run": plan.run_secs,
        },
        "hospital": needs(plan.hospital),
        "coordinator": needs(plan.coordinator),
    })
}

#[cfg(test)]
mod tests {
    use coordinator::settings::RunSettings;

    use super::*;

    fn planned(hospitals: usize, megabits: f64) -> (Manifest, Assumed, RunPlan) {
        let manifest = RunSettings::default().manifest();
        let assumed = Assumed {
            hospitals,
            patients: 60,
            slices: 16,
            megabits,
            step_millis: 100.0,
        };
        let plan = RunPlan::of(&manifest, &assumed).expect("it fits");
        (manifest, assumed, plan)
    }

    #[test]
    fn a_run_is_told_in_megabytes_and_in_bytes() {
        let (manifest, assumed, plan) = planned(3, 50.0);
        let words = text(&manifest, &assumed, &plan);
        for part in ["8 learning rounds", "3 hospitals", "a hospital sends"] {
            assert!(words.contains(part), "{words}");
        }
        let json = object(&manifest, &assumed, &plan);
        // 672 slices are 21 batches, twice.
        assert_eq!(json["seconds"]["training"], 4.2);
        assert_eq!(json["bytes_of_a_hospital"]["up"]["run"], plan.up.run);
    }

    #[test]
    fn a_slow_line_takes_longer_and_more_hospitals_need_more() {
        let (.., fast) = planned(3, 100.0);
        let (.., slow) = planned(3, 10.0);
        assert!((slow.seconds.transfer / fast.seconds.transfer - 10.0).abs() < 1e-9);
        let (.., large) = planned(30, 100.0);
        assert!(large.coordinator.disk > 5 * fast.coordinator.disk);
        assert!(large.up.round > fast.up.round, "more boxes");
    }

    #[test]
    fn more_patients_than_can_be_encrypted_are_refused() {
        let (manifest, assumed, _) = planned(3, 50.0);
        let assumed = Assumed {
            patients: 1_000_000,
            ..assumed
        };
        let refused = RunPlan::of(&manifest, &assumed).expect_err("too many");
        assert!(
            refused.to_string().contains("1000000 patients"),
            "{refused}"
        );
    }
}
