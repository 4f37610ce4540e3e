//! A file of events, as TensorBoard reads it: scalars for its pages of curves, texts and settings for its page of texts.

mod messages;
mod record;

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use prost::Message as _;

use crate::{
    Ending, LogError, Name, TrainingLog, at, check_param,
    private_file::{create, make_new_folder},
    since_epoch,
};
use messages::{
    DataClass, DataType, Event, PluginData, Side, Summary, SummaryMetadata, Tensor, TensorShape,
    Value, event, value,
};

/// The file of one run.
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file in a folder of its own, which has the name of the run, with a number behind it where that one is taken.
    pub fn create(parent: &Path, run: &Name, start: SystemTime) -> Result<Self, LogError> {
        let run = run.flat();
        let numbered = (2_u32..).map(|number| format!("{run}-{number}"));
        let folder = make_new_folder(parent, std::iter::once(run.clone()).chain(numbered))?;
        let seconds = since_epoch(start).as_secs();
        // TensorBoard looks for `tfevents` in the names of files, and reads them in the order of their names.
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.myelin"));
        let file = create(&path)?;
        let mut events = Self { path, file };
        events.append(start, 0, event::What::FileVersion(FILE_VERSION.into()))?;
        Ok(events)
    }

    fn append(
        &mut self,
        at_time: SystemTime,
        step: u32,
        what: event::What,
    ) -> Result<(), LogError> {
        let event = Event {
            wall_time: since_epoch(at_time).as_secs_f64(),
            step: step.into(),
            what: Some(what),
        };
        // In one piece: a process that is killed leaves whole records, but for the last one at worst.
        let record = record::frame(&event.encode_to_vec());
        self.file.write_all(&record).map_err(at(&self.path))
    }

    fn append_value(
        &mut self,
        at_time: SystemTime,
        step: u32,
        value: Value,
    ) -> Result<(), LogError> {
        let summary = Summary { value: vec![value] };
        self.append(at_time, step, event::What::Summary(summary))
    }
}

impl TrainingLog for EventFile {
    fn scalar(
        &mut self,
        tag: &Name,
        step: u32,
        value: f64,
        at: SystemTime,
    ) -> Result<(), LogError> {
        let value = Value {
            tag: tag.as_str().into(),
            metadata: Some(shown_by("scalars", DataClass::Scalar)),
            value: Some(value::Content::Simple(value as f32)),
        };
        self.append_value(at, step, value)
    }

    fn text(&mut self, tag: &Name, step: u32, text: &str, at: SystemTime) -> Result<(), LogError> {
        self.append_value(at, step, text_value(tag.as_str().into(), text))
    }

    fn param(&mut self, name: &Name, value: &str, at: SystemTime) -> Result<(), LogError> {
        check_param(name, value)?;
        self.append_value(at, 0, text_value(format!("settings/{name}"), value))
    }

    /// TensorBoard has no word for the end of a run: it is a text.
    fn finish(mut self: Box<Self>, ending: Ending, at: SystemTime) -> Result<(), LogError> {
        let ending = match ending {
            Ending::Complete => "complete",
            Ending::Failed => "failed",
            Ending::Stopped => "stopped",
        };
        self.append_value(at, 0, text_value("ending".into(), ending))
    }
}

fn text_value(tag: String, text: &str) -> Value {
    let tensor = Tensor {
        dtype: DataType::String.into(),
        tensor_shape: Some(TensorShape {
            dim: vec![Side { size: 1 }],
        }),
        string_val: vec![text.as_bytes().to_vec()],
    };
    Value {
        tag,
        metadata: Some(shown_by("text", DataClass::Tensor)),
        value: Some(value::Content::Tensor(tensor)),
    }
}

/// The part of TensorBoard that shows a value.
fn shown_by(plugin: &str, data_class: DataClass) -> SummaryMetadata {
    SummaryMetadata {
        plugin_data: Some(PluginData {
            plugin_name: plugin.into(),
        }),
        data_class: data_class.into(),
    }
}

/// The first event of every file.
const FILE_VERSION: &str = "brain.Event:2";
