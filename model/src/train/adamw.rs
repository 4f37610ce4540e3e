//! AdamW (Loshchilov and Hutter 2019, Algorithm 2), in PyTorch's order of operations.

use tch::Tensor;

/// PyTorch's defaults.
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Values a step works on at a time: parameter, gradient, both moments and the quotient stay in
/// a core's cache. libtorch's own AdamW streams each through memory several times, which for the
/// dense layer's four million values takes three times as long.
const CHUNK: i64 = 16_384;

/// Parameters with their moments, and the number of steps done.
pub(super) struct AdamW {
    learning_rate: f64,
    weight_decay: f64,
    steps: i32,
    parameters: Vec<Parameter>,
}

struct Parameter {
    chunks: Vec<Chunk>,
}

/// A stretch of a parameter, flat; the views share the parameter's storage.
struct Chunk {
    start: i64,
    length: i64,
    values: Tensor,
    first_moment: Tensor,
    second_moment: Tensor,
}

impl AdamW {
    /// Fresh moments for `parameters`, which must be contiguous.
    pub(super) fn new(parameters: &[Tensor], learning_rate: f64, weight_decay: f64) -> Self {
        let parameters = parameters.iter().map(Parameter::new).collect();
        Self {
            learning_rate,
            weight_decay,
            steps: 0,
            parameters,
        }
    }

    /// One step along `gradients`, in the order of the parameters.
    pub(super) fn step(&mut self, gradients: &[Tensor]) {
        self.steps += 1;
        let decay = 1.0 - self.learning_rate * self.weight_decay;
        let step_size = self.learning_rate / (1.0 - BETA1.powi(self.steps));
        let correction = (1.0 - BETA2.powi(self.steps)).sqrt();
        tch::no_grad(|| {
            for (parameter, gradient) in self.parameters.iter_mut().zip(gradients) {
                let gradient = gradient.reshape([-1]);
                for chunk in &mut parameter.chunks {
                    let gradient = gradient.narrow(0, chunk.start, chunk.length);
                    chunk.step(&gradient, decay, step_size, correction);
                }
            }
        });
    }
}

impl Parameter {
    fn new(parameter: &Tensor) -> Self {
        let flat = parameter.detach().view([-1]);
        let length = flat.size()[0];
        let chunk = |start: i64| {
            let length = CHUNK.min(length - start);
            let values = flat.narrow(0, start, length);
            Chunk {
                start,
                length,
                first_moment: values.zeros_like(),
                second_moment: values.zeros_like(),
                values,
            }
        };
        Self {
            chunks: (0..length).step_by(CHUNK as usize).map(chunk).collect(),
        }
    }
}

impl Chunk {
    fn step(&mut self, gradient: &Tensor, decay: f64, step_size: f64, correction: f64) {
        let _ = self.values.g_mul_scalar_(decay);
        let _ = self.first_moment.lerp_(gradient, 1.0 - BETA1);
        let scaled = gradient * (1.0 - BETA2).sqrt();
        let _ = self.second_moment.g_mul_scalar_(BETA2);
        let _ = self.second_moment.addcmul_(&scaled, &scaled);
        let mut root = self.second_moment.sqrt();
        let _ = root.g_div_scalar_(correction);
        let _ = root.g_add_scalar_(EPSILON);
        let _ = self
            .values
            .addcdiv_(&(&self.first_moment * -step_size), &root);
    }
}
