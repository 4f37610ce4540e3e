//! The proximal term of FedProx (Li et al. 2020, equation 2): the loss gains mu/2 |w - w_0|^2, where w_0 is the common model that a round
//! begins from, so that hospitals of different data do not drift apart.

use tch::{TchError, Tensor};

/// mu and w_0.
pub(super) struct Proximal {
    mu: f64,
    /// Copies, in the order of the weights.
    start: Vec<Tensor>,
}

impl Proximal {
    /// With w_0 the weights as they are now; none where mu is 0, which adds nothing.
    ///
    /// # Errors
    /// No memory for the copies.
    pub fn around(mu: f64, weights: &[Tensor]) -> Result<Option<Self>, TchError> {
        if mu == 0.0 {
            return Ok(None);
        }
        let copy = |weight: &Tensor| weight.f_detach()?.f_alias_copy();
        let start = weights.iter().map(copy).collect::<Result<_, _>>()?;
        Ok(Some(Self { mu, start }))
    }

    /// The gradients of the loss with the term: each gains mu (w - w_0). An undefined one stays so: its weight has not moved.
    ///
    /// # Errors
    /// What libtorch refuses: no memory.
    pub fn add_to(
        &self,
        gradients: &[Tensor],
        weights: &[Tensor],
    ) -> Result<Vec<Tensor>, TchError> {
        let triples = gradients.iter().zip(weights).zip(&self.start);
        let gained = triples.map(|((gradient, weight), start)| {
            if !gradient.defined() {
                return Ok(Tensor::new());
            }
            let away = weight.f_detach()?.f_sub(start)?;
            gradient.f_add(&away.f_mul_scalar(self.mu)?)
        });
        gained.collect()
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn weight(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(&tensor.detach()).expect("a vector of floats")
    }

    #[test]
    fn the_gradient_gained_is_that_which_autograd_finds_of_the_term() {
        const MU: f64 = 0.375;
        let start = [0.5, -1.25, 3.0];
        let proximal = Proximal::around(MU, &[weight(&start)])
            .expect("little memory")
            .expect("mu is not 0");
        let moved = weight(&[0.75, -1.0, -2.0]);
        let of_loss = Tensor::from_slice(&[1.0_f32, -2.0, 4.0]);
        let gained = proximal
            .add_to(&[of_loss.shallow_clone()], &[moved.shallow_clone()])
            .expect("computes");
        let away = &moved - Tensor::from_slice(&start);
        let term = (away.square() * (MU / 2.0)).sum(Kind::Float);
        let of_term = Tensor::f_run_backward(&[term], &[&moved], false, false).expect("computes");
        assert_eq!(values(&gained[0]), values(&(of_loss + &of_term[0])));
        assert!(!gained[0].requires_grad());
    }

    #[test]
    fn the_start_stays_where_it_was_and_an_undefined_gradient_undefined() {
        let mut moving = Tensor::from_slice(&[1.0_f32, 2.0]);
        let proximal = Proximal::around(2.0, &[moving.shallow_clone()])
            .expect("little memory")
            .expect("mu is not 0");
        let _ = moving
            .f_add_(&Tensor::from_slice(&[0.5_f32, -0.5]))
            .expect("in place");
        let none = Tensor::zeros([2], (Kind::Float, tch::Device::Cpu));
        let gained = proximal.add_to(&[none], &[moving.shallow_clone()]);
        assert_eq!(values(&gained.expect("computes")[0]), [1.0, -1.0]);
        let undefined = proximal.add_to(&[Tensor::new()], &[moving]);
        assert!(!undefined.expect("nothing to compute")[0].defined());
    }

    #[test]
    fn a_mu_of_0_keeps_nothing() {
        let none = Proximal::around(0.0, &[weight(&[1.0])]).expect("nothing to copy");
        assert!(none.is_none());
    }
}
