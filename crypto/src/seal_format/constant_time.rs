//! What is done with secret keys of SEAL, for [`crate::constant_time`].

use std::hint::black_box;
use std::sync::LazyLock;

use super::SealContext;
use crate::ckks::constant_time::{CONTEXT, secret_key};
use crate::ckks::{KeyId, SecretKey};
use crate::constant_time::Operation;

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "write a secret key of SEAL",
        prepare: |secret| {
            let key: SecretKey = secret_key(secret);
            Box::new(move || {
                black_box(SEAL.write_secret_key(&key).is_ok());
            })
        },
    },
    Operation {
        name: "read a secret key of SEAL",
        prepare: |secret| {
            let bytes = SEAL.write_secret_key(&secret_key(secret));
            let bytes = bytes.expect("a key of the context");
            Box::new(move || {
                let key = SEAL.read_secret_key(&bytes, KeyId::from_bytes([1; 16]));
                black_box(key.is_ok());
            })
        },
    },
];

static SEAL: LazyLock<SealContext> = LazyLock::new(|| SealContext::new(&CONTEXT));
