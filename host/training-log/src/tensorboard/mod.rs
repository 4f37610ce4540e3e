//! A file of events, as TensorBoard reads it: scalars for its pages of curves, texts and settings for its page of texts, and the settings
//! that are told before the first of them also for its page that compares runs by their settings.

mod messages;
mod record;

use std::{
    collections::BTreeMap,
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
    DataClass, DataType, Event, HParams, PluginData, SessionStart, Setting, Side, Summary,
    SummaryMetadata, Tensor, TensorShape, Value, event, setting, value,
};

/// The file of one run.
pub struct EventFile {
    path: PathBuf,
    file: File,
    start: SystemTime,
    /// Until they are told: once in a file.
    settings: Option<BTreeMap<String, Setting>>,
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
        let mut events = Self {
            path,
            file,
            start,
            settings: Some(BTreeMap::new()),
        };
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

    /// The settings so far, as what the runs of a folder are compared by.
    fn tell_settings(&mut self) -> Result<(), LogError> {
        let settings = self.settings.take();
        let Some(hparams) = settings.filter(|settings| !settings.is_empty()) else {
            return Ok(());
        };
        let content = HParams {
            version: 0,
            session_start_info: Some(SessionStart {
                hparams,
                start_time_secs: since_epoch(self.start).as_secs_f64(),
            }),
        };
        let mut metadata = shown_by("hparams", DataClass::Tensor);
        if let Some(plugin) = &mut metadata.plugin_data {
            plugin.content = content.encode_to_vec();
        }
        // A value has to be there, and is not looked at.
        let tensor = Tensor {
            dtype: DataType::Float.into(),
            tensor_shape: one_value(),
            float_val: vec![0.0],
            string_val: vec![],
        };
        let value = Value {
            tag: SETTINGS_TAG.into(),
            metadata: Some(metadata),
            value: Some(value::Content::Tensor(tensor)),
        };
        self.append_value(self.start, 0, value)
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
        self.tell_settings()?;
        let value = Value {
            tag: tag.as_str().into(),
            metadata: Some(shown_by("scalars", DataClass::Scalar)),
            value: Some(value::Content::Simple(value as f32)),
        };
        self.append_value(at, step, value)
    }

    fn text(&mut self, tag: &Name, step: u32, text: &str, at: SystemTime) -> Result<(), LogError> {
        self.tell_settings()?;
        self.append_value(at, step, text_value(tag.as_str().into(), text))
    }

    fn param(&mut self, name: &Name, value: &str, at: SystemTime) -> Result<(), LogError> {
        check_param(name, value)?;
        if let Some(settings) = &mut self.settings {
            settings.insert(name.as_str().into(), setting(value));
        }
        self.append_value(at, 0, text_value(format!("settings/{name}"), value))
    }

    /// TensorBoard has no word for the end of a run: it is a text.
    fn finish(mut self: Box<Self>, ending: Ending, at: SystemTime) -> Result<(), LogError> {
        let ending = match ending {
            Ending::Complete => "complete",
            Ending::Failed => "failed",
            Ending::Stopped => "stopped",
        };
        self.tell_settings()?;
        self.append_value(at, 0, text_value("ending".into(), ending))
    }
}

fn setting(value: &str) -> Setting {
    let number = value.parse().ok().filter(|number: &f64| number.is_finite());
    let kind = number.map_or_else(|| setting::Kind::Text(value.into()), setting::Kind::Number);
    Setting { kind: Some(kind) }
}

fn one_value() -> Option<TensorShape> {
    Some(TensorShape {
        dim: vec![Side { size: 1 }],
    })
}

fn text_value(tag: String, text: &str) -> Value {
    let tensor = Tensor {
        dtype: DataType::String.into(),
        tensor_shape: one_value(),
        float_val: vec![],
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
            content: vec![],
        }),
        data_class: data_class.into(),
    }
}

/// By which the plugin finds the settings.
const SETTINGS_TAG: &str = "_hparams_/session_start_info";
/// The first event of every file.
const FILE_VERSION: &str = "brain.Event:2";
