//! That no secret key stays in memory once it is dropped, however it came (PROTOCOL 7).

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use rand::{SeedableRng, rngs::StdRng};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tempfile::TempDir;
use zeroize::{Zeroize, Zeroizing};

use super::{SealContext, SealError, TensealContext};
use crypto::ckks::{Context, Parameters, PublicKey, SecretKey};
use crypto::ring::NttPlan;
use side_channels::memory::Needle;

#[test]
fn a_secret_key_leaves_nothing_behind() {
    // A key of several blocks of zstd, all of which can be compressed.
    let parameters = Parameters::from_bit_sizes(8192, &[40, 36, 36, 36], 40, f64::powi(2.0, 36));
    let context = Context::with_parameters(parameters.expect("secure"));
    let seal = SealContext::new(&context);
    let mut rng = StdRng::seed_from_u64(0x5ea1);
    let mut file = TensealContext::new(&context);
    let secret = SecretKey::generate(&context, &mut rng);
    let name = secret.id();
    file.public_key = Some(PublicKey::generate(&secret, &mut rng));

    let mut needles = vec![];
    let of_words = |words: &[u64]| Needle::from_words(words[..64].iter().copied());
    let rows = || secret.expose_evaluations().chunks_exact(8192);
    for (k, row) in rows().enumerate() {
        let seals: Vec<u64> = seal.orders[k].places().map(|place| row[place]).collect();
        let seals = Zeroizing::new(seals);
        // The beginning, and what lies far inside of every buffer.
        needles.push(("row of ours", of_words(row)));
        needles.push(("row of SEAL", of_words(&seals)));
        needles.push(("end of a row of SEAL", of_words(&seals[8000..])));
    }
    for (row, plan) in rows().zip(context.key_plans()) {
        let residues = first_coefficients(row, plan);
        needles.push(("residues", of_words(&residues)));
        let small = residues.iter();
        let small = small.map(|&word| plan.modulus().centred(word) as u64);
        needles.push(("coefficients", Needle::from_words(small)));
    }

    let mut stored = seal.write_secret_key(&secret).expect("of this context");
    let mut frame = compressed(&stored);
    file.secret_key = Some(secret);
    let mut in_context = file.to_bytes().expect("of one key");
    let alive = |needles: &[(_, Needle)]| -> Vec<&'static str> {
        let found = needles
            .iter()
            .filter(|(_, needle)| needle.occurrences() > 0);
        found.map(|(name, _)| *name).collect()
    };
    assert!(alive(&needles).len() >= 12, "{:?}", alive(&needles));
    drop(file);
    for bytes in [&stored, &frame] {
        drop(
            seal.read_secret_key(bytes, name)
                .map_err(drop)
                .expect("the key"),
        );
    }
    drop(
        TensealContext::from_bytes(&in_context)
            .map_err(drop)
            .expect("the context"),
    );
    // Also where the file turns out to be no key.
    frame.pop();
    let length = frame.len() as u64;
    frame[8..16].copy_from_slice(&length.to_le_bytes());
    let damaged = seal.read_secret_key(&frame, name).map(drop);
    assert!(matches!(damaged, Err(SealError::Damaged { .. })));
    // What the caller holds is the caller's.
    stored.zeroize();
    frame.zeroize();
    in_context.zeroize();
    assert_eq!(alive(&needles), [""; 0], "left in memory");
}

/// The first 64 coefficients of the polynomial that has these values, by definition: the mean of the values times the inverses of
/// their points' powers. The transform itself would be what is looked for traces of.
fn first_coefficients(row: &[u64], plan: &NttPlan) -> Zeroizing<Vec<u64>> {
    let modulus = plan.modulus();
    let mut terms = Zeroizing::new(row.to_vec());
    let inverses: Vec<u64> = (plan.points().into_iter())
        .map(|point| modulus.inverse(point))
        .collect();
    let mut coefficients = Zeroizing::new(vec![0; 64]);
    for coefficient in coefficients.iter_mut() {
        let sum = terms.iter().fold(0, |sum, &term| modulus.add(sum, term));
        *coefficient = modulus.multiply(sum, modulus.inverse(plan.degree() as u64));
        for (term, &inverse) in terms.iter_mut().zip(&inverses) {
            *term = modulus.multiply(*term, inverse);
        }
    }
    coefficients
}

/// As SEAL compresses: behind the header. A compressor erases nothing, so it works in another process.
fn compressed(stored: &[u8]) -> Zeroizing<Vec<u8>> {
    let (header, members) = stored.split_at(16);
    let folder = TempDir::new().expect("a folder for two files");
    fs::write(folder.path().join("stored"), members).expect("our own folder");
    let status = Command::new(env::current_exe().expect("the name of this program"))
        .args(["--exact", "erasure::another_process_compresses"])
        .args(["--ignored", "--quiet"])
        .env(FOLDER_VARIABLE, folder.path())
        .stdout(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()));
    let frame = fs::read(folder.path().join("compressed")).expect("just written");
    let mut bytes = Zeroizing::new([header, &frame].concat());
    let ratio = bytes.len() as f64 / stored.len() as f64;
    assert!(ratio < 0.9, "{ratio}");
    bytes[5] = 2;
    let length = bytes.len() as u64;
    bytes[8..16].copy_from_slice(&length.to_le_bytes());
    bytes
}

#[test]
#[ignore = "a_secret_key_leaves_nothing_behind runs it"]
fn another_process_compresses() {
    let folder = env::var_os(FOLDER_VARIABLE).expect("set by whoever starts this");
    let folder = Path::new(&folder);
    let stored = fs::read(folder.join("stored")).expect("there for us");
    let frame = compress_to_vec(&stored[..], CompressionLevel::Fastest);
    fs::write(folder.join("compressed"), frame).expect("a folder for us");
}

const FOLDER_VARIABLE: &str = "MYELIN_FOLDER_TO_COMPRESS_IN";
