//! The messages of `event.proto`, `summary.proto`, `tensor.proto` and the plugin `hparams` that scalars, texts and settings need, by their
//! numbers there.

use std::collections::BTreeMap;

use prost::Message;

/// `tensorboard.Event`.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// Of the training.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// What is told.
    #[prost(oneof = "event::What", tags = "3, 5")]
    pub what: Option<event::What>,
}

/// What an [`Event`] tells.
pub mod event {
    /// `tensorboard.Event.what`.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum What {
        /// In the first event of a file.
        #[prost(string, tag = "3")]
        FileVersion(String),
        /// Values of a step.
        #[prost(message, tag = "5")]
        Summary(super::Summary),
    }
}

/// `tensorboard.Summary`.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// At least one.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// `tensorboard.Summary.Value`.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Its name.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// How it is shown.
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<SummaryMetadata>,
    /// The value.
    #[prost(oneof = "value::Content", tags = "2, 8")]
    pub value: Option<value::Content>,
}

/// What a [`Value`] holds.
pub mod value {
    /// `tensorboard.Summary.Value.value`.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Content {
        /// A number.
        #[prost(float, tag = "2")]
        Simple(f32),
        /// Anything else.
        #[prost(message, tag = "8")]
        Tensor(super::Tensor),
    }
}

/// `tensorboard.SummaryMetadata`.
#[derive(Clone, PartialEq, Message)]
pub struct SummaryMetadata {
    /// For which part of TensorBoard.
    #[prost(message, optional, tag = "1")]
    pub plugin_data: Option<PluginData>,
    /// Of what kind.
    #[prost(enumeration = "DataClass", tag = "4")]
    pub data_class: i32,
}

/// `tensorboard.SummaryMetadata.PluginData`.
#[derive(Clone, PartialEq, Message)]
pub struct PluginData {
    /// `scalars`, `text` or `hparams`.
    #[prost(string, tag = "1")]
    pub plugin_name: String,
    /// What that part reads: of `hparams` an [`HParams`].
    #[prost(bytes = "vec", tag = "2")]
    pub content: Vec<u8>,
}

/// `tensorboard.DataClass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataClass {
    /// Not told.
    Unknown = 0,
    /// One number a step.
    Scalar = 1,
    /// A tensor a step.
    Tensor = 2,
}

/// `tensorboard.TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// Of its values.
    #[prost(enumeration = "DataType", tag = "1")]
    pub dtype: i32,
    /// Its sides.
    #[prost(message, optional, tag = "2")]
    pub tensor_shape: Option<TensorShape>,
    /// Numbers.
    #[prost(float, repeated, tag = "5")]
    pub float_val: Vec<f32>,
    /// Texts, as bytes.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub string_val: Vec<Vec<u8>>,
}

/// `tensorboard.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// Not told.
    Invalid = 0,
    /// Numbers of 32 bits.
    Float = 1,
    /// Bytes.
    String = 7,
}

/// `tensorboard.TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShape {
    /// One for each side.
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<Side>,
}

/// `tensorboard.TensorShapeProto.Dim`.
#[derive(Clone, PartialEq, Message)]
pub struct Side {
    /// Its length.
    #[prost(int64, tag = "1")]
    pub size: i64,
}

/// `tensorboard.hparams.HParamsPluginData`.
#[derive(Clone, PartialEq, Message)]
pub struct HParams {
    /// 0 at present.
    #[prost(int32, tag = "1")]
    pub version: i32,
    /// The settings of a run.
    #[prost(message, optional, tag = "3")]
    pub session_start_info: Option<SessionStart>,
}

/// `tensorboard.hparams.SessionStartInfo`.
#[derive(Clone, PartialEq, Message)]
pub struct SessionStart {
    /// By name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub hparams: BTreeMap<String, Setting>,
    /// Seconds since 1970.
    #[prost(double, tag = "5")]
    pub start_time_secs: f64,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
pub struct Setting {
    /// A number or a text.
    #[prost(oneof = "setting::Kind", tags = "2, 3")]
    pub kind: Option<setting::Kind>,
}

/// What a [`Setting`] is.
pub mod setting {
    /// `google.protobuf.Value.kind`.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// For axes and sliders.
        #[prost(double, tag = "2")]
        Number(f64),
        /// For a list to choose from.
        #[prost(string, tag = "3")]
        Text(String),
    }
}
