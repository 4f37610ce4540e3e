/// One thing that is measured: what the table calls it, and the stem of its keys in the file.
pub struct Operation {
    /// The key without its unit.
    pub stem: &'static str,
    /// For the table.
    pub name: &'static str,
    /// Of the time.
    pub unit: Unit,
    /// What is to be reached.
    pub goals: &'static [Goal],
}

/// The unit of a time; it ends the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `_us`
    Microseconds,
    /// `_ms`
    Milliseconds,
    /// None: the stem has it inside.
    Seconds,
}

/// A bound that a measurement keeps or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Times faster than TenSEAL's `ckks_vector`.
    TimesVector(f64),
    /// Times faster than TenSEAL's `ckks_tensor` with its defaults.
    TimesTensor(f64),
    /// At most this, in the unit of the operation.
    AtMost(f64),
}

impl Unit {
    /// What a number of seconds is in this unit.
    pub fn of_seconds(self, seconds: f64) -> f64 {
        match self {
            Self::Microseconds => seconds * 1e6,
            Self::Milliseconds => seconds * 1e3,
            Self::Seconds => seconds,
        }
    }

    /// The end of a key.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Microseconds => "_us",
            Self::Milliseconds => "_ms",
            Self::Seconds => "",
        }
    }

    /// For the table.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }
}

impl Operation {
    /// The key of our time.
    pub fn key(&self) -> String {
        format!("{}{}", self.stem, self.unit.suffix())
    }
}

const fn microseconds(stem: &'static str, name: &'static str, goals: &'static [Goal]) -> Operation {
    Operation {
        stem,
        name,
        unit: Unit::Microseconds,
        goals,
    }
}

const fn seconds(stem: &'static str, name: &'static str, goals: &'static [Goal]) -> Operation {
    Operation {
        stem,
        name,
        unit: Unit::Seconds,
        goals,
    }
}

/// All of them, in the order of the table.
pub const OPERATIONS: [Operation; 16] = [
    microseconds(
        "conditioning_job",
        "conditioning job",
        &[Goal::TimesVector(6.0), Goal::TimesTensor(50.0)],
    ),
    // 0.5 ms where TenSEAL takes 4.6.
    microseconds(
        "encode_encrypt_public",
        "  encode, encrypt (public key)",
        &[Goal::TimesVector(9.2)],
    ),
    microseconds(
        "encode_encrypt_secret",
        "  encode, encrypt (secret key)",
        &[],
    ),
    // 1.0 ms where TenSEAL takes 3.1.
    microseconds(
        "multiply_relinearise_rescale",
        "  multiply, relinearise, rescale",
        &[Goal::TimesVector(3.1)],
    ),
    microseconds(
        "decrypt_decode_product",
        "  decrypt, decode the product",
        &[],
    ),
    microseconds("context_and_keys", "context and all keys", &[]),
    microseconds("context", "  context", &[]),
    microseconds("keygen", "  secret and public key", &[]),
    microseconds("relin_keygen", "  relinearisation key", &[]),
    microseconds("serialise", "serialise a fresh ciphertext", &[]),
    microseconds("deserialise", "read it back", &[]),
    seconds(
        "seal_seconds_n10",
        "seal, 10 hospitals",
        &[Goal::AtMost(0.15)],
    ),
    seconds("seal_seconds_n100", "seal, 100 hospitals", &[]),
    Operation {
        stem: "add",
        name: "add one contribution",
        unit: Unit::Milliseconds,
        goals: &[Goal::AtMost(6.0)],
    },
    seconds(
        "open_seconds_n10",
        "open, 10 hospitals",
        &[Goal::AtMost(0.08)],
    ),
    seconds("open_seconds_n100", "open, 100 hospitals", &[]),
];
