//! Files handed to the real TenSEAL and back (`tenseal/peer.py`): what one side encrypts the other multiplies, and
//! either decrypts.
//!
//! `cargo xtask test` installs TenSEAL and names its Python in `MYELIN_TENSEAL_PYTHON`. Without it the tests say so and
//! do nothing, or fail if `MYELIN_REQUIRE_TENSEAL` is set.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::process::{Command, Stdio};

use crypto::ckks::{
    Ciphertext, Context, Evaluator, KeyId, Parameters, Profile, PublicKey, RelinearisationKey,
    SecretKey, decrypt, encrypt_symmetric,
};
use rand::{SeedableRng, rngs::StdRng};
use seal_format::{
    CkksTensor, CkksVector, SealContext, SealError, StatedScale, TensealContext, read_parameters,
};
use serde::{Deserialize, de::DeserializeOwned};
use tempfile::TempDir;

type Outcome = Result<(), Box<dyn Error>>;

const LEFT: [f64; 9] = [0.5, -1.25, 2.0, 3.5, -0.001, 1e-6, 7.0, -8.0, 0.1];
const RIGHT: [f64; 9] = [1.5, 0.75, -2.0, 0.25, 4.0, 3.0, 1.0, 1.0, -0.1];
const SETS: [Set; 2] = [
    Set {
        name: "study",
        fresh_error: 3e-7,
        product_error: 2e-6,
    },
    Set {
        name: "small",
        fresh_error: 1.2e-5,
        product_error: 1e-4,
    },
];

/// A set of parameters, and what may be wrong with values of up to 8: eight standard deviations and more of the noise that our
/// encryption adds. (TenSEAL's adds less.)
struct Set {
    name: &'static str,
    fresh_error: f64,
    product_error: f64,
}

impl Set {
    fn parameters(&self) -> Parameters {
        match self.name {
            "study" => Profile::Study.parameters(),
            _ => Parameters::from_bit_sizes(4096, &[37, 33], 36, f64::powi(2.0, 33))
                .expect("secure parameters"),
        }
    }
}

