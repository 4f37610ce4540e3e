//! Round trips, and what is refused.

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crypto::ckks::{
    Ciphertext, CkksError, Context, Evaluator, Parameters, Profile, PublicKey, RelinearisationKey,
    SecretKey, decrypt, encrypt, encrypt_symmetric,
};

/// Keys of one context, and what reads and writes them.
struct Scene {
    seal: SealContext,
    secret: SecretKey,
    public: PublicKey,
    key: RelinearisationKey,
    rng: StdRng,
}

impl Scene {
    fn new() -> Self {
        let parameters = Parameters::from_bit_sizes(4096, &[37, 33], 36, f64::powi(2.0, 33));
        let context = Context::with_parameters(parameters.expect("secure"));
        let mut rng = StdRng::seed_from_u64(3);
        let secret = SecretKey::generate(&context, &mut rng);
        Self {
            seal: SealContext::new(&context),
            public: PublicKey::generate(&secret, &mut rng),
            key: RelinearisationKey::generate(&secret, &mut rng),
            secret,
            rng,
        }
    }

    fn fresh(&mut self) -> Ciphertext {
        let plaintext = self.seal.context().encode(&[1.0, -0.5]).expect("small");
        encrypt(&self.public, &plaintext, &mut self.rng).expect("of one context")
    }
}

#[test]
fn what_was_written_is_read_bit_for_bit() -> Result<(), SealError> {
    let mut scene = Scene::new();
    let fresh = scene.fresh();
    let Scene {
        seal,
        secret,
        public,
        key,
        ..
    } = &scene;
    let name = secret.id();
    let mut evaluator = Evaluator::new(seal.context());
    let quadratic = evaluator.multiply(&fresh, &fresh)?;
    let product = evaluator.relinearise(&quadratic, key)?;
    let product = evaluator.rescale(&product)?;
    for ciphertext in [&fresh, &product] {
        let bytes = seal.write_ciphertext(ciphertext)?;
        let read = seal.read_ciphertext(&bytes, name, StatedScale::Exact)?;
        assert_eq!(read.to_bytes(), ciphertext.to_bytes());
    }
    let bytes = seal.write_quadratic_ciphertext(&quadratic)?;
    let read = seal.read_quadratic_ciphertext(&bytes, name)?;
    assert_eq!(seal.write_quadratic_ciphertext(&read)?, bytes);
    let relinearised = evaluator.relinearise(&read, key)?;
    assert_eq!(
        evaluator.rescale(&relinearised)?.to_bytes(),
        product.to_bytes()
    );

    let read = seal.read_relinearisation_key(&seal.write_relinearisation_key(key)?, name)?;
    let again = evaluator.multiply_relinearise_rescale(&fresh, &fresh, &read)?;
    assert_eq!(again.to_bytes(), product.to_bytes());
    let read = seal.read_secret_key(&seal.write_secret_key(secret)?, name)?;
    assert!(read.expose_evaluations() == secret.expose_evaluations());
    let read = seal.read_public_key(&seal.write_public_key(public)?, name)?;
    assert!(read.evaluations() == public.evaluations());
    Ok(())
}

/// The lengths that SEAL_FORMAT gives for the study.
#[test]
fn lengths_are_those_of_seal() -> Result<(), SealError> {
    let context = Context::new(Profile::Study);
    let seal = SealContext::new(&context);
    let mut rng = StdRng::seed_from_u64(3);
    let secret = SecretKey::generate(&context, &mut rng);
    let plaintext = context.encode(&[1.0])?;
    let fresh = encrypt_symmetric(&secret, &plaintext, &mut rng)?.expand();
    assert_eq!(seal.write_ciphertext(&fresh)?.len(), 393_321);
    let key = RelinearisationKey::generate(&secret, &mut rng);
    // 24 bytes less than 4.x, whose three pairs have a correction factor.
    assert_eq!(seal.write_relinearisation_key(&key)?.len(), 1_573_267 - 24);
    Ok(())
}

