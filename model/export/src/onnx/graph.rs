//! A graph of ONNX, put together node by node.

use super::messages::{
    Attribute, AttributeType, DataType, Dimension, Graph, Length, Node, Note, Shape, Tensor,
    TensorType, ValueInfo, ValueType,
};

/// A graph that grows.
pub struct GraphBuilder {
    graph: Graph,
}

impl GraphBuilder {
    /// Without a node.
    pub fn new(name: &str) -> Self {
        let name = Some(name.into());
        Self {
            graph: Graph {
                name,
                ..Graph::default()
            },
        }
    }

    /// An input of floats, [N, `sides`], N being chosen when it runs.
    pub fn input(&mut self, name: &str, sides: &[i64], about: &str) {
        self.graph.input.push(batch_of(name, sides, about));
    }

    /// An output of floats, [N, `sides`].
    pub fn output(&mut self, name: &str, sides: &[i64], about: &str) {
        self.graph.output.push(batch_of(name, sides, about));
    }

    /// A tensor of floats, row-major.
    pub fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(name, dims, DataType::Float, bytes.collect());
    }

    /// A tensor of doubles, row-major.
    pub fn doubles(&mut self, name: &str, dims: &[i64], values: &[f64]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(name, dims, DataType::Double, bytes.collect());
    }

    /// A list of integers.
    pub fn integers(&mut self, name: &str, values: &[i64]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        let length = values.len() as i64;
        self.constant(name, &[length], DataType::Int64, bytes.collect());
    }

    /// A node that gives one tensor, which has the name of the node.
    pub fn node(
        &mut self,
        output: &str,
        operator: &str,
        inputs: &[&str],
        settings: Vec<Attribute>,
    ) {
        self.graph.node.push(Node {
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            name: Some(output.into()),
            op_type: Some(operator.into()),
            attribute: settings,
        });
    }

    /// The whole graph.
    pub fn finish(self) -> Graph {
        self.graph
    }

    fn constant(&mut self, name: &str, dims: &[i64], data_type: DataType, bytes: Vec<u8>) {
        self.graph.initializer.push(Tensor {
            dims: dims.to_vec(),
            data_type: Some(data_type.into()),
            name: Some(name.into()),
            raw_data: Some(bytes),
        });
    }
}

/// A setting that is an integer.
pub fn integer(name: &str, value: i64) -> Attribute {
    Attribute {
        i: Some(value),
        ..setting(name, AttributeType::Int)
    }
}

/// A setting that is a list of integers.
pub fn integers(name: &str, values: &[i64]) -> Attribute {
    Attribute {
        ints: values.to_vec(),
        ..setting(name, AttributeType::Ints)
    }
}

/// A setting that is a number with a point.
pub fn float(name: &str, value: f32) -> Attribute {
    Attribute {
        f: Some(value),
        ..setting(name, AttributeType::Float)
    }
}

/// The setting of `Cast`.
pub fn cast_to(data_type: DataType) -> Attribute {
    integer("to", i32::from(data_type).into())
}

/// A note of the model.
pub fn note(key: &str, value: &str) -> Note {
    Note {
        key: Some(key.into()),
        value: Some(value.into()),
    }
}

fn setting(name: &str, kind: AttributeType) -> Attribute {
    Attribute {
        name: Some(name.into()),
        r#type: Some(kind.into()),
        ..Attribute::default()
    }
}

fn batch_of(name: &str, sides: &[i64], about: &str) -> ValueInfo {
    let batch = Length::Named("N".into());
    let sides = sides.iter().map(|&side| Length::Fixed(side));
    let dim = std::iter::once(batch).chain(sides);
    let dim = dim.map(|length| Dimension {
        length: Some(length),
    });
    ValueInfo {
        name: Some(name.into()),
        r#type: Some(ValueType {
            tensor_type: Some(TensorType {
                elem_type: Some(DataType::Float.into()),
                shape: Some(Shape { dim: dim.collect() }),
            }),
        }),
        doc_string: Some(about.into()),
    }
}
