//! A federation for a demonstration on one machine: every party's keys, certificates and settings, made in one place.
//!
//! In production nobody holds more than one party's secrets: each hospital makes its own keys and signs the roster itself. Here
//! one process makes them all, for [`Demo::write`] to lay out as folders, or for a simulation to hand on in memory.

mod folders;
mod read_back;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use crypto::sealed_sum::{HospitalId, MAX_HOSPITALS};
use getrandom::{SysRng, rand_core::UnwrapErr};
use protocol::{
    identity::SigningKey,
    roster::{MemberEntry, PeerKeys, Roster, RosterError, RosterFile, SUITE},
};
use transport::{
    Limits,
    certificates::{Authority, CertificateError, IssuedCertificate},
    tls::{TlsIdentity, TrustedAuthority},
};

pub use self::read_back::ReadError;
pub use crate::new_folder::FolderError;
use crate::{service::ServiceConfig, settings::RunSettings};

/// All parties of a federation, with all their secrets.
pub struct Demo {
    /// Signed by every hospital.
    pub roster_file: RosterFile,
    /// The same, checked.
    pub roster: Arc<Roster>,
    /// The certificate that every party trusts; the authority's key is gone once the federation is set up.
    pub ca_certificate_pem: String,
    /// The coordinator's keys.
    pub coordinator: Party,
    /// Signs run manifests.
    pub operator_key: SigningKey,
    /// The hospitals' keys by number, from 1 on.
    pub hospitals: BTreeMap<HospitalId, Party>,
    place: Place,
}

/// One party's own secrets.
pub struct Party {
    /// Signs what it says.
    pub signing_key: SigningKey,
    /// Proves who it is on a connection.
    pub tls: IssuedCertificate,
}

/// Where the coordinator of a demo federation listens, and under which names hospitals find it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The UDP address it binds.
    pub listen: SocketAddr,
    /// DNS names and IP addresses in its certificate; hospitals look for the first.
    pub server_names: Vec<String>,
}

impl Demo {
    /// Makes a federation of `hospitals` hospitals, numbered from 1, with fresh keys from the operating system.
    ///
    /// # Errors
    /// [`DemoError`] when there are too few or too many hospitals, or `place` names something that no certificate can.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    pub fn generate(hospitals: u8, place: Place) -> Result<Self, DemoError> {
        if !(2..=MAX_HOSPITALS).contains(&usize::from(hospitals)) {
            return Err(DemoError::Size { found: hospitals });
        }
        let authority = Authority::generate("myelin demo")?;
        let coordinator = Party::new(authority.issue_coordinator(&place.server_names)?);
        let operator_key = SigningKey::generate(&mut UnwrapErr(SysRng));
        let hospitals = (1..=hospitals)
            .filter_map(HospitalId::new)
            .map(|id| Ok((id, Party::new(authority.issue_hospital(id)?))))
            .collect::<Result<BTreeMap<_, _>, CertificateError>>()?;
        let roster_file = signed_roster(&coordinator, &operator_key, &hospitals)?;
        Ok(Self {
            roster: Arc::new(roster_file.check()?),
            roster_file,
            ca_certificate_pem: authority.certificate_pem().to_owned(),
            coordinator,
            operator_key,
            hospitals,
            place,
        })
    }

    /// Where the coordinator of this federation listens.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The authority, as every party sees it.
    ///
    /// # Errors
    /// [`CertificateError`], which a certificate just made does not give.
    pub fn trusted_authority(&self) -> Result<TrustedAuthority, CertificateError> {
        TrustedAuthority::from_pem(&self.ca_certificate_pem)
    }

    /// A coordinator of this federation for one run, with its records in `state` if there is one. When all rounds are done, it waits
    /// for hospitals that are away as long as in a round.
    ///
    /// # Errors
    /// [`CertificateError`], which certificates just made do not give.
    pub fn service_config(
        &self,
        run: &RunSettings,
        state: Option<PathBuf>,
    ) -> Result<ServiceConfig, CertificateError> {
        Ok(ServiceConfig {
            roster: Arc::clone(&self.roster),
            signing_key: self.coordinator.copy_signing_key(),
            identity: self.coordinator.tls_identity()?,
            authority: self.trusted_authority()?,
            manifest: Some(run.signed_manifest(&self.operator_key)),
            listen: self.place.listen,
            state,
            new_run: false,
            serve_outcomes_secs: run.round_timeout_secs,
            limits: Limits::default(),
            desk: None,
        })
    }
}

