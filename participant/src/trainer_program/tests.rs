//! Against programs that say what a trainer says, and end as a trainer may end. The real one is in the crate `trainer`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use protocol::{
    codec::{List, Text},
    manifest::testing::manifest,
    training_job::{
        DeviceChoice, HEAT_SIDE, HeatedSlice, SliceChoice, SplitKind, SplitPlan, TrainingPlan,
        Unwatched,
    },
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
        let reading = FromTrainer::Reading { done: 1, scans: 2 };
        actor.says(
            "opened",
            &[hello.clone(), reading, FromTrainer::Opened(account(3))],
        );
        actor.says(
            "opened-otherwise",
            &[hello.clone(), FromTrainer::Opened(account(4))],
        );
        let device = Unusable::Device("no device cuda:7".into());
        actor.says("unusable", &[hello, FromTrainer::Unusable(device)]);
        let [first, second] = jobs();
        actor.says("trained", &[FromTrainer::Trained(first, update())]);
        actor.says(
            "trained-second",
            &[FromTrainer::Trained(second, other_update())],
        );
        let reason = Text("the loss is not finite".into());
        actor.says("failed", &[FromTrainer::Failed(first, reason)]);
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

    /// Its process, or one that it has named, once it has: whether that one is still there.
    /// Whether it has still not ended a while after it was told to: a busy system takes a moment.
    fn lives_on(&self, file: &str) -> bool {
        let id = fs::read_to_string(self.path().join(file)).expect("it told");
        let stat = Path::new("/proc").join(id.trim()).join("stat");
        // One that has ended and that nobody has waited for keeps its number.
        let is_alive = || fs::read_to_string(&stat).is_ok_and(|state| !state.contains(") Z "));
        let patience = Instant::now() + Duration::from_secs(10);
        while is_alive() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(20));
        }
        is_alive()
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
        kept_out: List::default(),
    }
}

/// The numbers of the first two jobs.
fn jobs() -> [JobNumber; 2] {
    let first = JobNumber::default().next();
    [first, first.next()]
}

fn request() -> TrainRequest {
    TrainRequest {
        round: 1.into(),
        model: vec![1.0; 10],
        inputs: None,
        class_weights: vec![1.0, 1.0],
        seed: [2; 32],
        plan: TrainingPlan::of(&manifest()),
    }
}

fn update() -> TrainedUpdate {
    TrainedUpdate {
        model: vec![0.5; 10],
        input_gradients: protocol::training_job::PatientValues::default(),
        batches: 4,
        loss: 0.25,
    }
}

fn other_update() -> TrainedUpdate {
    TrainedUpdate {
        loss: 0.125,
        ..update()
    }
}

fn train(program: &mut TrainerProgram) -> Result<TrainedUpdate, TrainerFailure> {
    program.train(request(), &mut Unwatched)
}

/// Whoever waits no longer than this.
struct Impatient(Instant);

impl JobWatcher for Impatient {
    fn moved(&mut self, _: JobProgress) {}

    fn is_stopped(&self) -> bool {
        self.0.elapsed() > Duration::from_millis(500)
    }
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
    let mut moves = Vec::new();
    let trained = program.train(request(), &mut |at: JobProgress| moves.push(at));
    assert!(trained == Ok(update()));
    assert_eq!(actor.starts(), 2);
    // Who waits hears that the scans are read again.
    let reading = JobProgress::Reading { done: 1, scans: 2 };
    assert_eq!(moves, [JobProgress::Restarted, reading]);
}

fn heat_request() -> HeatRequest {
    let TrainRequest { model, plan, .. } = request();
    HeatRequest {
        model,
        inputs: None,
        plan,
    }
}

fn pictures() -> HeatedSlices {
    let pixels = vec![9; HEAT_SIDE * HEAT_SIDE];
    HeatedSlices(List(vec![HeatedSlice {
        truth: 1,
        prediction: 0,
        per_mille: 512,
        heat: pixels.clone(),
        pixels,
    }]))
}

