//! Training at a single site from outside: W's gradient, what is kept, when it ends, what is refused.

use tch::Kind;

use super::*;
use crate::{
    device::Device,
    network::{Architecture, Network},
    train::{
        tests::{CLASSES, dataset, model, patients},
        training::{dropout_mask, weighted_loss},
    },
};
use model_data::{FEATURES, Sample};
use protocol::vocabulary::ConditioningForm;

type Filter = [f32; FEATURES];

/// W * f in plaintext, not rounded, of four patients whose features reach from -1 to 1.
struct Products {
    features: Vec<Filter>,
    asked: Vec<Vec<usize>>,
}

impl Products {
    fn new() -> Self {
        let feature = |place: usize| ((place * 5 % 19) as f32 / 9.0) - 1.0;
        let of_patient = |patient| std::array::from_fn(|tap| feature(patient * FEATURES + tap));
        Self {
            features: (0..4).map(of_patient).collect(),
            asked: vec![],
        }
    }
}

impl Products {
    fn filters(&self, weight: &[f32], patients: &[usize]) -> Vec<Filter> {
        let product = |features: &Filter| {
            std::array::from_fn(|tap| (weight[tap] * features[tap]).clamp(-1.0, 1.0))
        };
        let of_patients = patients.iter().map(|&patient| &self.features[patient]);
        of_patients.map(product).collect()
    }
}

impl InputSource for Products {
    fn inputs(
        &mut self,
        weights: &[f32],
        patients: &[usize],
    ) -> Result<PatientValues, Box<dyn Error + Send + Sync>> {
        self.asked.push(patients.to_vec());
        Ok(self.filters(weights, patients).into())
    }

    fn gradient(&self, patients: &[usize], input_gradients: &PatientValues) -> Vec<f32> {
        let mut sum = vec![0.0; FEATURES];
        for (&patient, gradient) in patients.iter().zip(input_gradients.rows()) {
            for tap in 0..FEATURES {
                sum[tap] += self.features[patient][tap] * gradient[tap];
            }
        }
        sum
    }
}

const FREE: Architecture = Architecture {
    classes: CLASSES,
    form: ConditioningForm::Study,
    conditioning: Conditioning::Free,
};

/// A start whose W is wide enough for the clip to take part.
fn initial() -> Vec<f32> {
    let mut initial = model(FREE);
    for value in &mut initial[weight_range()] {
        *value *= 6.0;
    }
    initial
}

fn weight_range() -> std::ops::Range<usize> {
    let mut start = 0;
    for spec in FREE.layout() {
        let end = start + spec.values();
        if spec.name.0 == "conditioned.weight" {
            return start..end;
        }
        start = end;
    }
    panic!("the layout has it");
}

fn settings(epochs: usize) -> FitSettings {
    FitSettings {
        training: TrainingSettings {
            batch: 3,
            local_epochs: epochs,
            ..TrainingSettings::new(vec![0.8, 1.3], [3; 32])
        },
        plateau: Plateau::default(),
        early_stop: NonZeroUsize::new(epochs).expect("some epochs"),
    }
}

fn fit(source: Option<&mut dyn InputSource>, settings: &FitSettings) -> Result<Fit, TrainError> {
    let (training, validation) = (dataset(&[0, 1, 2]), dataset(&[3, 2]));
    Trainer::new(FREE, Device::CPU).fit(
        &training,
        &validation,
        &initial(),
        source,
        settings,
        &mut |_, _| (),
    )
}

/// The same training with W in the graph, through the product and the clip.
fn twin(settings: &TrainingSettings, source: &Products) -> Vec<f32> {
    let training = dataset(&[0, 1, 2]);
    let mut network = Network::new(FREE, Device::CPU);
    network.load(&initial()).expect("fits");
    let weight = |network: &Network| {
        let (_, weight) = network.meeting_features()[0];
        weight.view([1, 9])
    };
    let features = patient_table(&source.features.clone().into(), Device::CPU).expect("small");
    let mut optimiser = settings.optimiser(&network).expect("small moments");
    let class_weights = settings.class_weights_on(Device::CPU).expect("small");
    let mut shuffles = stream(&settings.seed, Stream::Shuffles);
    let mut masks = stream(&settings.seed, Stream::DropoutMasks);
    let mut order: Vec<usize> = (0..training.len()).collect();
    for _ in 0..settings.local_epochs {
        order.shuffle(&mut shuffles);
        for indices in order.chunks(settings.batch) {
            let samples = training.batch(indices, Device::CPU).expect("small");
            let filters = (weight(&network) * &features).clamp(-1.0, 1.0);
            let filters = filters.index_select(0, &samples.patients);
            let dropout_mask = &dropout_mask(indices.len(), &mut masks);
            let mode = Mode::Training { dropout_mask };
            let logits = network.forward(&samples.images, Some(&filters), &mode);
            let logits = logits.expect("shapes fit");
            let loss = weighted_loss(&logits, &samples.labels, &class_weights);
            let gradients = optimiser.backward(&loss.expect("shapes fit"), None);
            let moved = optimiser.step(&gradients.expect("a graph"));
            moved.expect("one gradient a weight");
        }
    }
    network.flatten()
}