impl Party {
    fn new(tls: IssuedCertificate) -> Self {
        Self {
            signing_key: SigningKey::generate(&mut UnwrapErr(SysRng)),
            tls,
        }
    }

    /// A second copy of the signing key, for the end-point that this party runs.
    pub fn copy_signing_key(&self) -> SigningKey {
        SigningKey::from_secret_bytes(&self.signing_key.to_secret_bytes())
    }

    /// Certificate and key, ready to sign handshakes.
    ///
    /// # Errors
    /// [`CertificateError`], which a certificate just made does not give.
    pub fn tls_identity(&self) -> Result<TlsIdentity, CertificateError> {
        TlsIdentity::from_pem(&self.tls.certificate_pem, &self.tls.key_pem)
    }
}

impl Place {
    /// What hospitals write as the coordinator's address: where it listens, or its name if it listens everywhere.
    pub fn dialled_address(&self) -> String {
        match (self.listen.ip().is_unspecified(), self.server_names.first()) {
            (true, Some(name)) => format!("{name}:{}", self.listen.port()),
            _ => self.listen.to_string(),
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)),
            server_names: vec!["localhost".to_owned()],
        }
    }
}

fn signed_roster(
    coordinator: &Party,
    operator_key: &SigningKey,
    hospitals: &BTreeMap<HospitalId, Party>,
) -> Result<RosterFile, RosterError> {
    let mut file = RosterFile {
        suite: SUITE,
        epoch: 1,
        hospitals: hospitals
            .iter()
            .map(|(id, party)| MemberEntry {
                id: id.get(),
                name: format!("hospital {id}"),
                signing_key: party.signing_key.public().0,
                tls_fingerprint: *party.tls.fingerprint.as_bytes(),
            })
            .collect(),
        coordinator: PeerKeys {
            signing_key: coordinator.signing_key.public().0,
            tls_fingerprint: *coordinator.tls.fingerprint.as_bytes(),
        },
        operator_key: operator_key.public().0,
        signatures: Vec::new(),
        history: Vec::new(),
    };
    for (&id, party) in hospitals {
        file.sign(id, &party.signing_key)?;
    }
    Ok(file)
}

/// Why a demo federation cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Too few or too many hospitals.
    #[error("a federation has 2 to {MAX_HOSPITALS} hospitals; {found} were asked for")]
    Size {
        /// How many were asked for.
        found: u8,
    },
    /// A name that no certificate can carry.
    #[error("cannot make the certificates of this federation")]
    Certificate(#[from] CertificateError),
    /// The roster is invalid.
    #[error(transparent)]
    Roster(#[from] RosterError),
}

const DEFAULT_PORT: u16 = 7443;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_differ_and_the_roster_is_valid() {
        let demo = Demo::generate(5, Place::default()).expect("five hospitals");
        let read = Roster::from_json(&demo.roster_file.to_json()).expect("a valid roster");
        assert_eq!(read.hash(), demo.roster.hash());
        assert_eq!(read.size(), 5);
        for (id, party) in &demo.hospitals {
            let member = read.member(*id).expect("on the roster");
            assert_eq!(member.signing_key, party.signing_key.public());
            let identity = party.tls_identity().expect("key and certificate fit");
            assert_eq!(member.tls_fingerprint, *identity.fingerprint().as_bytes());
        }
    }

    #[test]
    fn a_federation_has_2_to_127_hospitals() {
        for found in [0, 1, 128] {
            assert!(matches!(
                Demo::generate(found, Place::default()),
                Err(DemoError::Size { .. })
            ));
        }
    }

    #[test]
    fn hospitals_dial_a_name_when_the_coordinator_listens_everywhere() {
        let place = Place {
            listen: SocketAddr::from(([0, 0, 0, 0], 9000)),
            server_names: vec!["coordinator.example".to_owned()],
        };
        assert_eq!(place.dialled_address(), "coordinator.example:9000");
        assert_eq!(Place::default().dialled_address(), "127.0.0.1:7443");
    }
}
