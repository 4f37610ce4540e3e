//! Jobs over a pipe, one after another.
//!
//! A thread reads the pipe, so that its end is noticed in the middle of a training too: the parent is gone, nobody waits for the
//! result, and the process ends at once.

use std::{
    io::{Read, Write},
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

use model::device::Device;
use model_data::{CacheChoice, LoadProgress, ReadOptions, Reading, ScanFiles, read_scans};
use protocol::{
    codec::Text,
    training_job::{
        DataSet, DeviceChoice, JobProgress, LocalTrainer, PatientScans, ReadingAccount,
        pipe::{self, FromTrainer, JobNumber, PipeError, ToTrainer, Unusable},
    },
};

use crate::{
    cnn::CnnTrainer,
    confinement::{self, Confinement},
    image_set::ImageSet,
    predictor::Predictor,
};

/// How serving ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The parent has closed the pipe.
    ByParent,
    /// The data set or the device cannot be used; the parent has been told.
    Unusable,
}

/// Why serving cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The pipe is broken, or what comes is not a message.
    #[error(transparent)]
    Pipe(#[from] PipeError),
    /// A message that does not belong here.
    #[error("a job came before the data set, or a second data set")]
    OutOfOrder,
}

/// Serves a participant until it closes the pipe.
///
/// Called on the only thread of the process: the confinement holds for the calling thread and for those that come after it.
/// `parent_gone` is called when the pipe ends while a job is under way; it must not return.
///
/// # Errors
/// [`ServeError`].
pub fn serve(
    mut input: impl Read + Send + 'static,
    output: impl Write + Send,
    parent_gone: impl Fn() + Send + 'static,
) -> Result<Ended, ServeError> {
    let output = Output(Mutex::new(output));
    output.send(&FromTrainer::Hello {
        release: env!("CARGO_PKG_VERSION").into(),
    })?;
    let Some(data_set) = data_set(&mut input)? else {
        return Ok(Ended::ByParent);
    };
    if let Some(cache) = &data_set.cache {
        // A rule needs a folder that is there. One that cannot be made is told of when the scans are read.
        let _ = model_data::make_cache_folder(&cache.folder.0);
    }
    let confinement = once_loaded(data_set.device, Device::load_libraries, || {
        confinement::confine(&data_set)
    });
    tell_of(&confinement, data_set.confine);
    let (jobs, waiting) = mpsc::channel();
    std::thread::spawn(move || {
        loop {
            let message = pipe::read_message::<ToTrainer>(&mut input);
            let (last, closed) = (!matches!(message, Ok(Some(_))), matches!(message, Ok(None)));
            let listening = jobs.send(message).is_ok();
            if closed {
                // One who is not at work hears of it by the channel, and ends in order.
                std::thread::sleep(TO_END_IN_ORDER);
                parent_gone();
            }
            if last || !listening {
                return;
            }
        }
    });
    let mut trainer = match open(&data_set, &output) {
        Ok((trainer, account)) => {
            output.send(&FromTrainer::Opened(account))?;
            trainer
        }
        Err(unusable) => {
            output.send(&FromTrainer::Unusable(unusable))?;
            return Ok(Ended::Unusable);
        }
    };
    drop(data_set);
    while let Ok(message) = waiting.recv() {
        let answer = match message? {
            None => break,
            Some(ToTrainer::Patients(_) | ToTrainer::Open(_)) => {
                return Err(ServeError::OutOfOrder);
            }
            Some(ToTrainer::Train(job, request)) => trainer
                .train(request, &mut |at: JobProgress| output.step(job, at))
                .map(|update| FromTrainer::Trained(job, update))
                .unwrap_or_else(|failure| FromTrainer::Failed(job, Text(failure.0))),
            Some(ToTrainer::Evaluate(job, request)) => trainer
                .evaluate(request, &mut |at: JobProgress| output.step(job, at))
                .map(|counts| FromTrainer::Evaluated(job, counts))
                .unwrap_or_else(|failure| FromTrainer::Failed(job, Text(failure.0))),
            Some(ToTrainer::Heat(job, request)) => trainer
                .heat(request, &mut |at: JobProgress| output.step(job, at))
                .map(|slices| FromTrainer::Heated(job, slices))
                .unwrap_or_else(|failure| FromTrainer::Failed(job, Text(failure.0))),
            Some(ToTrainer::Predict(job, request)) => trainer
                .predict(request, &mut |at: JobProgress| output.step(job, at))
                .map(|slices| FromTrainer::Predicted(job, slices))
                .unwrap_or_else(|failure| FromTrainer::Failed(job, Text(failure.0))),
        };
        output.send(&answer)?;
    }
    Ok(Ended::ByParent)
}