/// AdamW does not see the scale of a gradient, so the gradient itself is compared as well.
#[test]
fn the_gradient_of_w_is_autograds_through_the_product_and_the_clip() {
    let data = dataset(&[0, 1, 2]);
    let indices: Vec<usize> = (0..data.len()).collect();
    let samples = data.batch(&indices, Device::CPU).expect("small");
    let settings = TrainingSettings::new(vec![0.8, 1.3], [1; 32]);
    let mut source = Products::new();
    let gradient = |trainer: &Trainer, gradients: &Gradients| {
        let (place, _) = trainer.network.meeting_features()[0];
        let gradient = gradients.weights[place].view([-1]);
        Vec::<f32>::try_from(&gradient).expect("floats")
    };
    let ours = {
        let mut trainer = Trainer::new(FREE, Device::CPU);
        trainer.network.load(&initial()).expect("fits");
        let made = trainer.conditioned(&data, &indices, Some(&mut source));
        let made = made.expect("never fails").expect("conditioned");
        let mut training = Training::new(&trainer, &data, None, &settings).expect("begins");
        let found = training.gradients(&samples, Some(&made.table));
        let (_, mut gradients) = found.expect("a graph");
        let given = trainer.give_weights_their_gradient(&mut gradients, &made, &source);
        given.expect("nine values");
        gradient(&trainer, &gradients)
    };
    let theirs = {
        let mut trainer = Trainer::new(FREE, Device::CPU);
        trainer.network.load(&initial()).expect("fits");
        let features = patient_table(&source.features.clone().into(), Device::CPU).expect("small");
        let (_, weight) = trainer.network.meeting_features()[0];
        let filters = (weight.view([1, 9]) * features).clamp(-1.0, 1.0);
        let mut training = Training::new(&trainer, &data, None, &settings).expect("begins");
        let found = training.gradients(&samples, Some(&filters));
        gradient(&trainer, &found.expect("a graph").1)
    };
    assert!(ours.iter().any(|value| value.abs() > 1e-3), "{ours:?}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours - theirs).abs() <= 1e-5 * theirs.abs().max(1e-2));
    }
}

#[test]
fn w_moves_as_autograd_moves_it_through_the_product_and_the_clip() {
    let mut source = Products::new();
    let one_epoch = settings(1);
    let fit = fit(Some(&mut source), &one_epoch).expect("trains");
    let twin = twin(&one_epoch.training, &source);
    let start = initial();
    let moved = |range: std::ops::Range<usize>| {
        let pairs = fit.model[range.clone()].iter().zip(&start[range]);
        pairs
            .map(|(new, old)| (new - old).abs())
            .fold(0.0, f32::max)
    };
    assert!(moved(weight_range()) > 1e-4, "W does not move");
    let filters = source.filters(&start[weight_range()], &[0, 1, 2]).concat();
    let clipped = filters.iter().filter(|tap| tap.abs() == 1.0).count();
    assert!((2..25).contains(&clipped), "{clipped} taps on the clip");
    for (place, (ours, theirs)) in fit.model.iter().zip(&twin).enumerate() {
        assert!((ours - theirs).abs() <= 1e-5, "{place}: {ours}, {theirs}");
    }
}

/// What a form gives of each patient, in plaintext and not rounded.
struct OfForm {
    form: ConditioningForm,
    features: Vec<Filter>,
}

impl OfForm {
    fn new(form: ConditioningForm) -> Self {
        let features = Products::new().features;
        Self { form, features }
    }

