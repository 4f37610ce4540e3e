//! The hybrid CNN (MODEL.md, "The network") as nodes, in evaluation: running statistics, no dropout.
//!
//! ONNX has no convolution with another filter for each sample. The nine shifted copies of a slice are one convolution with nine
//! fixed kernels; each is multiplied with its entry of the sample's filter, and they are added up:
//!
//! ```text
//!  slices [N, 1, 128, 128] ─ Conv, nine kernels with a single 1 ─ [N, 9, 128, 128] ┐
//!  features [N, 9] ─ times W, rounded, clipped ─ [N, 9, 1, 1] ─────────────────────┴─ Mul ─ ReduceSum ─ [N, 1, 128, 128]
//! ```

use model_data::{FEATURES, IMAGE_SIDE};
use protocol::network::CONDITIONED_WEIGHT;

use super::{
    graph::{GraphBuilder, cast_to, float, integer, integers},
    messages::{Attribute, DataType, Graph},
};
use crate::kept_model::{FilterSource, KeptModel};

/// The whole network, from slices to probabilities.
pub fn graph(model: &KeptModel) -> Graph {
    let side = IMAGE_SIDE as i64;
    let mut graph = GraphBuilder::new("hybrid_cnn");
    for spec in model.layout.tensors.iter() {
        let name = spec.name.0.as_str();
        let dims: Vec<i64> = spec.shape.iter().map(|&side| side.into()).collect();
        if name != CONDITIONED_WEIGHT || model.filters == FilterSource::Common {
            graph.floats(name, &dims, model.tensor(name));
        }
    }
    let about = "axial slices, zero mean and unit variance each";
    graph.input("slices", &[1, side, side], about);
    match model.filters {
        FilterSource::Common => {
            graph.node(
                "conditioned",
                "Conv",
                &["slices", CONDITIONED_WEIGHT],
                kernel_of_three(),
            );
        }
        FilterSource::Features => {
            conditioned_convolution(&mut graph, model.tensor(CONDITIONED_WEIGHT))
        }
    }
    let free = ["slices", "free.weight", "free.bias"];
    graph.node("free", "Conv", &free, kernel_of_three());
    let both = ["conditioned", "free"];
    graph.node("side_by_side", "Concat", &both, vec![integer("axis", 1)]);
    let mut hidden = "side_by_side".to_owned();
    for number in 1..=BLOCKS {
        hidden = block(&mut graph, number, &hidden);
    }
    classify(&mut graph, &hidden, model.classes.into());
    graph.finish()
}

/// `conditioned`, from `slices` and `features`.
///
/// The products are rounded as a vault releases them (PROTOCOL.md 5.4, step 6), in double precision.
fn conditioned_convolution(graph: &mut GraphBuilder, base: &[f32]) {
    let about = "clinical features in the order and scale of the model's card";
    graph.input("features", &[FEATURES as i64], about);
    let base: Vec<f64> = base.iter().map(|&weight| weight.into()).collect();
    graph.doubles("filter.base", &[FEATURES as i64], &base);
    graph.doubles("filter.grid", &[], &[FILTER_GRID]);
    graph.doubles("filter.shift", &[], &[BOUNDARY_SHIFT]);
    graph.doubles("filter.lowest", &[], &[-1.0]);
    graph.doubles("filter.highest", &[], &[1.0]);
    graph.integers("filter.sides", &[2, 3]);
    graph.integers("filter.entries", &[1]);
    let shape = [FEATURES as i64, 1, 3, 3];
    graph.floats("filter.kernels", &shape, &single_ones());

    let exact = vec![cast_to(DataType::Double)];
    graph.node("filter.features", "Cast", &["features"], exact);
    for (output, operator, inputs) in [
        (
            "filter.product",
            "Mul",
            &["filter.features", "filter.base"][..],
        ),
        ("filter.multiple", "Mul", &["filter.product", "filter.grid"]),
        (
            "filter.shifted",
            "Sub",
            &["filter.multiple", "filter.shift"],
        ),
        ("filter.rounded", "Round", &["filter.shifted"]),
        ("filter.released", "Div", &["filter.rounded", "filter.grid"]),
        (
            "filter.clipped",
            "Clip",
            &["filter.released", "filter.lowest", "filter.highest"],
        ),
    ] {
        graph.node(output, operator, inputs, Vec::new());
    }
    let single = vec![cast_to(DataType::Float)];
    graph.node("filter", "Cast", &["filter.clipped"], single);
    let filter = ["filter", "filter.sides"];
    graph.node("filter.of_sample", "Unsqueeze", &filter, Vec::new());
    let shifted = ["slices", "filter.kernels"];
    graph.node("shifted", "Conv", &shifted, kernel_of_three());
    graph.node(
        "weighted",
        "Mul",
        &["shifted", "filter.of_sample"],
        Vec::new(),
    );
    let entries = ["weighted", "filter.entries"];
    graph.node(
        "conditioned",
        "ReduceSum",
        &entries,
        vec![integer("keepdims", 1)],
    );
}