#[test]
fn pictures_are_worth_no_restart_and_those_of_another_size_are_refused() {
    let actor = Actor::new(
        "cat opened; if [ $starts = 1 ]; then head -c 1 > /dev/null; kill -9 $$; fi; cat trained; cat > /dev/null",
    );
    actor.says(
        "trained",
        &[FromTrainer::Trained(jobs()[1].next(), update())],
    );
    let mut program = actor.open(1).expect("opened");
    for _ in 0..2 {
        assert!(program.heat(heat_request(), &mut Unwatched).is_err());
        assert_eq!(actor.starts(), 1);
    }
    // What a run needs is worth one.
    assert!(train(&mut program).is_ok());
    assert_eq!(actor.starts(), 2);
    let cheat = Actor::new("cat opened large; cat > /dev/null");
    let mut large = pictures();
    large.0.0[0].pixels.push(0);
    cheat.says("large", &[FromTrainer::Heated(jobs()[0], large)]);
    let mut program = cheat.open(0).expect("opened");
    let error = program.heat(heat_request(), &mut Unwatched).err();
    let error = error.expect("refused").to_string();
    assert!(error.contains("wrong size"), "{error}");
}

#[test]
fn pictures_that_come_late_are_not_taken_for_the_answer_to_the_next_job() {
    let actor =
        Actor::new("cat opened; head -c 1 > /dev/null; cat heated trained; cat > /dev/null");
    actor.says("heated", &[FromTrainer::Heated(jobs()[0], pictures())]);
    actor.says("trained", &[FromTrainer::Trained(jobs()[1], update())]);
    let mut program = actor.open(0).expect("opened");
    let job = program.next_job();
    program.child.as_mut().expect("it runs").leave(job);
    assert!(train(&mut program).is_ok());
    assert_eq!(actor.starts(), 1);
}

#[test]
fn what_a_trainer_says_of_a_failure_is_one_line_of_a_bounded_length() {
    let said = format!("x\n2026-12-01 INFO forged\u{1b}[31m{}", "y".repeat(1 << 20));
    let failure = failure_of(&said).to_string();
    assert!(
        !failure.contains('\n') && !failure.contains('\u{1b}'),
        "{failure}"
    );
    assert!(failure.len() < 4 * MAX_REASON_CHARS);
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
    cheat.says("short", &[FromTrainer::Trained(jobs()[0], short)]);
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
    assert!(!actor.lives_on("id") || !cfg!(target_os = "linux"));
}

#[test]
fn an_answer_that_comes_twice_is_none_to_the_next_job() {
    let actor = Actor::new(
        "cat opened; if [ $starts = 1 ]; then cat trained trained; else cat trained-second; fi; cat > /dev/null",
    );
    let mut program = actor.open(1).expect("opened");
    assert!(train(&mut program) == Ok(update()));
    assert!(train(&mut program) == Ok(other_update()));
    assert_eq!(actor.starts(), 2);
    let mut program = actor.open(0).expect("opened");
    assert!(train(&mut program).is_err(), "it answers a job not asked");
}

#[test]
fn what_nobody_asks_for_waits_in_the_pipe() {
    let actor = Actor::new("cat opened flood; touch flooded; cat > /dev/null");
    let step = |done| FromTrainer::Step {
        job: jobs()[0],
        done,
        total: u64::MAX,
    };
    let flood: Vec<FromTrainer> = (1..50_000).map(step).collect();
    actor.says("flood", &flood);
    let mut program = actor.open(0).expect("opened");
    thread::sleep(Duration::from_millis(500));
    let flooded = actor.path().join("flooded");
    assert!(!flooded.exists(), "a megabyte was taken in");
    // Asked for, it comes; of so many steps in a moment few are passed on.
    let mut moves = 0;
    let began = Instant::now();
    let watcher = &mut Counting(&mut moves, flooded);
    let error = program.train(request(), watcher).err().expect("stopped");
    assert!(error.to_string().contains("nobody waits"), "{error}");
    assert!(moves <= 2 + began.elapsed().as_millis() / 100, "{moves}");
}

/// Counts moves, and stops once a file is there.
struct Counting<'a>(&'a mut u128, PathBuf);

impl JobWatcher for Counting<'_> {
    fn moved(&mut self, _: JobProgress) {
        *self.0 += 1;
    }

    fn is_stopped(&self) -> bool {
        self.1.exists()
    }
}