#[test]
fn headers_of_later_releases_are_read_with_their_field_more() -> Result<(), SealError> {
    let mut scene = Scene::new();
    let fresh = scene.fresh();
    let (seal, name) = (&scene.seal, scene.secret.id());
    let bytes = seal.write_ciphertext(&fresh)?;
    for minor in [1, 3, 4] {
        let later = as_of_release_4(&bytes, minor, 1);
        let read = seal.read_ciphertext(&later, name, StatedScale::Exact)?;
        assert_eq!(read.to_bytes(), fresh.to_bytes());
        let wrong = as_of_release_4(&bytes, minor, 2);
        let wrong = seal.read_ciphertext(&wrong, name, StatedScale::Exact);
        assert!(matches!(
            wrong.err(),
            Some(SealError::CorrectionFactor { found: 2, .. })
        ));
    }
    Ok(())
}

/// With a correction factor behind the scale.
fn as_of_release_4(bytes: &[u8], minor: u8, factor: u64) -> Vec<u8> {
    let (before, behind) = bytes.split_at(16 + 65);
    let mut later = [before, &factor.to_le_bytes(), behind].concat();
    [later[3], later[4]] = [4, minor];
    let length = later.len() as u64;
    later[8..16].copy_from_slice(&length.to_le_bytes());
    later
}

#[test]
fn what_does_not_fit_is_named() -> Result<(), SealError> {
    let mut scene = Scene::new();
    let fresh = scene.fresh();
    let (seal, name) = (&scene.seal, scene.secret.id());
    let bytes = seal.write_ciphertext(&fresh)?;
    let altered = |place: usize, with: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[place..][..with.len()].copy_from_slice(with);
        let read = seal.read_ciphertext(&bytes, name, StatedScale::Exact);
        read.err().expect("altered")
    };
    let what = "ciphertext";
    assert_eq!(altered(16, b"another level"), SealError::ParmsId { what });
    // A ciphertext at the level of keys.
    assert_eq!(altered(16, seal.parms_id(3)), SealError::ParmsId { what });
    assert_eq!(altered(48, &[0]), SealError::NotNtt { what });
    let polynomials = SealError::Polynomials {
        what,
        expected: 2,
        found: 3,
    };
    assert_eq!(altered(49, &[3]), polynomials);
    assert!(matches!(altered(57, &[1]), SealError::Length { .. }));
    assert!(matches!(altered(65, &[1]), SealError::Length { .. }));
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1.0] {
        assert!(matches!(
            altered(73, &scale.to_le_bytes()),
            SealError::Ckks(CkksError::ScaleRange { .. })
        ));
    }
    assert!(matches!(
        altered(97, &u64::MAX.to_le_bytes()),
        SealError::Short { .. }
    ));
    let index = 4096 + 5;
    let prime = seal.context().parameters().primes()[1];
    assert_eq!(
        altered(105 + 8 * index, &prime.to_le_bytes()),
        SealError::Word { what, index }
    );

    let mut key = seal.write_secret_key(&scene.secret)?;
    let place = key.len() - 8;
    key[place] ^= 1;
    assert_eq!(
        seal.read_secret_key(&key, name).err(),
        Some(SealError::NotTernary)
    );
    key[place..].fill(0xff);
    assert!(matches!(
        seal.read_secret_key(&key, name).err(),
        Some(SealError::Word { .. })
    ));
    let other = SealContext::new(&Context::new(Profile::Study));
    assert!(matches!(
        other.write_ciphertext(&fresh),
        Err(SealError::Ckks(CkksError::Parameters { .. }))
    ));
    assert_eq!(
        other
            .read_ciphertext(&bytes, name, StatedScale::Exact)
            .err(),
        Some(SealError::ParmsId { what })
    );
    Ok(())
}