    fn architecture(&self) -> Architecture {
        Architecture {
            form: self.form,
            ..FREE
        }
    }

    /// With the weights in the graph: the table of all four patients.
    fn table(&self, weights: &[&Tensor]) -> Tensor {
        let features = patient_table(&self.features.clone().into(), Device::CPU).expect("small");
        let row = |tensor: &Tensor| tensor.view([-1, FEATURES as i64]);
        let table = match self.form {
            ConditioningForm::Study => row(weights[0]) * features,
            ConditioningForm::Additive => row(weights[1]) + row(weights[0]) * features,
            ConditioningForm::Late => features.matmul(&row(weights[0]).transpose(0, 1)),
        };
        let limit = f64::from(self.form.limit());
        table.clamp(-limit, limit)
    }
}

impl InputSource for OfForm {
    fn inputs(
        &mut self,
        weights: &[f32],
        patients: &[usize],
    ) -> Result<PatientValues, Box<dyn Error + Send + Sync>> {
        let sizes = match self.form {
            ConditioningForm::Study => [FEATURES, 0],
            ConditioningForm::Additive => [FEATURES, FEATURES],
            ConditioningForm::Late => [FEATURES * CLASSES, 0],
        };
        let (first, second) = weights.split_at(sizes[0]);
        assert_eq!(second.len(), sizes[1]);
        let tensors = [first, second].map(Tensor::from_slice);
        let table = self.table(&tensors.each_ref());
        let places: Vec<i64> = patients.iter().map(|&patient| patient as i64).collect();
        let rows = table.index_select(0, &Tensor::from_slice(&places));
        let mut flat = vec![0.0_f32; rows.numel()];
        rows.copy_data(&mut flat, rows.numel());
        let width = self.form.values_per_patient(CLASSES);
        Ok(PatientValues::new(width, flat))
    }

    fn gradient(&self, patients: &[usize], input_gradients: &PatientValues) -> Vec<f32> {
        let rows = || patients.iter().zip(input_gradients.rows());
        let with_features = |value: fn(&[f32], usize) -> f32, count: usize| {
            let mut sum = vec![0.0; count];
            for (&patient, gradient) in rows() {
                for (place, sum) in sum.iter_mut().enumerate() {
                    *sum += self.features[patient][place % FEATURES] * value(gradient, place);
                }
            }
            sum
        };
        match self.form {
            ConditioningForm::Study => with_features(|gradient, place| gradient[place], FEATURES),
            ConditioningForm::Additive => {
                let mut both = with_features(|gradient, place| gradient[place], FEATURES);
                both.extend((0..FEATURES).map(|tap| rows().map(|(_, row)| row[tap]).sum::<f32>()));
                both
            }
            ConditioningForm::Late => with_features(
                |gradient, place| gradient[place / FEATURES],
                FEATURES * CLASSES,
            ),
        }
    }
}

/// W and A, or u, move as autograd moves them when what is given of each patient is made in the graph.
#[test]
fn what_meets_features_moves_as_autograd_moves_it_in_every_form() {
    for &form in ConditioningForm::ALL {
        let mut source = OfForm::new(form);
        let architecture = source.architecture();
        let start = model(architecture);
        let settings = settings(1);
        let own = &settings.training;
        let (training, validation) = (dataset(&[0, 1, 2]), dataset(&[3, 2]));
        let fit = Trainer::new(architecture, Device::CPU).fit(
            &training,
            &validation,
            &start,
            Some(&mut source),
            &settings,
            &mut |_, _| (),
        );
        let fit = fit.expect("trains");
        let mut network = Network::new(architecture, Device::CPU);
        network.load(&start).expect("fits");
        let mut optimiser = own.optimiser(&network).expect("small moments");
        let class_weights = own.class_weights_on(Device::CPU).expect("small");
        let mut shuffles = stream(&own.seed, Stream::Shuffles);
        let mut masks = stream(&own.seed, Stream::DropoutMasks);
        let mut order: Vec<usize> = (0..training.len()).collect();
        order.shuffle(&mut shuffles);
        for indices in order.chunks(own.batch) {
            let samples = training.batch(indices, Device::CPU).expect("small");
            let weights: Vec<&Tensor> = network
                .meeting_features()
                .into_iter()
                .map(|(_, tensor)| tensor)
                .collect();
            let inputs = source.table(&weights).index_select(0, &samples.patients);
            let dropout_mask = &dropout_mask(indices.len(), &mut masks);
            let mode = Mode::Training { dropout_mask };
            let logits = network.forward(&samples.images, Some(&inputs), &mode);
            let loss = weighted_loss(&logits.expect("fits"), &samples.labels, &class_weights);
            let gradients = optimiser.backward(&loss.expect("fits"), None);
            optimiser
                .step(&gradients.expect("a graph"))
                .expect("one gradient a weight");
        }
        let twin = network.flatten();
        for (place, (ours, theirs)) in fit.model.iter().zip(&twin).enumerate() {
            assert!(
                (ours - theirs).abs() <= 1e-5,
                "{form}, {place}: {ours}, {theirs}"
            );
        }
        let mut at = 0;
        for spec in architecture.layout() {
            let range = at..at + spec.values();
            at = range.end;
            if form.tensors().contains(&spec.name.0.as_str()) {
                assert!(
                    fit.model[range.clone()] != start[range],
                    "{form}: {}",
                    spec.name.0
                );
            }
        }
    }
}