#[test]
fn one_that_nobody_waits_for_is_ended_and_not_started_again() {
    let silent = Actor::new("cat opened; echo $$ > id; exec sleep 600");
    let mut program = silent.open(3).expect("opened");
    let began = Instant::now();
    let error = program.train(request(), &mut Impatient(began));
    let error = error.err().expect("stopped").to_string();
    assert!(began.elapsed() < Duration::from_secs(10), "{error}");
    assert!(error.contains("nobody waits"), "{error}");
    assert!(!silent.lives_on("id") || !cfg!(target_os = "linux"));
    let dying = Actor::new("cat opened; sleep 0.3; exit 1");
    let mut program = dying.open(1000).expect("opened");
    assert!(
        program
            .train(request(), &mut Impatient(Instant::now()))
            .is_err()
    );
    assert!(dying.starts() <= 2, "{}", dying.starts());
}

#[test]
fn with_a_launcher_the_trainer_behind_it_is_ended() {
    let actor = Actor::new("cat opened; echo $$ > id; exec sleep 600 < /dev/null");
    // It does not become the trainer: it waits for it.
    let launcher = ["sh", "-c", "echo $$ > \"$0\"; \"$@\"; exit 0"];
    let mut launcher: Vec<String> = launcher.map(str::to_owned).into();
    launcher.push(actor.path().join("launcher").display().to_string());
    let command = TrainerCommand::of(actor.program(), launcher).expect("it is there");
    let mut program = TrainerProgram::open(command, 0, data_set(), |_| ()).expect("opened");
    assert!(
        program
            .train(request(), &mut Impatient(Instant::now()))
            .is_err()
    );
    for process in ["launcher", "id"] {
        assert!(
            !actor.lives_on(process) || !cfg!(target_os = "linux"),
            "{process}"
        );
    }
}

/// Beside what this process has in its own environment; a launcher hands it on.
#[test]
fn a_share_of_a_gpus_memory_reaches_the_trainer_through_a_launcher() {
    let actor = Actor::new("env | grep _ALLOC_CONF= > conf; cat opened; cat > /dev/null");
    let launcher = ["sh", "-c", "\"$@\"; exit 0", "sh"].map(str::to_owned);
    let started = |share: u8| {
        let share = GpuMemoryShare::new(share).expect("in range");
        let command = TrainerCommand::of(actor.program(), launcher.clone().into());
        let command = command.expect("it is there").with_gpu_memory(share);
        drop(TrainerProgram::open(command, 0, data_set(), |_| ()).expect("opened"));
        fs::read_to_string(actor.path().join("conf")).expect("it told")
    };
    let (all, most) = (started(100), started(29));
    assert!(!all.contains("per_process_memory_fraction:0.29"), "{all}");
    let told = most
        .lines()
        .filter(|line| line.ends_with("per_process_memory_fraction:0.29"));
    assert_eq!(told.count(), 1, "{most}");
}

#[test]
fn a_trainer_that_is_tried_out_tells_its_release_and_what_it_warns_of() {
    let actor = Actor::new("echo 'WARN not confined' >&2; cat opened");
    let command = TrainerCommand::of(actor.program(), Vec::new()).expect("it is there");
    let tried = try_out(&command, data_set(), TO_TRY).expect("it starts");
    assert_eq!(tried.release, "test");
    assert_eq!(tried.said, ["WARN not confined"]);
    assert_eq!(actor.starts(), 1);
}

#[test]
fn a_trainer_that_is_tried_out_without_its_device_or_in_vain_says_so() {
    let actor = Actor::new("cat unusable");
    let command = TrainerCommand::of(actor.program(), Vec::new()).expect("it is there");
    assert!(matches!(
        try_out(&command, data_set(), TO_TRY),
        Err(TrainerError::Unusable(Unusable::Device(_)))
    ));
    let actor = Actor::new("echo 'libtorch.so: not found' >&2; exit 127");
    let command = TrainerCommand::of(actor.program(), Vec::new()).expect("it is there");
    let lost = try_out(&command, data_set(), TO_TRY);
    let said = lost.expect_err("it does not start").to_string();
    assert!(said.contains("libtorch.so: not found"), "{said}");
    let actor = Actor::new("sleep 30");
    let command = TrainerCommand::of(actor.program(), Vec::new()).expect("it is there");
    let began = Instant::now();
    let limit = Duration::from_millis(500);
    assert!(matches!(
        try_out(&command, data_set(), limit),
        Err(TrainerError::Lost(_))
    ));
    assert!(began.elapsed() < Duration::from_secs(20));
}

const TO_TRY: Duration = Duration::from_secs(60);