#[test]
fn what_tenseal_encrypted_is_multiplied_here_and_decrypted_on_both_sides() -> Outcome {
    let Some(peer) = Peer::start()? else {
        return Ok(());
    };
    peer.call("encrypt")?;
    for set in &SETS {
        let file = |rest| peer.read(&format!("{}.{rest}", set.name));
        let at_hospital = TensealContext::from_bytes(&file("secret.context")?)?;
        assert_eq!(at_hospital.context().parameters(), &set.parameters());
        assert!(at_hospital.relinearisation_key.is_none());
        let secret = at_hospital.secret_key.as_ref().ok_or("a secret key")?;

        // Whoever multiplies has no secret.
        let elsewhere = TensealContext::from_bytes(&file("public.context")?)?;
        assert!(elsewhere.secret_key.is_none());
        let key = elsewhere.relinearisation_key.as_ref().ok_or("the key")?;
        let name = elsewhere.key_id().ok_or("a name")?;
        assert_eq!(Some(name), at_hospital.key_id());
        let seal = elsewhere.seal();
        let vector = |rest, scale| -> Result<CkksVector, Box<dyn Error>> {
            Ok(CkksVector::from_bytes(seal, &file(rest)?, name, scale)?)
        };
        let left = vector("left.vector", StatedScale::Exact)?;
        let right = vector("right.vector", StatedScale::Exact)?;
        assert_eq!(left.lengths(), [9]);
        assert_close(&left.decrypt(secret)?, &LEFT, set.fresh_error);
        let long = vector("long.vector", StatedScale::Exact)?;
        assert_close(&long.decrypt(secret)?, &long_values(), set.fresh_error);

        let mut evaluator = Evaluator::new(seal.context());
        let mut product = |left: &[Ciphertext], right: &[Ciphertext]| {
            let pairs = left.iter().zip(right);
            let products =
                pairs.map(|(left, right)| evaluator.multiply_relinearise_rescale(left, right, key));
            products.collect::<Result<Vec<_>, _>>()
        };
        let expected = products(&LEFT, &RIGHT);
        let ours = left.with_ciphertexts(product(left.ciphertexts(), right.ciphertexts())?)?;
        assert!(ours.ciphertexts()[0].is_product_of_fresh(seal.context()));
        assert_close(&ours.decrypt(secret)?, &expected, set.product_error);
        peer.write(set.name, "rust_product.vector", &ours.to_bytes(seal)?)?;

        // TenSEAL's own products, with plain values too. Only the exact scale gives the values.
        for rest in ["product.vector", "scaled.vector"] {
            let theirs = vector(rest, StatedScale::TensealProduct)?;
            assert!(theirs.ciphertexts()[0].is_product_of_fresh(seal.context()));
            assert_close(&theirs.decrypt(secret)?, &expected, set.product_error);
            let as_stated = vector(rest, StatedScale::Exact)?.decrypt(secret)?;
            let exact = vector(rest, StatedScale::Replaced(seal.context().product_scale()))?;
            let exact = exact.decrypt(secret)?;
            assert_eq!(*exact, *theirs.decrypt(secret)?);
            let ratio = as_stated[7] / exact[7];
            let dropped = seal.context().parameters().data_primes();
            let dropped = dropped[dropped.len() - 1] as f64;
            assert!((ratio - seal.context().fresh_scale() / dropped).abs() < 1e-12);
        }
        let top = vector("left.vector", StatedScale::TensealProduct).err();
        let top = top.and_then(|error| error.downcast::<SealError>().ok());
        assert_eq!(top.as_deref(), Some(&SealError::NothingDropped));

        let tensor = |rest| -> Result<CkksTensor, Box<dyn Error>> {
            let bytes = file(rest)?;
            Ok(CkksTensor::from_bytes(
                seal,
                &bytes,
                name,
                StatedScale::Exact,
            )?)
        };
        let batch = tensor("batch.tensor")?;
        assert_eq!((batch.shape(), batch.batch()), (&[3][..], Some(2)));
        assert_close(&batch.decrypt(secret)?, &LEFT[..6], set.fresh_error);
        let single = tensor("single.tensor")?;
        assert_eq!((single.shape(), single.batch()), (&[2, 3][..], None));
        assert_close(&single.decrypt(secret)?, &LEFT[..6], set.fresh_error);
        let scalars = tensor("scalars.tensor")?;
        assert_eq!((scalars.shape(), scalars.batch()), (&[][..], Some(9)));
        assert_close(&scalars.decrypt(secret)?, &LEFT, set.fresh_error);
        let squares = batch.with_ciphertexts(product(batch.ciphertexts(), batch.ciphertexts())?)?;
        peer.write(set.name, "rust_product.tensor", &squares.to_bytes(seal)?)?;
    }

    #[derive(Deserialize)]
    struct Decrypted(Vec<f64>, [Vec<f64>; 2]);
    let decrypted: BTreeMap<String, Decrypted> = peer.ask("decrypt")?;
    for set in &SETS {
        let Decrypted(vector, tensor) = &decrypted[set.name];
        assert_close(vector, &products(&LEFT, &RIGHT), set.product_error);
        assert_close(
            &tensor.concat(),
            &products(&LEFT, &LEFT)[..6],
            set.product_error,
        );
    }

    let galois = TensealContext::from_bytes(&peer.read("galois.context")?)?;
    assert!(galois.relinearisation_key.is_some());
    let symmetric = peer.read("symmetric.context")?;
    assert!(matches!(
        TensealContext::from_bytes(&symmetric).err(),
        Some(SealError::Missing { .. })
    ));
    let name = KeyId::from_bytes([7; 16]);
    let symmetric = TensealContext::from_bytes_named(&symmetric, name)?;
    let bytes = peer.read("symmetric.vector")?;
    let vector = CkksVector::from_bytes(symmetric.seal(), &bytes, name, StatedScale::Exact)?;
    let secret = symmetric.secret_key.as_ref().ok_or("a secret key")?;
    assert_close(&vector.decrypt(secret)?, &LEFT, SETS[1].fresh_error);

    let refusal = |name| -> Result<String, Box<dyn Error>> {
        let read = TensealContext::from_bytes(&peer.read(name)?);
        Ok(read.err().ok_or("to be refused")?.to_string())
    };
    assert!(refusal("unscaled.context")?.contains("global_scale"));
    assert!(refusal("bfv.context")?.contains("scheme 1"));
    Ok(())
}