#[test]
fn every_batch_asks_for_its_own_patients_and_every_epoch_for_those_of_the_validation_set() {
    let mut source = Products::new();
    fit(Some(&mut source), &settings(2)).expect("trains");
    assert_eq!(source.asked.len(), 2 * (2 + 1));
    for (number, patients) in source.asked.iter().enumerate() {
        assert!(patients.is_sorted_by(|a, b| a < b));
        if number % 3 == 2 {
            assert_eq!(patients, &[2, 3]);
        } else {
            assert!(patients.iter().all(|patient| [0, 1, 2].contains(patient)));
        }
    }
}

#[test]
fn training_learns_and_keeps_the_epoch_of_the_lowest_validation_loss() {
    let mut products = Products::new();
    for source in [None, Some(&mut products as &mut dyn InputSource)] {
        let conditioned = source.is_some();
        let fit = fit(source, &settings(12)).expect("trains");
        let losses = || fit.epochs.iter().map(|epoch| epoch.validation_loss);
        assert_eq!((fit.epochs.len(), fit.stopped_early), (12, false));
        let best = losses().fold(f64::INFINITY, f64::min);
        assert_eq!(fit.epochs[fit.best_epoch - 1].validation_loss, best);
        assert!(fit.epochs[11].train_loss < 0.2, "{:?}", fit.epochs[11]);
        let mut again = Products::new();
        let source = conditioned.then_some(&mut again as &mut dyn InputSource);
        let mut trainer = Trainer::new(FREE, Device::CPU);
        let evaluation = trainer.evaluate_fit(&dataset(&[3, 2]), &fit.model, source);
        let evaluation = evaluation.expect("evaluates");
        assert_eq!(evaluation.weighted_loss(&[0.8, 1.3]), best);
    }
}

#[test]
fn grad_cam_takes_the_filters_that_w_means() {
    let (model, asked) = (initial(), [(2, 1), (0, 0), (1, 1)]);
    let filters = Products::new().filters(&model[weight_range()], &[0, 1, 2, 3]);
    let without_weight = [&model[..weight_range().start], &model[weight_range().end..]].concat();
    let conditioned = Architecture {
        conditioning: Conditioning::Supplied,
        ..FREE
    };
    let given = Trainer::new(conditioned, Device::CPU)
        .grad_cam(
            &dataset(&[3, 1, 0]),
            &asked,
            &without_weight,
            Some(&filters.into()),
        )
        .expect("maps");
    let maps = |source: Option<&mut dyn InputSource>| {
        Trainer::new(FREE, Device::CPU)
            .grad_cam_of_fit(&dataset(&[3, 1, 0]), &asked, &model, source)
            .expect("maps")
    };
    assert!(maps(Some(&mut Products::new())) == given);
    assert!(maps(None) != given);
    let refused = Trainer::new(FREE, Device::CPU).grad_cam_of_fit(
        &dataset(&[0]),
        &[(0, CLASSES)],
        &model,
        None,
    );
    assert!(matches!(refused, Err(TrainError::Class { .. })));
}

#[test]
fn the_same_seed_gives_the_same_fit() {
    let once = || fit(Some(&mut Products::new()), &settings(2)).expect("trains");
    assert!(once() == once());
}

