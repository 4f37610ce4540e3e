//! The hybrid CNN (MODEL.md, "The network") as nodes, in evaluation: running statistics, no dropout.
//!
//! ONNX has no convolution with another filter for each sample. The nine shifted copies of a slice are one convolution with nine
//! fixed kernels; each is multiplied with its entry of the sample's filter, and they are added up:
//!
//! ```text
//!  slices [N, 1, 128, 128] ─ Conv, nine kernels with a single 1 ─ [N, 9, 128, 128] ┐
//!  features [N, 9] ─ times W, rounded, clipped ─ [N, 9, 1, 1] ─────────────────────┴─ Mul ─ ReduceSum ─ [N, 1, 128, 128]
//! ```
//!
//! In the form `additive` W is added to the products before they are rounded. In the form `late` both convolutions are the same for all,
//! and the products of each class, added up, rounded and clipped, are added to its logit.

use model_data::{FEATURES, IMAGE_SIDE};
use protocol::{
    network::{CONDITIONED_SLOPE, CONDITIONED_WEIGHT, LATE_WEIGHT},
    vocabulary::ConditioningForm,
};

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
        let meets_features = model.form.tensors().contains(&name);
        if !meets_features || model.filters == FilterSource::Common {
            graph.floats(name, &dims, model.tensor(name));
        }
    }
    let about = "axial slices, zero mean and unit variance each";
    graph.input("slices", &[1, side, side], about);
    let form = match model.filters {
        FilterSource::Common => None,
        FilterSource::Features => {
            let about = "clinical features in the order and scale of the model's card";
            let features = model.card.input.feature_count();
            graph.input("features", &[features as i64], about);
            Some(model.form)
        }
    };
    match form {
        None | Some(ConditioningForm::Late) => {
            graph.node(
                "conditioned",
                "Conv",
                &["slices", CONDITIONED_WEIGHT],
                kernel_of_three(),
            );
        }
        Some(ConditioningForm::Study) => {
            conditioned_convolution(&mut graph, model.tensor(CONDITIONED_WEIGHT), None)
        }
        Some(ConditioningForm::Additive) => {
            let base = model.tensor(CONDITIONED_WEIGHT);
            conditioned_convolution(&mut graph, model.tensor(CONDITIONED_SLOPE), Some(base))
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
    let shifted = form == Some(ConditioningForm::Late);
    if shifted {
        shifts(&mut graph, model.tensor(LATE_WEIGHT), model.classes.into());
    }
    classify(&mut graph, &hidden, model.classes.into(), shifted);
    graph.finish()
}

/// `shifts` of the logits, from `features`: the products of each class added up, and rounded as a vault releases them at its finest
/// levels.
fn shifts(graph: &mut GraphBuilder, weights: &[f32], classes: i64) {
    let weights: Vec<f64> = weights.iter().map(|&weight| weight.into()).collect();
    let features = weights.len() as i64 / classes;
    graph.doubles("late.weights", &[classes, features], &weights);
    let exact = vec![cast_to(DataType::Double)];
    graph.node("late.features", "Cast", &["features"], exact);
    let sum = ["late.features", "late.weights"];
    let transposed = vec![integer("transB", 1)];
    graph.node("late.sum", "Gemm", &sum, transposed);
    let limit = f64::from(ConditioningForm::Late.limit());
    released(graph, "late.sum", "late", limit);
    let single = vec![cast_to(DataType::Float)];
    graph.node("shifts", "Cast", &["late.clipped"], single);
}

/// `PART.clipped`, from a node: rounded to a multiple of 2^-12 and clipped (PROTOCOL.md 5.4, step 6), in double precision.
fn released(graph: &mut GraphBuilder, input: &str, part: &str, limit: f64) {
    let named = |name: &str| format!("{part}.{name}");
    let (grid, shift) = (named("grid"), named("shift"));
    let (lowest, highest) = (named("lowest"), named("highest"));
    graph.doubles(&grid, &[], &[GRID]);
    graph.doubles(&shift, &[], &[BOUNDARY_SHIFT]);
    graph.doubles(&lowest, &[], &[-limit]);
    graph.doubles(&highest, &[], &[limit]);
    let (multiple, shifted) = (named("multiple"), named("shifted"));
    let (rounded, released) = (named("rounded"), named("released"));
    for (output, operator, inputs) in [
        (multiple.as_str(), "Mul", &[input, &grid][..]),
        (&shifted, "Sub", &[&multiple, &shift]),
        (&rounded, "Round", &[&shifted]),
        (&released, "Div", &[&rounded, &grid]),
        (&named("clipped"), "Clip", &[&released, &lowest, &highest]),
    ] {
        graph.node(output, operator, inputs, Vec::new());
    }
}

/// `conditioned`, from `slices` and `features`; `base` is added to the products.
fn conditioned_convolution(graph: &mut GraphBuilder, factors: &[f32], base: Option<&[f32]>) {
    let doubles = |values: &[f32]| {
        values
            .iter()
            .map(|&value| value.into())
            .collect::<Vec<f64>>()
    };
    graph.doubles("filter.factors", &[FEATURES as i64], &doubles(factors));
    graph.integers("filter.sides", &[2, 3]);
    graph.integers("filter.entries", &[1]);
    let shape = [FEATURES as i64, 1, 3, 3];
    graph.floats("filter.kernels", &shape, &single_ones());

    let exact = vec![cast_to(DataType::Double)];
    graph.node("filter.features", "Cast", &["features"], exact);
    let product = ["filter.features", "filter.factors"];
    graph.node("filter.product", "Mul", &product, Vec::new());
    let whole = match base {
        None => "filter.product",
        Some(base) => {
            graph.doubles("filter.base", &[FEATURES as i64], &doubles(base));
            let sum = ["filter.product", "filter.base"];
            graph.node("filter.sum", "Add", &sum, Vec::new());
            "filter.sum"
        }
    };
    let limit = f64::from(ConditioningForm::Study.limit());
    released(graph, whole, "filter", limit);
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

/// `logits` and `probabilities`, from the last block; with `shifts` added where there are any.
fn classify(graph: &mut GraphBuilder, maps: &str, classes: i64, shifted: bool) {
    let transposed = || vec![integer("transB", 1)];
    graph.node("flat", "Flatten", &[maps], vec![integer("axis", 1)]);
    let dense = ["flat", "dense.weight", "dense.bias"];
    graph.node("dense", "Gemm", &dense, transposed());
    graph.node("dense.relu", "Relu", &["dense"], Vec::new());
    let classifier = ["dense.relu", "classifier.weight", "classifier.bias"];
    let of_images = if shifted {
        "logits.of_images"
    } else {
        "logits"
    };
    graph.node(of_images, "Gemm", &classifier, transposed());
    if shifted {
        graph.node("logits", "Add", &[of_images, "shifts"], Vec::new());
    }
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

/// What is released is a multiple of one part of these.
const GRID: f64 = 4096.0;

/// 43/127 of 2^-20, in steps of the grid.
const BOUNDARY_SHIFT: f64 = 43.0 / (127.0 * 256.0);