#[test]
fn what_was_encrypted_here_is_multiplied_by_tenseal_and_decrypted_on_both_sides() -> Outcome {
    let Some(peer) = Peer::start()? else {
        return Ok(());
    };
    let mut rng = StdRng::seed_from_u64(1);
    let mut keys = vec![];
    for set in &SETS {
        let context = Context::with_parameters(set.parameters());
        let secret = SecretKey::generate(&context, &mut rng);
        let mut file = TensealContext::new(&context);
        file.public_key = Some(PublicKey::generate(&secret, &mut rng));
        file.relinearisation_key = Some(RelinearisationKey::generate(&secret, &mut rng));
        peer.write(set.name, "rust_public.context", &file.to_bytes()?)?;
        let public = file.public_key.as_ref().ok_or("just made")?;
        for (name, values) in [
            ("rust_left.vector", &LEFT[..]),
            ("rust_right.vector", &RIGHT),
            ("rust_long.vector", &long_values()),
        ] {
            let vector = CkksVector::encrypt(public, values, &mut rng)?;
            peer.write(set.name, name, &vector.to_bytes(file.seal())?)?;
        }
        for (name, shape, batch) in [
            ("rust_batch.tensor", &[3][..], Some(2)),
            ("rust_single.tensor", &[2, 3], None),
        ] {
            let tensor = CkksTensor::encrypt(public, shape, batch, &LEFT[..6], &mut rng)?;
            peer.write(set.name, name, &tensor.to_bytes(file.seal())?)?;
        }
        file.secret_key = Some(secret);
        peer.write(set.name, "rust_secret.context", &file.to_bytes()?)?;
        keys.push(file);
    }
    // A file with a secret key alone, and something encrypted with it.
    let mut symmetric = TensealContext::new(keys[1].context());
    let secret = SecretKey::generate(symmetric.context(), &mut rng);
    let plaintext = symmetric.context().encode(&LEFT)?;
    let ciphertext = encrypt_symmetric(&secret, &plaintext, &mut rng)?.expand();
    let vector = CkksVector::encrypt(keys[1].public_key.as_ref().ok_or("made")?, &LEFT, &mut rng)?;
    let vector = vector.with_ciphertexts(vec![ciphertext])?;
    peer.write(
        "rust_symmetric",
        "vector",
        &vector.to_bytes(symmetric.seal())?,
    )?;
    symmetric.secret_key = Some(secret);
    peer.write("rust_symmetric", "context", &symmetric.to_bytes()?)?;

    #[derive(Deserialize)]
    struct Decrypted {
        left: Vec<f64>,
        long: Vec<f64>,
        product: Vec<f64>,
        again: Vec<f64>,
        batch: [Vec<f64>; 2],
        single: [Vec<f64>; 2],
        squares: [Vec<f64>; 2],
    }
    #[derive(Deserialize)]
    struct Answer {
        study: Decrypted,
        small: Decrypted,
        symmetric: Vec<f64>,
    }
    let answer: Answer = peer.ask("multiply")?;
    assert_close(&answer.symmetric, &LEFT, SETS[1].fresh_error);
    for ((set, file), theirs) in SETS.iter().zip(&keys).zip([answer.study, answer.small]) {
        assert_close(&theirs.left, &LEFT, set.fresh_error);
        assert_close(&theirs.long, &long_values(), set.fresh_error);
        assert_close(&theirs.batch.concat(), &LEFT[..6], set.fresh_error);
        assert_close(&theirs.single.concat(), &LEFT[..6], set.fresh_error);
        // TenSEAL reads its products with a scale that is off by the ratio of scale and prime.
        let expected = products(&LEFT, &RIGHT);
        let context = file.context();
        let off = context.product_scale() / context.fresh_scale();
        let stated: Vec<f64> = expected.iter().map(|value| value * off).collect();
        assert_close(&theirs.product, &stated, set.product_error);
        assert_close(&theirs.again, &stated, set.product_error);
        let squares: Vec<f64> = products(&LEFT, &LEFT)[..6]
            .iter()
            .map(|value| value * off)
            .collect();
        assert_close(&theirs.squares.concat(), &squares, set.product_error);

        let secret = file.secret_key.as_ref().ok_or("made above")?;
        let read = |rest, scale| -> Result<CkksVector, Box<dyn Error>> {
            let bytes = peer.read(&format!("{}.{rest}", set.name))?;
            Ok(CkksVector::from_bytes(
                file.seal(),
                &bytes,
                secret.id(),
                scale,
            )?)
        };
        let product = read("peer_product.vector", StatedScale::TensealProduct)?;
        assert_close(&product.decrypt(secret)?, &expected, set.product_error);
        let fresh = read("peer_fresh.vector", StatedScale::Exact)?;
        assert_close(&fresh.decrypt(secret)?, &LEFT, set.fresh_error);
        let bytes = peer.read(&format!("{}.peer_product.tensor", set.name))?;
        let scale = StatedScale::TensealProduct;
        let tensor = CkksTensor::from_bytes(file.seal(), &bytes, secret.id(), scale)?;
        assert_close(
            &tensor.decrypt(secret)?,
            &products(&LEFT, &LEFT)[..6],
            set.product_error,
        );
    }
    Ok(())
}