#[test]
fn a_context_keeps_its_keys_together() -> Result<(), SealError> {
    let mut scene = Scene::new();
    let fresh = scene.fresh();
    let Scene {
        seal,
        secret,
        public,
        key,
        mut rng,
    } = scene;
    let name = secret.id();
    let context = seal.context().clone();
    let mut file = TensealContext::new(&context);
    assert!(matches!(file.to_bytes(), Err(SealError::Missing { .. })));
    file.public_key = Some(public);
    file.relinearisation_key = Some(key);
    let public_bytes = file.to_bytes()?;
    file.secret_key = Some(secret);
    let secret_bytes = file.to_bytes()?;
    assert_eq!(file.key_id(), Some(name));

    let named = TensealContext::from_bytes_named(&secret_bytes, name)?;
    assert!(named.relinearisation_key.is_none());
    let secret = named.secret_key.as_ref().expect("it was written");
    let values = context.decode(&decrypt(secret, &fresh)?)?;
    assert!((values[0] - 1.0).abs() < 1e-5);
    // Both files of one key give one name, which is not the one it was made with.
    let [read, again] =
        [&public_bytes, &secret_bytes].map(|bytes| TensealContext::from_bytes(bytes));
    let (read, again) = (read?, again?);
    assert!(read.secret_key.is_none() && read.relinearisation_key.is_some());
    assert_eq!(read.key_id(), again.key_id());
    assert_ne!(read.key_id(), Some(name));

    file.public_key = Some(PublicKey::generate(
        &SecretKey::generate(&context, &mut rng),
        &mut rng,
    ));
    assert!(matches!(
        file.to_bytes(),
        Err(SealError::Ckks(CkksError::Key { .. }))
    ));
    Ok(())
}

#[test]
fn vectors_and_tensors_hold_what_they_say() -> Result<(), SealError> {
    let Scene {
        seal,
        secret,
        public,
        mut rng,
        ..
    } = Scene::new();
    let scale = StatedScale::Exact;
    let values: Vec<f64> = (0..2050).map(|k| f64::from(k % 100) / 100.0).collect();
    let close = |found: &[f64]| {
        let mut pairs = found.iter().zip(&values);
        pairs.all(|(found, value)| (found - value).abs() < 1e-5)
    };
    let vector = CkksVector::encrypt(&public, &values, &mut rng)?;
    let bytes = vector.to_bytes(&seal)?;
    let read = CkksVector::from_bytes(&seal, &bytes, secret.id(), scale)?;
    assert_eq!(read.lengths(), [2048, 2]);
    let decrypted = read.decrypt(&secret)?;
    assert!(decrypted.len() == 2050 && close(&decrypted));
    // The two values of the second ciphertext fill its slots.
    let last = seal
        .context()
        .decode(&decrypt(&secret, &read.ciphertexts()[1])?)?;
    assert!((last[2046] - values[2048]).abs() < 1e-5 && (last[2047] - values[2049]).abs() < 1e-5);

    for (shape, batch) in [(&[2, 3][..], Some(4)), (&[2, 3, 4], None), (&[], Some(24))] {
        let tensor = CkksTensor::encrypt(&public, shape, batch, &values[..24], &mut rng)?;
        let bytes = tensor.to_bytes(&seal)?;
        let read = CkksTensor::from_bytes(&seal, &bytes, secret.id(), scale)?;
        assert_eq!((read.shape(), read.batch()), (shape, batch));
        let decrypted = read.decrypt(&secret)?;
        assert!(decrypted.len() == 24 && close(&decrypted));
        assert!(matches!(
            read.with_ciphertexts(vec![]).err(),
            Some(SealError::Missing { .. })
        ));
    }
    let refused = [
        CkksTensor::encrypt(&public, &[2, 3], None, &values[..5], &mut rng).err(),
        CkksTensor::encrypt(&public, &[usize::MAX, 4], None, &values[..5], &mut rng).err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(SealError::Length { .. })));
    }
    let batch = CkksTensor::encrypt(&public, &[1], Some(2049), &values[..2049], &mut rng);
    assert!(matches!(batch.err(), Some(SealError::Slots { .. })));
    assert!(CkksVector::encrypt(&public, &[], &mut rng).is_err());
    Ok(())
}
