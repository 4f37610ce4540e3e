//! The program as a participant meets it, and what the kernel keeps it from.

use std::{
    fs,
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use model::{
    device::Device,
    network::Architecture,
    train::{Dataset, Trainer},
};
use model_data::{ReadOptions, ScanFiles, read_scans};
use protocol::{
    codec::List,
    labels::{Edss, Labels},
    manifest::{Conditioning, testing::manifest},
    network::ModelLayout,
    training_job::{
        DataSet, DeviceChoice, EvaluateRequest, FilePath, HeatRequest, HeatedSlice,
        LocalTrainer as _, MAX_HEATED_SLICES, PatientScans, ScanPaths, SliceCacheFolder,
        SliceChoice, SplitKind, SplitPlan, TrainRequest, TrainingPlan, Unwatched,
        pipe::{FromTrainer, JobNumber, ToTrainer, frame, read_message, write_frame},
    },
};
use trainer::{CnnTrainer, ImageSet, confinement::confine, shown_slices::shown_slices};

/// A NIfTI-1 file of 16 x 16 x 6 voxels whose brightness depends on `seed`, in right, front, head order.
fn write_scan(path: &Path, seed: usize) {
    const SIDES: [usize; 3] = [16, 16, 6];
    let mut header = vec![0_u8; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348_i32.to_le_bytes());
    for (place, side) in [3, 16, 16, 6, 1, 1, 1, 1_i16].into_iter().enumerate() {
        put(40 + 2 * place, &side.to_le_bytes());
    }
    put(70, &16_i16.to_le_bytes());
    put(72, &32_i16.to_le_bytes());
    for place in 0..8 {
        put(76 + 4 * place, &1_f32.to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    put(112, &1_f32.to_le_bytes());
    put(254, &1_i16.to_le_bytes());
    for row in 0..3 {
        put(280 + 16 * row + 4 * row, &1_f32.to_le_bytes());
    }
    put(344, b"n+1\0");
    let [x, y, z] = SIDES;
    let voxels = (0..x * y * z).map(|place| {
        let edge = place % x == 0 || place / x % y == 0;
        let value = if edge {
            0
        } else {
            100 + (place * (seed + 3)) % 97
        };
        value as f32
    });
    let mut file = header;
    file.extend(voxels.flat_map(f32::to_le_bytes));
    fs::write(path, file).expect("written");
}

/// Eight patients of two classes, and a file beside them that is none of theirs.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        fs::write(folder.table(), "ID,EDSS\n").expect("written");
        for patient in 0..PATIENTS {
            write_scan(&folder.scan(patient), patient);
        }
        folder
    }

    fn table(&self) -> PathBuf {
        self.0.path().join("clinical.csv")
    }

    fn scan(&self, patient: usize) -> PathBuf {
        self.0.path().join(format!("{patient}.nii"))
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    fn data_set(&self) -> DataSet {
        let patient = |patient: usize| PatientScans {
            edss: Edss::new(if patient.is_multiple_of(2) { 1.0 } else { 6.0 }),
            scans: List(vec![ScanPaths::Nifti(FilePath(self.scan(patient)))]),
        };
        DataSet {
            patients: (0..PATIENTS).map(patient).collect(),
            slices: SliceChoice::All { drop_empty: true },
            memory_limit_mib: 64,
            cache: Some(SliceCacheFolder {
                folder: FilePath(self.cache()),
                forget_others: true,
            }),
            split: SplitPlan {
                kind: SplitKind::Patient,
                seed: 1,
            },
            device: DeviceChoice::Cpu,
            confine: true,
            kept_out: List::default(),
        }
    }
}

const PATIENTS: usize = 8;

fn plan(local_epochs: u32) -> TrainingPlan {
    TrainingPlan {
        labels: Labels::of(&manifest()),
        conditioning: Conditioning::None,
        local_epochs,
        batch_size: 4,
        ..TrainingPlan::of(&manifest())
    }
}

fn request(local_epochs: u32) -> TrainRequest {
    TrainRequest {
        round: 1.into(),
        model: ModelLayout::hybrid_cnn(2).initial_values(&[3; 32]),
        inputs: None,
        class_weights: vec![1.0, 1.5],
        seed: [2; 32],
        plan: plan(local_epochs),
    }
}

fn evaluation() -> EvaluateRequest {
    let TrainRequest { model, plan, .. } = request(1);
    EvaluateRequest {
        round: 2.into(),
        model,
        inputs: None,
        plan,
    }
}

struct Program {
    process: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Program {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_trainer"))
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let from = BufReader::new(process.stdout.take().expect("piped"));
        Self {
            to: process.stdin.take(),
            process,
            from,
        }
    }

    fn send(&mut self, message: &ToTrainer) {
        let to = self.to.as_mut().expect("open");
        write_frame(to, &frame(message).expect("short")).expect("it reads");
    }

    fn receive(&mut self) -> FromTrainer {
        read_message(&mut self.from)
            .expect("a message")
            .expect("it goes on")
    }

    /// The next message that is not about progress.
    fn answer(&mut self) -> FromTrainer {
        loop {
            match self.receive() {
                FromTrainer::Reading { .. } | FromTrainer::Step { .. } => {}
                other => return other,
            }
        }
    }

    /// Closes the pipe; how long it takes to end, and what it logged.
    fn end(mut self) -> (Duration, String) {
        self.to = None;
        let began = Instant::now();
        while self.process.try_wait().expect("a child of ours").is_none() {
            assert!(began.elapsed() < Duration::from_secs(60), "it goes on");
            thread::sleep(Duration::from_millis(20));
        }
        let (took, mut log) = (began.elapsed(), String::new());
        let stderr = self.process.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut log).expect("text");
        (took, log)
    }
}

#[test]
fn the_program_gives_the_bytes_that_the_library_gives() {
    let folder = Folder::new();
    let mut program = Program::start();
    assert!(matches!(program.receive(), FromTrainer::Hello { .. }));
    program.send(&ToTrainer::Open(folder.data_set()));
    let FromTrainer::Opened(account) = program.answer() else {
        panic!("it opens the data set")
    };
    assert!(account.unreadable.is_empty(), "{account:?}");
    assert_eq!(account.slices.len(), PATIENTS);
    assert!(account.slices.iter().all(|slices| *slices > 0));
    let first = JobNumber::default().next();
    program.send(&ToTrainer::Train(first, request(2)));
    let FromTrainer::Trained(job, update) = program.answer() else {
        panic!("it trains")
    };
    assert_eq!(job, first);
    program.send(&ToTrainer::Evaluate(first.next(), evaluation()));
    let step = program.receive();
    assert!(
        matches!(step, FromTrainer::Step { job, done: 1, .. } if job == first.next()),
        "an evaluation tells of its steps"
    );
    let FromTrainer::Evaluated(job, counts) = program.answer() else {
        panic!("it evaluates")
    };
    assert_eq!(job, first.next());
    let (_, log) = program.end();
    assert!(log.contains("confined: "), "{log}");

    let mut library = CnnTrainer::new(images(&folder.data_set()), Device::CPU);
    let again = library.train(request(2), &mut Unwatched);
    assert!(again.expect("trains") == update);
    let again = library.evaluate(evaluation(), &mut Unwatched);
    assert_eq!(again.expect("evaluates"), counts);
    assert!(fs::read_dir(folder.cache()).expect("made").count() >= PATIENTS);
}

/// As the program reads them.
fn images(data_set: &DataSet) -> ImageSet {
    let files = |patient: &PatientScans| patient.scans.iter().map(ScanFiles::from).collect();
    let listed: Vec<Vec<ScanFiles>> = data_set.patients.iter().map(files).collect();
    let options = ReadOptions {
        slices: data_set.slices,
        memory_limit_mib: 64,
        cache: None,
    };
    let reading = read_scans(&listed, &options, |_| ()).expect("readable");
    let scores = data_set.patients.iter().filter_map(|patient| patient.edss);
    ImageSet::of_slices(scores.zip(reading.slices), data_set.split)
}

/// What the library says of the slices that are shown: classes, probability and heat.
fn looked_at(images: &ImageSet, model: &[f32]) -> Vec<(usize, usize, f32, Box<[f32]>)> {
    let labels = plan(1).labels;
    let split = images.split(labels).expect("splits");
    let class_of = |patient: usize| labels.class_of(images.patients()[patient].edss);
    let shown = shown_slices(&split.validation, class_of, 1, MAX_HEATED_SLICES);
    let slices: Dataset = images.dataset(&shown, labels).expect("of the right size");
    let architecture = Architecture::of(
        labels.task,
        Conditioning::None,
        protocol::manifest::ConditioningForm::Study,
    );
    let mut trainer = Trainer::new(architecture, Device::CPU);
    let evaluation = trainer.evaluate(&slices, model, None, &mut |_, _| ());
    let predictions = evaluation.expect("evaluates").predictions(&slices, 0);
    let classes = predictions.iter().map(|prediction| prediction.class());
    let asked: Vec<(usize, usize)> = classes.enumerate().collect();
    let maps = trainer.grad_cam(&slices, &asked, model, None);
    let maps = maps.expect("looks").into_iter();
    let told = predictions.into_iter().zip(maps).map(|(prediction, map)| {
        let class = prediction.class();
        let probability = prediction.probabilities[class];
        (prediction.label, class, probability, map.pixels)
    });
    told.collect()
}

#[test]
fn pictures_have_the_heat_of_the_library_and_what_is_trained_after_them_is_the_same() {
    let folder = Folder::new();
    let mut data_set = folder.data_set();
    // More patients of the few have slices to be validated with.
    data_set.split.kind = SplitKind::Slice;
    let mut program = Program::start();
    assert!(matches!(program.receive(), FromTrainer::Hello { .. }));
    program.send(&ToTrainer::Open(data_set.clone()));
    assert!(matches!(program.answer(), FromTrainer::Opened(_)));
    let mut job = JobNumber::default();
    let mut ask = |program: &mut Program, message: &dyn Fn(JobNumber) -> ToTrainer| {
        job = job.next();
        program.send(&message(job));
        program.answer()
    };
    let train = |job| ToTrainer::Train(job, request(2));
    let FromTrainer::Trained(_, first) = ask(&mut program, &train) else {
        panic!("it trains")
    };
    let about = || EvaluateRequest {
        model: first.model.clone(),
        ..evaluation()
    };
    let FromTrainer::Evaluated(_, counts) =
        ask(&mut program, &|job| ToTrainer::Evaluate(job, about()))
    else {
        panic!("it evaluates")
    };
    let heat = |job| ToTrainer::Heat(job, HeatRequest::about(&about()));
    let FromTrainer::Heated(_, heated) = ask(&mut program, &heat) else {
        panic!("it looks")
    };
    let FromTrainer::Heated(_, again) = ask(&mut program, &heat) else {
        panic!("it looks again")
    };
    let FromTrainer::Trained(_, second) = ask(&mut program, &train) else {
        panic!("it trains again")
    };
    let FromTrainer::Evaluated(_, counts_after) =
        ask(&mut program, &|job| ToTrainer::Evaluate(job, about()))
    else {
        panic!("it evaluates again")
    };
    program.end();

    assert!(heated.fit(&HeatRequest::about(&about())) && heated == again);
    let images = images(&data_set);
    let expected = looked_at(&images, &first.model);
    assert_eq!(heated.0.len(), expected.len());
    assert!(expected.len() > 1 && expected.len() <= PATIENTS);
    let byte = |share: f32| (share * 255.0).round() as u8;
    for (slice, (truth, class, probability, heat)) in heated.0.iter().zip(expected) {
        let HeatedSlice {
            truth: told,
            prediction,
            per_mille,
            pixels,
            heat: map,
        } = slice;
        assert_eq!((*told as usize, *prediction as usize), (truth, class));
        assert_eq!(*per_mille, (probability * 1000.0).round() as u32);
        let expected: Vec<u8> = heat.iter().map(|heat| byte(*heat)).collect();
        assert!(*map == expected);
        assert!(pixels.contains(&0) && pixels.contains(&255));
    }
    assert!(
        heated.0.iter().any(|slice| slice.heat.contains(&255)),
        "a model that was trained sees something somewhere"
    );
    // As one that was never asked for pictures.
    let mut library = CnnTrainer::new(images, Device::CPU);
    let undisturbed = library.train(request(2), &mut Unwatched).expect("trains");
    assert!(first == undisturbed && second == undisturbed);
    assert_eq!(counts, counts_after);
}

#[test]
fn patients_may_come_in_several_messages() {
    let folder = Folder::new();
    let mut data_set = folder.data_set();
    let first = List(data_set.patients.0.drain(..3).collect());
    let mut program = Program::start();
    assert!(matches!(program.receive(), FromTrainer::Hello { .. }));
    program.send(&ToTrainer::Patients(first));
    program.send(&ToTrainer::Open(data_set));
    let FromTrainer::Opened(account) = program.answer() else {
        panic!("it opens the data set")
    };
    assert_eq!(account.slices.len(), PATIENTS);
    program.end();
}

#[test]
fn it_ends_in_the_middle_of_a_training_when_its_parent_is_gone() {
    let folder = Folder::new();
    let mut program = Program::start();
    assert!(matches!(program.receive(), FromTrainer::Hello { .. }));
    program.send(&ToTrainer::Open(folder.data_set()));
    assert!(matches!(program.answer(), FromTrainer::Opened(_)));
    program.send(&ToTrainer::Train(JobNumber::default(), request(1_000_000)));
    assert!(matches!(
        program.receive(),
        FromTrainer::Step { done: 1, .. }
    ));
    let (took, _) = program.end();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn what_cannot_be_used_is_said_and_nonsense_ends_it() {
    let folder = Folder::new();
    let mut data_set = folder.data_set();
    data_set.device = DeviceChoice::Cuda(4096);
    let mut program = Program::start();
    assert!(matches!(program.receive(), FromTrainer::Hello { .. }));
    program.send(&ToTrainer::Open(data_set));
    let FromTrainer::Unusable(reason) = program.answer() else {
        panic!("there is no such device")
    };
    assert!(reason.to_string().contains("cuda:4096"), "{reason}");
    program.end();
    let mut program = Program::start();
    assert!(matches!(program.receive(), FromTrainer::Hello { .. }));
    program.send(&ToTrainer::Evaluate(JobNumber::default(), evaluation()));
    let (_, log) = program.end();
    assert!(log.contains("before the data set"), "{log}");
}

#[test]
fn a_confined_trainer_reads_its_scans_and_nothing_else() {
    let folder = Folder::new();
    let data_set = folder.data_set();
    model_data::make_cache_folder(&folder.cache()).expect("made");
    let (scan, table, cache) = (folder.scan(3), folder.table(), folder.cache());
    assert!(fs::read(&table).is_ok(), "before it is confined");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    // Only the thread is confined that asks for it, and those that it starts.
    let confined = thread::spawn(move || {
        let denied = |result: std::io::Result<()>| {
            result.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        };
        let confinement = confine(&data_set);
        // A program that can be read, as the system's folders of libraries can, still cannot be started.
        let started = std::process::Command::new(env!("CARGO_BIN_EXE_trainer"))
            .arg("--version")
            .output();
        assert_eq!(denied(started.map(|_| ())), confinement.covers_files());
        assert!(fs::read(&scan).is_ok(), "{confinement}");
        assert!(fs::write(cache.join("entry"), "x").is_ok(), "{confinement}");
        let other = denied(fs::read(&table).map(|_| ()));
        let changed = denied(fs::write(&scan, "x"));
        let connected = denied(std::net::TcpStream::connect(address).map(|_| ()));
        assert_eq!(
            (other, changed),
            (confinement.covers_files(), confinement.covers_files())
        );
        assert_eq!(connected, confinement.covers_tcp());
        confinement
    });
    let confinement = confined.join().expect("as it was told");
    // Where there is no Landlock, this test shows no more than that it is said.
    eprintln!("{confinement}");
    assert!(fs::read(folder.table()).is_ok(), "the others are free");
}