/// Convolution, batch norm, ReLU and pooling; gives the name of what comes out.
fn block(graph: &mut GraphBuilder, number: usize, input: &str) -> String {
    let named = |part: &str| format!("block{number}.{part}");
    let (conv, norm, relu, output) = (named("conv"), named("norm"), named("relu"), named("output"));
    let (weight, bias) = (named("conv.weight"), named("conv.bias"));
    graph.node(&conv, "Conv", &[input, &weight, &bias], kernel_of_three());
    let parts = [
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
    ]
    .map(named);
    let [scale, shift, mean, variance] = &parts;
    let epsilon = vec![float("epsilon", NORM_EPSILON)];
    let inputs = [conv.as_str(), scale, shift, mean, variance];
    graph.node(&norm, "BatchNormalization", &inputs, epsilon);
    graph.node(&relu, "Relu", &[&norm], Vec::new());
    let halves = vec![
        integers("kernel_shape", &[2, 2]),
        integers("strides", &[2, 2]),
    ];
    graph.node(&output, "MaxPool", &[&relu], halves);
    output
}

/// `logits` and `probabilities`, from the last block.
fn classify(graph: &mut GraphBuilder, maps: &str, classes: i64) {
    let transposed = || vec![integer("transB", 1)];
    graph.node("flat", "Flatten", &[maps], vec![integer("axis", 1)]);
    let dense = ["flat", "dense.weight", "dense.bias"];
    graph.node("dense", "Gemm", &dense, transposed());
    graph.node("dense.relu", "Relu", &["dense"], Vec::new());
    let classifier = ["dense.relu", "classifier.weight", "classifier.bias"];
    graph.node("logits", "Gemm", &classifier, transposed());
    graph.node(
        "probabilities",
        "Softmax",
        &["logits"],
        vec![integer("axis", -1)],
    );
    graph.output("logits", &[classes], "one for each class");
    graph.output("probabilities", &[classes], "softmax of the logits");
}

/// 3x3, and an output of the input's size.
fn kernel_of_three() -> Vec<Attribute> {
    vec![
        integers("kernel_shape", &[3, 3]),
        integers("pads", &[1, 1, 1, 1]),
    ]
}

/// Nine kernels of 3x3, [9, 1, 3, 3]: the k-th picks the k-th neighbour.
fn single_ones() -> Vec<f32> {
    let one_in = |kernel| move |place| f32::from(u8::from(kernel == place));
    (0..FEATURES)
        .flat_map(|kernel| (0..FEATURES).map(one_in(kernel)))
        .collect()
}

const BLOCKS: usize = 3;

/// PyTorch's default, with which the network was trained.
const NORM_EPSILON: f32 = 1e-5;

/// A released filter is a multiple of one part of these.
const FILTER_GRID: f64 = 4096.0;

/// 43/127 of 2^-20, in steps of the grid.
const BOUNDARY_SHIFT: f64 = 43.0 / (127.0 * 256.0);
