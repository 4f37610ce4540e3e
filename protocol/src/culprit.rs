//! Who is at fault when something is refused.

use std::fmt;

use crypto::sealed_sum::HospitalId;

/// The party that has to be asked when a message or a sum is refused. It is what the error itself shows: a coordinator that alters a
/// message in transit can make a hospital look at fault only where no signature is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Culprit {
    /// A hospital.
    Hospital(HospitalId),
    /// The coordinator, or whoever is between it and us.
    Coordinator,
    /// Who signs run manifests.
    Operator,
    /// This process or its files.
    Ourselves,
    /// The error does not show it.
    Unknown,
}

impl fmt::Display for Culprit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hospital(id) => write!(formatter, "hospital {id}"),
            Self::Coordinator => formatter.write_str("the coordinator"),
            Self::Operator => formatter.write_str("the operator"),
            Self::Ourselves => formatter.write_str("this party"),
            Self::Unknown => formatter.write_str("an unknown party"),
        }
    }
}