/// The data set, whose patients may come in several messages; none when the parent has closed the pipe.
fn data_set(input: &mut impl Read) -> Result<Option<DataSet>, ServeError> {
    let mut patients: Vec<PatientScans> = Vec::new();
    loop {
        match pipe::read_message(input)? {
            None => return Ok(None),
            Some(ToTrainer::Patients(some)) => patients.extend(some.0),
            Some(ToTrainer::Open(mut data_set)) => {
                patients.append(&mut data_set.patients.0);
                data_set.patients.0 = patients;
                return Ok(Some(data_set));
            }
            Some(
                ToTrainer::Train(..)
                | ToTrainer::Evaluate(..)
                | ToTrainer::Heat(..)
                | ToTrainer::Predict(..),
            ) => return Err(ServeError::OutOfOrder),
        }
    }
}

/// Confines once the libraries of the device are loaded: they may lie where nothing can be opened any more.
fn once_loaded<T>(
    device: DeviceChoice,
    load: impl FnOnce(DeviceChoice),
    confine: impl FnOnce() -> T,
) -> T {
    load(device);
    confine()
}

/// A confinement that was asked for and does not hold is worth a warning.
fn tell_of(confinement: &Confinement, asked_for: bool) {
    if asked_for && !confinement.covers_files() {
        tracing::warn!(
            "{confinement}: the trainer can open whatever its user can, and connect; give it a user of its own or a kernel with Landlock \
             (Linux 5.13), or set trainer.confine = false where this is known"
        );
    } else {
        tracing::info!("{confinement}");
    }
}

/// Finds the device and reads the scans.
fn open<W: Write + Send>(
    data_set: &DataSet,
    output: &Output<W>,
) -> Result<(Box<dyn LocalTrainer>, ReadingAccount), Unusable> {
    let device =
        Device::find(data_set.device).map_err(|error| Unusable::Device(Text(error.to_string())))?;
    tracing::info!(%device, "ready to read");
    let files = |patient: &PatientScans| patient.scans.iter().map(ScanFiles::from).collect();
    let listed: Vec<Vec<ScanFiles>> = data_set.patients.iter().map(files).collect();
    let progress = |LoadProgress { done, scans }| {
        let _ = output.send(&FromTrainer::Reading {
            done: done as u64,
            scans: scans as u64,
        });
    };
    let Reading { slices, account } = read_scans(&listed, &read_options(data_set), progress)
        .map_err(|error| Unusable::Scans(Text(error.to_string())))?;
    let scores: Vec<_> = data_set
        .patients
        .iter()
        .map(|patient| patient.edss)
        .collect();
    let trainer: Box<dyn LocalTrainer> = if scores.iter().all(Option::is_none) {
        Box::new(Predictor::new(slices, device))
    } else {
        let known: Option<Vec<_>> = scores.into_iter().collect();
        let scores = known.ok_or_else(|| Unusable::Scans(SOME_SCORES.into()))?;
        let images = ImageSet::of_slices(scores.into_iter().zip(slices), data_set.split);
        Box::new(CnnTrainer::new(images, device))
    };
    Ok((trainer, account))
}

fn read_options(data_set: &DataSet) -> ReadOptions {
    ReadOptions {
        slices: data_set.slices,
        memory_limit_mib: data_set.memory_limit_mib,
        cache: data_set.cache.as_ref().map(|cache| CacheChoice {
            folder: cache.folder.0.clone(),
            forget_others: cache.forget_others,
        }),
    }
}

const SOME_SCORES: &str = "some patients were listed with a score and some without";
const TO_END_IN_ORDER: Duration = Duration::from_secs(1);

/// The way to the participant; scans are read by many threads, and each reports.
struct Output<W>(Mutex<W>);

impl<W: Write> Output<W> {
    fn send(&self, message: &FromTrainer) -> Result<(), PipeError> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pipe::write_frame(&mut *writer, &pipe::frame(message)?)
    }

    fn step(&self, job: JobNumber, progress: JobProgress) {
        if let JobProgress::Training { done, total } | JobProgress::Evaluating { done, total } =
            progress
        {
            // A pipe that is broken shows in the thread that reads it.
            let _ = self.send(&FromTrainer::Step {
                job,
                done: done as u64,
                total: total as u64,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_libraries_of_the_device_are_loaded_before_files_are_out_of_reach() {
        let done = RefCell::new(Vec::new());
        for device in [DeviceChoice::Auto, DeviceChoice::Cuda(1)] {
            once_loaded(
                device,
                |asked| done.borrow_mut().push(format!("load for {asked}")),
                || done.borrow_mut().push("confine".to_owned()),
            );
        }
        let expected = ["load for auto", "confine", "load for cuda:1", "confine"];
        assert_eq!(done.into_inner(), expected);
    }
}
