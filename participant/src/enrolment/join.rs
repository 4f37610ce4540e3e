//! Joining: the keys of this hospital are made in its folder and stay there; only their public halves are sent.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use getrandom::{SysRng, rand_core::UnwrapErr};
use host::{
    key_files::{KeyFileError, NamedFile, write_private},
    output::printable,
    participant_file::joined_file,
    private_folder::make_private_folder,
    replaced_file::replace,
};
use protocol::{
    HospitalId,
    codec::Bytes,
    enrolment::{Code, EnrolmentReply, EnrolmentRequest, Invitation, JoinRequest, keys_hash},
    identity::{Signed, SigningKey},
    spoken::{Length, spoken},
};
use transport::{
    EnrolmentClient, TransportError,
    certificate_requests::{certificate_request, new_key},
    certificates::{CertificateError, KeyFingerprint},
    tls::TlsIdentity,
};
use zeroize::Zeroizing;

use super::desk::{DeskError, answer};

/// A hospital that asks to be let in.
pub struct Joining {
    folder: PathBuf,
    invitation: Invitation,
    client: EnrolmentClient,
    key: SigningKey,
    tls_key: Zeroizing<String>,
    request: Vec<u8>,
    tls_fingerprint: KeyFingerprint,
}

/// How far it is.
pub enum Progress {
    /// The operator has not decided yet.
    Waiting,
    /// It is a member: everything it needs is in the folder.
    Joined(HospitalId),
}

impl Joining {
    /// Takes up the invitation in `folder`, and makes the keys there unless an earlier try has.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn begin(invitation: Invitation, folder: &Path) -> Result<Self, JoinError> {
        let settings = folder.join(SETTINGS);
        if settings.exists() {
            return Err(JoinError::HasJoined { settings });
        }
        let keys = folder.join("keys");
        make_private_folder(&keys).map_err(at(&keys))?;
        let key = signing_key(&keys.join("signing.key"))?;
        let tls_key = tls_key(&keys.join("tls.key"))?;
        let (request, tls_fingerprint) = certificate_request(&tls_key)?;
        let client = EnrolmentClient::new(
            &invitation.address,
            host_of(&invitation.address),
            invitation.authority.into(),
        )?;
        Ok(Self {
            folder: folder.to_owned(),
            invitation,
            client,
            key,
            tls_key,
            request,
            tls_fingerprint,
        })
    }

    /// The words of this hospital's keys, to be read out to the operator.
    pub fn fingerprint(&self) -> String {
        let keys = keys_hash(&self.key.public(), self.tls_fingerprint.as_bytes());
        spoken(&keys, Length::Short)
    }

    /// The name that the hospital was invited by.
    ///
    /// It can be shown on a terminal, whatever the invitation says.
    pub fn name(&self) -> String {
        printable(&self.invitation.name).replace(['\n', '\t'], " ")
    }

    /// Asks, once; the same again is no harm. Once approved, writes certificates and settings, in which the data set is at `data`.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn ask(&self, data: Option<&Path>) -> Result<Progress, JoinError> {
        let request = JoinRequest {
            authority: self.invitation.authority,
            code: self.code(),
            signing_key: self.key.public(),
            certificate_request: Bytes(self.request.clone()),
        };
        let request = EnrolmentRequest::Join(Signed::sign(&request, &self.key));
        match answer(&self.client, &request).await? {
            EnrolmentReply::Waiting => Ok(Progress::Waiting),
            EnrolmentReply::Certificate {
                hospital,
                certificate,
                authority,
            } => {
                self.write(hospital.0, &certificate.0, &authority.0, data)?;
                Ok(Progress::Joined(hospital.0))
            }
            _ => Err(DeskError::OtherAnswer.into()),
        }
    }

    fn code(&self) -> Code {
        self.invitation.code.copy()
    }

    /// The settings come last: where they are, everything is.
    fn write(
        &self,
        hospital: HospitalId,
        certificate: &str,
        authority: &str,
        data: Option<&Path>,
    ) -> Result<(), JoinError> {
        let issued_by = KeyFingerprint::of_certificate_pem(authority)?;
        if *issued_by.as_bytes() != self.invitation.authority {
            return Err(JoinError::OtherAuthority);
        }
        TlsIdentity::from_pem(certificate, &self.tls_key)?;
        let write = |path: PathBuf, text: &str| replace(&path, text.as_bytes()).map_err(at(&path));
        write(self.folder.join("keys/tls.crt"), certificate)?;
        write(self.folder.join("ca.crt"), authority)?;
        let address = &self.invitation.address;
        let data = data.map(|data| data.display().to_string());
        let settings = joined_file(hospital, address, host_of(address), data.as_deref());
        write(self.folder.join(SETTINGS), &settings)
    }
}

/// As it stands in the coordinator's certificate.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_matches(['[', ']'])
}

/// Whether an earlier try has written a key. One that was cut off in between has left an empty file.
fn is_written(path: &Path) -> Result<bool, JoinError> {
    match fs::metadata(path) {
        Ok(about) if about.len() == 0 => {
            fs::remove_file(path).map_err(at(path))?;
            Ok(false)
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(path)(error)),
    }
}

fn signing_key(path: &Path) -> Result<SigningKey, JoinError> {
    if is_written(path)? {
        return Ok(NamedFile::new("keys.signing_key", path).signing_key()?);
    }
    let key = SigningKey::generate(&mut UnwrapErr(SysRng));
    let digits = Zeroizing::new(hex::encode(key.to_secret_bytes()));
    write_private(path, digits.as_bytes()).map_err(at(path))?;
    Ok(key)
}

fn tls_key(path: &Path) -> Result<Zeroizing<String>, JoinError> {
    if is_written(path)? {
        return Ok(NamedFile::new("keys.tls_key", path).private_text()?);
    }
    let key = new_key()?;
    write_private(path, key.as_bytes()).map_err(at(path))?;
    Ok(key)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> JoinError {
    let path = path.to_owned();
    move |source| JoinError::Write { path, source }
}

/// Why a hospital has not joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It has.
    #[error("this folder's hospital has joined already: {} is there. Use another folder for another federation", settings.display())]
    HasJoined {
        /// Its settings.
        settings: PathBuf,
    },
    /// The operating system refuses to write.
    #[error("cannot write {}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Keys of an earlier try.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A certificate cannot be used, or is another's.
    #[error("the certificate from the coordinator cannot be used")]
    Certificate(#[from] CertificateError),
    /// Not the one of the invitation.
    #[error(
        "the coordinator has sent another authority's certificate than the invitation names: tell its operator"
    )]
    OtherAuthority,
    /// The address of the invitation.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The desk.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// What every command looks for.
const SETTINGS: &str = "participant.toml";