#[test]
fn patience_ends_what_no_longer_improves() {
    let training = dataset(&[0, 1]);
    // The validation set says the opposite of the training set.
    let opposite = [0, 1].map(|patient| Sample { patient, slice: 1 });
    let label = |patient: &model_data::Patient| usize::from(patient.edss.value() < 2.0);
    let validation = Dataset::new(&patients(), &opposite, label).expect("samples exist");
    let settings = FitSettings {
        early_stop: NonZeroUsize::new(3).expect("not zero"),
        ..settings(60)
    };
    let mut steps = 0;
    let fit = Trainer::new(FREE, Device::CPU)
        .fit(
            &training,
            &validation,
            &initial(),
            None,
            &settings,
            &mut |done, total| {
                steps += 1;
                assert_eq!((done, total), (steps, 120));
            },
        )
        .expect("trains");
    assert!(fit.stopped_early);
    assert_eq!(fit.epochs.len(), fit.best_epoch + 3);
}

#[test]
fn the_weighted_loss_is_that_of_training() {
    let mut evaluation = Evaluation::empty(2);
    let logs = [[-0.2, -1.7], [-0.9, -0.5], [-2.3, -0.1]];
    for (log, label) in logs.iter().zip([0, 0, 1]) {
        evaluation.add(log, label);
    }
    let weights = [0.8, 1.3];
    let expected = {
        let labels = Tensor::from_slice(&[0_i64, 0, 1]);
        let logs = Tensor::from_slice(logs.as_flattened()).view([3, 2]);
        // Logits whose softmax is what was counted.
        let normalised = logs.log_softmax(-1, Kind::Double);
        let of = weighted_loss(&normalised, &labels, &Tensor::from_slice(&weights));
        let mut normal = Evaluation::empty(2);
        for (row, label) in (0..3).zip([0, 0, 1]) {
            let row: Vec<f64> = (&normalised.get(row)).try_into().expect("doubles");
            normal.add(&row, label);
        }
        evaluation = normal;
        of.expect("shapes fit").double_value(&[])
    };
    assert!((evaluation.weighted_loss(&weights) - expected).abs() < 1e-12);
    assert_eq!(Evaluation::empty(2).weighted_loss(&weights), 0.0);
}

/// Gives filters that no clip has seen, or none.
struct Faulty(Option<f32>);

impl InputSource for Faulty {
    fn inputs(
        &mut self,
        _: &[f32],
        patients: &[usize],
    ) -> Result<PatientValues, Box<dyn Error + Send + Sync>> {
        let tap = self.0.ok_or("the key is gone")?;
        Ok(vec![[tap; FEATURES]; patients.len()].into())
    }

    fn gradient(&self, _: &[usize], _: &PatientValues) -> Vec<f32> {
        vec![0.0; FEATURES]
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refusal = |source| {
        fit(Some(&mut Faulty(source)), &settings(1))
            .expect_err("refused")
            .to_string()
    };
    assert!(refusal(None).contains("the key is gone"));
    for tap in [1.5, f32::NAN] {
        assert!(refusal(Some(tap)).contains("not clipped"));
    }
    let hybrid = Architecture {
        conditioning: Conditioning::Supplied,
        ..FREE
    };
    let data = dataset(&[0, 1]);
    let error = Trainer::new(hybrid, Device::CPU).fit(
        &data,
        &data,
        &model(hybrid),
        None,
        &settings(1),
        &mut |_, _| (),
    );
    let setting = "conditioning";
    assert_eq!(error, Err(TrainError::Settings { setting }));
}

#[test]
fn too_little_memory_halves_the_batch_of_the_whole_training() {
    let (training, validation) = (dataset(&[0, 1, 2]), dataset(&[3]));
    let fit = |room_for, batch| {
        let mut settings = settings(2);
        settings.training.batch = batch;
        let mut trainer = Trainer::new(FREE, Device::CPU);
        trainer.memory.room_for = room_for;
        let mut source = Products::new();
        let source: Option<&mut dyn InputSource> = Some(&mut source);
        let progress = &mut |_, _| ();
        trainer.fit(
            &training,
            &validation,
            &initial(),
            source,
            &settings,
            progress,
        )
    };
    assert!(fit(Some(2), 3) == fit(None, 2));
    let error = fit(Some(1), 3).expect_err("half is too much");
    assert!(matches!(error, TrainError::OutOfMemory { samples: 2, .. }));
}
