//! The scripts of `--slurm-script`, run by a real Slurm that loses a node or stops a task.
#![cfg(target_os = "linux")]

mod slurm_cluster;
mod small_reproduction;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use slurm_cluster::Cluster;
use small_reproduction::{cells_done, run, succeeds, tables, with};

/// One cluster at a time: the machine may be small, and Slurm takes a slow node for a dead one.
static ALONE: Mutex<()> = Mutex::new(());

/// Hands a script to Slurm; the number of the array.
fn submit(cluster: &Cluster, script: &Path, folder: &Path) -> String {
    let mut bash = cluster.command("bash");
    let output = bash
        .arg(script)
        .arg("--comment=as a person adds options")
        .current_dir(folder)
        .output();
    let (printed, told) = succeeds(output.expect("bash starts"));
    let array = printed
        .strip_prefix("job ")
        .and_then(|rest| rest.split_once(':'));
    array
        .unwrap_or_else(|| panic!("{printed}{told}"))
        .0
        .to_owned()
}

fn outputs(folder: &Path) -> String {
    let files = fs::read_dir(folder.join("slurm")).expect("there").flatten();
    files
        .map(|file| fs::read_to_string(file.path()).expect("text"))
        .collect()
}

/// What `experiments WORDS` prints.
fn script(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_experiments"));
    let output = command.args(words).args(["--slurm-script", "-"]).output();
    succeeds(output.expect("the program starts")).0
}

#[test]
fn a_task_has_the_gpu_that_its_script_asks_for_or_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let out = out.to_str().expect("text");
    let sweep = ["simulate", "--sweep", "seed=1..2", "--out", out];
    let reproduction = ["reproduce", "--out", out];
    for words in [&sweep[..], &reproduction] {
        let without = script(words);
        assert!(!without.contains("--gres"), "{without}");
        let with = script(&[words, &["--device", "cuda"]].concat());
        assert!(with.contains("#SBATCH --gres=gpu:1\n"), "{with}");
        assert!(with.contains(" '--device=cuda' "), "{with}");
    }
    assert!(script(&sweep).contains(" '--device=cpu' "));
    let swept = script(&[&sweep[..], &["--sweep", "device=cpu,cuda"]].concat());
    assert!(swept.contains("--gres=gpu:1") && swept.contains("set -- '--seed=1' '--device=cpu'"));
    assert!(!swept.contains("simulate '--device=cpu'"), "{swept}");
}

#[test]
fn an_array_that_loses_a_node_ends_with_the_tables_of_a_single_process() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    // As a careless person names folders.
    let home = folder.path().join("a person's 100% folder");
    fs::create_dir(&home).expect("made");
    let options = with(&["--model", "hybrid,plain", "--split", "patient,slice"]);
    let (whole, out) = (home.join("whole"), Path::new("parts of it"));
    let script = home.join("script.sh");
    let more = ["--shards", "4", "--slurm-script", "script.sh"];
    let mut command = small_reproduction::command(out, &[&options[..], &more].concat());
    succeeds(
        command
            .current_dir(&home)
            .output()
            .expect("the program starts"),
    );

    let array = submit(&cluster, &script, &home);
    let out = home.join(out);
    let on_first_node = |cluster: &Cluster| {
        let queue = cluster.queue().into_iter();
        queue
            .filter_map(|line| line.strip_suffix(" RUNNING n1").map(str::to_owned))
            .next()
    };
    // In the middle: something is done, and something is under way there.
    cluster.until("nothing is trained", |cluster| {
        cells_done(&out) >= 1 && on_first_node(cluster).is_some()
    });
    let lost = on_first_node(&cluster).expect("it was there");
    cluster.kill_node(0);
    assert!(cells_done(&out) < 8, "it was too fast to lose a node");
    cluster.until("the task is not queued again", |cluster| {
        let queue = cluster.queue();
        queue
            .iter()
            .any(|line| line.trim_end() == format!("{lost} PENDING"))
    });
    cluster.hurry(&lost);
    cluster.until("the jobs do not end", |cluster| cluster.queue().is_empty());

    let told = outputs(&out);
    assert!(out.join("tables.json").exists(), "{told}");
    let shard = lost
        .strip_prefix(&format!("{array}_"))
        .expect("a task of the array");
    let of_shard = format!("shard {shard} of 4: 2 trainings");
    assert_eq!(told.matches(&of_shard).count(), 2, "{told}");
    assert!(told.contains("not MRI results"), "{told}");
    succeeds(run(&whole, &options));
    assert!(tables(&whole) == tables(&out), "the same bytes");
}

#[test]
fn a_sweep_has_a_folder_for_each_combination_and_goes_on_after_a_requeue() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let small = [
        "--hospitals",
        "2",
        "--patients",
        "8",
        "--slices",
        "3",
        "--rounds",
        "4",
        "--local-epochs",
        "1",
        "--split",
        "slice",
    ];
    let sweep = [
        "--sweep",
        "seed=1..2",
        "--sweep",
        "strategy=fedavg",
        "--out",
        "sweep",
        "--slurm-script",
        "sweep.sh",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_experiments"))
        .arg("simulate")
        .args(small)
        .args(sweep)
        .current_dir(folder.path())
        .output();
    succeeds(output.expect("the program starts"));
    let script = folder.path().join("sweep.sh");
    let array = submit(&cluster, &script, folder.path());
    let out = folder.path().join("sweep");
    let [first, second] =
        ["seed-1-strategy-fedavg", "seed-2-strategy-fedavg"].map(|name| out.join(name));
    let notes = out.join(".seed-1-strategy-fedavg.unfinished/notes.jsonl");
    cluster.until("nothing is trained", |_| {
        fs::read_to_string(&notes).is_ok_and(|notes| notes.contains("\"opened\""))
    });
    let task = format!("{array}_1");
    cluster.asked("scontrol", &["requeue", &task]);
    cluster.until("the task is not queued again", |cluster| {
        cluster
            .queue()
            .iter()
            .any(|line| line.trim_end() == format!("{task} PENDING"))
    });
    assert!(!first.exists(), "it was too fast to be stopped");
    cluster.hurry(&task);
    cluster.until("the jobs do not end", |cluster| cluster.queue().is_empty());
    let told = outputs(&out);
    for done in [first, second] {
        assert!(done.join("summary.json").exists(), "{told}");
    }
    assert!(
        told.contains("to go on: experiments simulate --resume"),
        "{told}"
    );

    // Run once more, it finds that all is done.
    submit(&cluster, &script, folder.path());
    cluster.until("the jobs do not end", |cluster| cluster.queue().is_empty());
    assert_eq!(outputs(&out).matches("is finished").count(), 2);
}