#[test]
fn seeds_of_both_generators_are_expanded_as_seal_does() -> Outcome {
    let Some(peer) = Peer::start()? else {
        return Ok(());
    };
    peer.call("seeds")?;
    let set = &SETS[0];
    let scale = f64::powi(2.0, 40);
    for generator in ["blake2xb", "shake256"] {
        let file = |rest| peer.read(&format!("{generator}.{rest}"));
        let parameters = read_parameters(&file("parameters")?, scale)?;
        assert_eq!((parameters.degree(), parameters.primes().len()), (8192, 3));
        let context = Context::with_parameters(parameters);
        let seal = SealContext::new(&context);
        let public = seal.read_and_name_public_key(&file("public_key")?)?;
        let name = public.key_id();
        let secret = seal.read_secret_key(&file("secret_key")?, name)?;
        let seeded = file("ciphertext")?;
        let ciphertext = seal.read_ciphertext(&seeded, name, StatedScale::Exact)?;
        let whole = seal.write_ciphertext(&ciphertext)?;
        assert!(2 * seeded.len() < whole.len(), "it had a seed");
        let values = |ciphertext: &Ciphertext| -> Result<Vec<f64>, Box<dyn Error>> {
            let values = context.decode(&decrypt(&secret, ciphertext)?)?;
            Ok(values[..LEFT.len()].to_vec())
        };
        assert_close(&values(&ciphertext)?, &LEFT, set.fresh_error);
        let key = seal.read_relinearisation_key(&file("relin_keys")?, name)?;
        let squares = products(&LEFT, &LEFT);
        let mut evaluator = Evaluator::new(&context);
        let ours = evaluator.multiply_relinearise_rescale(&ciphertext, &ciphertext, &key)?;
        assert_close(&values(&ours)?, &squares, set.product_error);
        let theirs = seal.read_quadratic_ciphertext(&file("square")?, name)?;
        let theirs = evaluator.relinearise(&theirs, &key)?;
        assert_close(
            &values(&evaluator.rescale(&theirs)?)?,
            &squares,
            set.product_error,
        );
    }
    Ok(())
}

