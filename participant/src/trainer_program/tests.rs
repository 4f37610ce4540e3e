//! Against programs that say what a trainer says, and end as a trainer may end. The real one is in the crate `trainer`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use protocol::{
    codec::{List, Text},
    manifest::testing::manifest,
    training_job::{DeviceChoice, SliceChoice, SplitKind, SplitPlan, TrainingPlan},
};
use tempfile::TempDir;

use super::*;

/// A folder with a program in it that does `lines` of shell; `$1` is its folder, `$2` how often it was started.
struct Actor(TempDir);

impl Actor {
    fn new(lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let actor = Self(folder);
        let here = actor.path().display().to_string();
        let script = format!(
            "#!/bin/sh\necho start >> '{here}/starts'\nstarts=$(wc -l < '{here}/starts')\ncd '{here}'\n{lines}\n"
        );
        fs::write(actor.program(), script).expect("written");
        let executable = fs::Permissions::from_mode(0o700);
        fs::set_permissions(actor.program(), executable).expect("ours");
        let account = |slices: u32| ReadingAccount {
            slices: List(vec![slices, 2]),
            ..ReadingAccount::default()
        };
        let hello = FromTrainer::Hello {
            release: "test".into(),
        };
        actor.says("opened", &[hello.clone(), FromTrainer::Opened(account(3))]);
        actor.says(
            "opened-otherwise",
            &[hello.clone(), FromTrainer::Opened(account(4))],
        );
        let device = Unusable::Device("no device cuda:7".into());
        actor.says("unusable", &[hello, FromTrainer::Unusable(device)]);
        actor.says("trained", &[FromTrainer::Trained(update())]);
        actor.says(
            "failed",
            &[FromTrainer::Failed(Text("the loss is not finite".into()))],
        );
        actor
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn program(&self) -> PathBuf {
        self.path().join("trainer")
    }

    fn says(&self, file: &str, messages: &[FromTrainer]) {
        let mut bytes = Vec::new();
        for message in messages {
            let frame = pipe::frame(message).expect("short");
            pipe::write_frame(&mut bytes, &frame).expect("memory");
        }
        fs::write(self.path().join(file), bytes).expect("written");
    }

    fn starts(&self) -> usize {
        let starts = fs::read_to_string(self.path().join("starts")).expect("it was started");
        starts.lines().count()
    }

    fn open(&self, restarts: u32) -> Result<TrainerProgram, TrainerError> {
        let command = TrainerCommand::of(self.program(), Vec::new()).expect("it is there");
        TrainerProgram::open(command, restarts, data_set(), |_| ())
    }
}

fn data_set() -> DataSet {
    DataSet {
        patients: List::default(),
        slices: SliceChoice::evenly(1),
        memory_limit_mib: 1,
        cache: None,
        split: SplitPlan {
            kind: SplitKind::Patient,
            seed: 1,
        },
        device: DeviceChoice::Cpu,
        confine: true,
    }
}

fn request() -> TrainRequest {
    TrainRequest {
        round: 1.into(),
        model_hash: [1; 32].into(),
        model: vec![1.0; 10],
        filters: None,
        class_weights: vec![1.0, 1.0],
        seed: [2; 32],
        plan: TrainingPlan::of(&manifest()),
    }
}

fn update() -> TrainedUpdate {
    TrainedUpdate {
        model: vec![0.5; 10],
        filter_gradients: Vec::new(),
        batches: 4,
        loss: 0.25,
    }
}

fn train(program: &mut TrainerProgram) -> Result<TrainedUpdate, TrainerFailure> {
    program.train(request(), &mut |_, _| ())
}

#[test]
fn a_program_that_is_not_there_is_named_with_the_remedy() {
    let nowhere = PathBuf::from("/nowhere/trainer");
    let error = TrainerCommand::of(nowhere, Vec::new()).expect_err("missing");
    let said = error.to_string();
    assert!(
        said.contains("/nowhere/trainer") && said.contains("cargo build --release --bins"),
        "{said}"
    );
    let actor = Actor::new("exit 0");
    let launcher = vec!["no-such-launcher".to_owned()];
    let command = TrainerCommand::of(actor.program(), launcher).expect("it is there");
    let error = TrainerProgram::open(command, 3, data_set(), |_| ()).err();
    let said = error.expect("not started").to_string();
    assert!(
        said.contains("no-such-launcher") && said.contains("trainer.command"),
        "{said}"
    );
}

#[test]
fn one_that_dies_is_started_again_so_many_times_and_its_last_words_are_kept() {
    let actor = Actor::new("echo \"libfoo.so: cannot open, try $starts\" >&2; exit 3");
    let error = actor.open(2).err().expect("lost").to_string();
    assert_eq!(actor.starts(), 3);
    assert!(
        error.contains("exit code 3") && error.contains("libfoo.so: cannot open, try 3"),
        "{error}"
    );
}

#[test]
fn of_a_long_log_the_end_is_kept() {
    let actor = Actor::new("for line in $(seq 1 50); do echo \"line $line\" >&2; done; exit 1");
    let error = actor.open(0).err().expect("lost").to_string();
    assert!(
        error.contains("line 50") && error.contains("line 31"),
        "{error}"
    );
    assert!(!error.contains("line 30\n"), "{error}");
}

#[test]
fn a_job_lost_to_a_kill_is_done_by_the_next_one() {
    let actor = Actor::new(
        "cat opened; if [ $starts = 1 ]; then head -c 1 > /dev/null; kill -9 $$; fi; cat trained; cat > /dev/null",
    );
    let mut program = actor.open(1).expect("opened");
    assert_eq!(program.account().slices.0, [3, 2]);
    assert!(train(&mut program) == Ok(update()));
    assert_eq!(actor.starts(), 2);
}

#[test]
fn a_job_that_kills_every_trainer_is_given_up_and_says_why() {
    let actor = Actor::new("cat opened; sleep 0.2; kill -9 $$");
    let mut program = actor.open(1).expect("opened");
    let error = train(&mut program).err().expect("lost").to_string();
    assert_eq!(actor.starts(), 2);
    assert!(
        error.contains("signal 9") && error.contains("memory"),
        "{error}"
    );
}

#[test]
fn what_would_fail_again_is_not_tried_again() {
    let actor = Actor::new("cat unusable; cat > /dev/null");
    let error = actor.open(3).err().expect("refused");
    assert!(matches!(error, TrainerError::Unusable(Unusable::Device(_))));
    assert_eq!(error.to_string(), "no device cuda:7");
    let failing = Actor::new("cat opened failed; cat > /dev/null");
    let mut program = failing.open(3).expect("opened");
    let error = train(&mut program).err().expect("failed").to_string();
    assert_eq!(error, "the loss is not finite");
    assert_eq!((actor.starts(), failing.starts()), (1, 1));
}

#[test]
fn other_scans_at_a_restart_and_messages_out_of_order_are_refused() {
    let actor = Actor::new(
        "if [ $starts = 1 ]; then cat opened; sleep 0.2; exit 1; fi; cat opened-otherwise; cat > /dev/null",
    );
    let mut program = actor.open(3).expect("opened");
    let error = train(&mut program).err().expect("refused").to_string();
    assert!(error.contains("scans have changed"), "{error}");
    assert_eq!(actor.starts(), 2);
    let hasty = Actor::new("cat trained; cat > /dev/null");
    let error = hasty.open(0).err().expect("refused").to_string();
    assert!(error.contains("Trained"), "{error}");
    let mut short = update();
    short.model.pop();
    let cheat = Actor::new("cat opened short; cat > /dev/null");
    cheat.says("short", &[FromTrainer::Trained(short)]);
    let mut program = cheat.open(0).expect("opened");
    let error = train(&mut program).err().expect("refused").to_string();
    assert!(error.contains("wrong size"), "{error}");
    let noisy = Actor::new("echo hello, I am a shell; cat > /dev/null");
    let error = noisy.open(0).err().expect("refused").to_string();
    assert!(error.contains("frame of"), "{error}");
}

#[test]
fn one_that_does_not_end_by_itself_is_ended() {
    let actor = Actor::new("cat opened; echo $$ > id; exec sleep 600 < /dev/null");
    let program = actor.open(0).expect("opened");
    let began = Instant::now();
    drop(program);
    assert!(began.elapsed() < Duration::from_secs(30));
    let id = fs::read_to_string(actor.path().join("id")).expect("it told");
    assert!(!Path::new("/proc").join(id.trim()).exists() || !cfg!(target_os = "linux"));
}
