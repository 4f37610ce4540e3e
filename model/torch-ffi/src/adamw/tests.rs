//! Against libtorch's own AdamW, step by step.

use tch::{
    Device,
    nn::{self, OptimizerConfig},
};

use super::*;

/// A long one, so that the kernel's vector loop and its rest take part, and one of four dimensions.
const SHAPES: [&[i64]; 4] = [&[1], &[7], &[1003], &[4, 3, 3, 2]];
const STEPS: usize = 25;

/// Values without pattern: sines of squares.
fn values(shape: &[i64], salt: usize) -> Tensor {
    let count: i64 = shape.iter().product();
    let value = |place: i64| ((place * place + 31 * salt as i64) as f32 * 0.7).sin();
    let flat: Vec<f32> = (0..count).map(value).collect();
    Tensor::from_slice(&flat).view(shape)
}

fn settings() -> AdamWSettings {
    AdamWSettings {
        learning_rate: 3e-3,
        weight_decay: 5e-2,
        ..AdamWSettings::default()
    }
}

fn fused() -> (Vec<Tensor>, FusedAdamW) {
    let parameters: Vec<Tensor> = SHAPES.iter().map(|shape| values(shape, 0)).collect();
    let shared = parameters.iter().map(Tensor::shallow_clone);
    let optimiser = FusedAdamW::new(shared, settings()).expect("float32");
    (parameters, optimiser)
}

/// Of parameter 2 in the first steps, there is none.
fn gradients(step: usize) -> Vec<Tensor> {
    let gradient = |(place, shape): (usize, &&[i64])| match place {
        2 if step < 5 => Tensor::new(),
        _ => values(shape, 1 + step * SHAPES.len() + place),
    };
    SHAPES.iter().enumerate().map(gradient).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.detach().flatten(0, -1)).expect("floats")
}

#[test]
fn its_steps_are_those_of_libtorch() {
    let (parameters, mut optimiser) = fused();
    let store = nn::VarStore::new(Device::Cpu);
    let theirs: Vec<Tensor> = SHAPES
        .iter()
        .enumerate()
        .map(|(place, shape)| {
            let mut variable = store.root().zeros(&format!("p{place}"), shape);
            tch::no_grad(|| variable.copy_(&values(shape, 0)));
            variable
        })
        .collect();
    let AdamWSettings {
        learning_rate,
        weight_decay,
        ..
    } = settings();
    let mut reference = nn::AdamW::default()
        .wd(weight_decay)
        .build(&store, learning_rate)
        .expect("settings in range");
    for step in 0..STEPS {
        if step == 15 {
            optimiser.set_learning_rate(1e-3);
            reference.set_lr(1e-3);
        }
        let gradients = gradients(step);
        optimiser.step(&gradients).expect("they fit");
        // A parameter that is not in the sum gets no gradient.
        let product = |(parameter, gradient): (&Tensor, &Tensor)| {
            gradient
                .defined()
                .then(|| (parameter * gradient).sum(Kind::Float))
        };
        let parts: Vec<Tensor> = theirs.iter().zip(&gradients).filter_map(product).collect();
        reference.zero_grad();
        Tensor::stack(&parts, 0).sum(Kind::Float).backward();
        reference.step();
        for (ours, theirs) in parameters.iter().zip(&theirs) {
            for (a, b) in flat(ours).into_iter().zip(flat(theirs)) {
                let difference = (a - b).abs();
                assert!(
                    difference <= 1e-6 * b.abs().max(1.0),
                    "{a}, {b} after {step}"
                );
            }
        }
    }
    assert_eq!(optimiser.settings().learning_rate, 1e-3);
}

#[test]
fn the_same_gradients_give_the_same_bits() {
    let run = || {
        let (parameters, mut optimiser) = fused();
        for step in 0..STEPS {
            optimiser.step(&gradients(step)).expect("they fit");
        }
        parameters.iter().map(flat).collect::<Vec<_>>()
    };
    assert!(run() == run());
}

/// The gradient of a convolution comes with the channel as the fastest axis; a kernel that took its values in the order of memory
/// would mix them up.
#[test]
fn the_order_of_a_gradient_in_memory_does_not_matter() {
    let run = |gradient: Tensor| {
        let parameter = values(SHAPES[3], 0);
        let mut optimiser =
            FusedAdamW::new([parameter.shallow_clone()], settings()).expect("float32");
        optimiser.step(&[gradient]).expect("it fits");
        flat(&parameter)
    };
    let plain = values(SHAPES[3], 1);
    let permuted = plain
        .permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2]);
    assert!(!permuted.is_contiguous());
    assert_eq!(run(plain), run(permuted));
}

#[test]
fn a_parameter_without_a_gradient_stays() {
    let (parameters, mut optimiser) = fused();
    let before: Vec<Vec<f32>> = parameters.iter().map(flat).collect();
    optimiser.step(&gradients(0)).expect("they fit");
    let moved: Vec<bool> = parameters
        .iter()
        .zip(&before)
        .map(|(parameter, before)| flat(parameter) != *before)
        .collect();
    assert_eq!(moved, [true, true, false, true]);
    let none: Vec<Tensor> = SHAPES.iter().map(|_| Tensor::new()).collect();
    optimiser.step(&none).expect("nothing to do");
}

#[test]
fn what_does_not_fit_is_refused_and_moves_nothing() {
    let (parameters, mut optimiser) = fused();
    let before: Vec<Vec<f32>> = parameters.iter().map(flat).collect();
    let refusal = |optimiser: &mut FusedAdamW, gradients: &[Tensor]| {
        let error = optimiser.step(gradients).expect_err("it does not fit");
        error.to_string()
    };
    let mut wrong = gradients(9);
    wrong.truncate(2);
    assert_eq!(
        refusal(&mut optimiser, &wrong),
        "2 gradients for 4 parameters"
    );
    for gradient in [values(&[8], 1), values(&[7], 1).to_kind(Kind::Double)] {
        let mut wrong = gradients(9);
        wrong[1] = gradient;
        assert!(refusal(&mut optimiser, &wrong).starts_with("gradient 1 "));
    }
    assert!(parameters.iter().map(flat).eq(before));
    let strided = values(&[4, 3], 0).transpose(0, 1);
    let double = values(&[4], 0).to_kind(Kind::Double);
    for parameter in [strided, double] {
        let error = FusedAdamW::new([values(&[2], 0), parameter], settings()).err();
        assert!(matches!(error, Some(AdamWError::Parameter { index: 1 })));
    }
}

/// Settings are libtorch's to judge; its exception arrives as an error.
#[test]
fn an_exception_of_libtorch_is_an_error() {
    let mut meta = FusedAdamW::new([values(&[3], 0)], settings()).expect("float32");
    // A shape that the kernel refuses, behind the back of our own checks.
    meta.parameters[0].steps = values(&[2], 0);
    let error = meta.step(&[values(&[3], 1)]).expect_err("two step counts");
    assert!(matches!(error, AdamWError::Torch(_)), "{error}");
    assert!(!error.to_string().is_empty());
}