/// What `docs/SEAL.md` tells a hospital to do, done.
#[test]
fn the_guide_works_as_it_is_written() -> Outcome {
    let Some(peer) = Peer::start()? else {
        return Ok(());
    };
    let [encrypting, decrypting] = python_blocks(include_str!("../../../docs/SEAL.md"))[..] else {
        return Err("the guide has two pieces of Python".into());
    };
    peer.run(&["-c", encrypting])?;
    let server = TensealContext::from_bytes(&peer.read("public.context")?)?;
    let key = server.relinearisation_key.as_ref().ok_or("the key")?;
    let read = |name| -> Result<CkksVector, Box<dyn Error>> {
        let (bytes, scale) = (peer.read(name)?, StatedScale::Exact);
        Ok(CkksVector::from_bytes(
            server.seal(),
            &bytes,
            key.key_id(),
            scale,
        )?)
    };
    let (features, filters) = (read("features.vector")?, read("filters.vector")?);
    let mut evaluator = Evaluator::new(server.context());
    let pairs = features.ciphertexts().iter().zip(filters.ciphertexts());
    let products = pairs
        .map(|(left, right)| evaluator.multiply_relinearise_rescale(left, right, key))
        .collect::<Result<_, _>>()?;
    let product = features.with_ciphertexts(products)?;
    peer.write("product", "vector", &product.to_bytes(server.seal())?)?;
    let printed: Vec<f64> = serde_json::from_slice(&peer.run(&["-c", decrypting])?)?;
    assert_close(&printed, &[1.5, -1.25, -1.0], 3e-7);
    Ok(())
}

fn python_blocks(text: &str) -> Vec<&str> {
    let blocks = text.split("```python\n").skip(1);
    blocks
        .filter_map(|block| block.split("```").next())
        .collect()
}

/// What the known answers were recorded from.
#[test]
fn recorded_files_are_what_tenseal_gives_again() -> Outcome {
    let Some(peer) = Peer::start()? else {
        return Ok(());
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/record.py");
    peer.run(&[script, "--check"]).map(drop)
}

/// A Python that has TenSEAL, and the folder that its files lie in.
struct Peer {
    python: OsString,
    folder: TempDir,
}

impl Peer {
    /// Nothing where there is none.
    fn start() -> Result<Option<Self>, Box<dyn Error>> {
        let python = std::env::var_os("MYELIN_TENSEAL_PYTHON").filter(|python| !python.is_empty());
        let required = std::env::var_os("MYELIN_REQUIRE_TENSEAL").is_some();
        match python {
            Some(python) => Ok(Some(Self {
                python,
                folder: TempDir::new()?,
            })),
            None if required => {
                Err("TenSEAL is required, and MYELIN_TENSEAL_PYTHON names no Python".into())
            }
            None => {
                eprintln!("skipped: MYELIN_TENSEAL_PYTHON names no Python that has TenSEAL");
                Ok(None)
            }
        }
    }

    /// What a command of `peer.py` prints.
    fn call(&self, command: &str) -> Result<Vec<u8>, Box<dyn Error>> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tenseal/peer.py");
        self.run(&[script, command])
    }

    /// What Python prints, in the folder.
    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, Box<dyn Error>> {
        let output = Command::new(&self.python)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into())
        }
    }

    fn ask<Answer: DeserializeOwned>(&self, command: &str) -> Result<Answer, Box<dyn Error>> {
        Ok(serde_json::from_slice(&self.call(command)?)?)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
        fs::read(self.folder.path().join(name)).map_err(|error| format!("{name}: {error}").into())
    }

    fn write(&self, set: &str, rest: &str, bytes: &[u8]) -> Outcome {
        Ok(fs::write(
            self.folder.path().join(format!("{set}.{rest}")),
            bytes,
        )?)
    }
}

fn long_values() -> Vec<f64> {
    let value = |k: i32| f64::from(k * 7919 % 2001 - 1000) / 500.0;
    (0..5000).map(value).collect()
}

fn products(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .collect()
}

fn assert_close(found: &[f64], expected: &[f64], error: f64) {
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(
            difference < error,
            "value {place}: {found} for {expected}, off by {difference:e}"
        );
    }
}
