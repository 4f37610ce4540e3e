//! Answers hospitals that are not on the roster yet, and members that want to be on the next one.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use crypto::hash::Digest;
use protocol::{
    codec::{self, Bytes, Id, List, Text},
    enrolment::{
        Ask, EnrolmentReply, EnrolmentRequest, JoinRequest, MAX_REQUEST_BYTES, MemberRequest,
    },
    identity::Signed,
    roster::RosterFile,
};
use transport::{
    Answered, EnrolmentDesk,
    certificate_requests::{Role, requested_key, valid_until},
    certificates::{Authority, CertificateError, KeyFingerprint},
};

use super::{Applicant, MEMBERS, Member, Members, MembersError, RosterDraftError};

/// The coordinator's desk: the authority and the list of members.
pub struct Desk {
    authority: Authority,
    fingerprint: Digest,
    members: Mutex<Members>,
}

impl Desk {
    /// The desk of the coordinator with this state folder.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn open(authority: Authority, state: &Path) -> Result<Self, DeskError> {
        let fingerprint = KeyFingerprint::of_certificate_pem(authority.certificate_pem())?;
        Ok(Self {
            fingerprint: *fingerprint.as_bytes(),
            authority,
            members: Mutex::new(Members::open(&state.join(MEMBERS))?),
        })
    }

    /// Issues the certificate of a hospital.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn certify(authority: &Authority, member: &Member) -> Result<String, CertificateError> {
        Self::certify_request(authority, &member.name, &member.request)
    }

    fn certify_request(
        authority: &Authority,
        name: &str,
        request: &[u8],
    ) -> Result<String, CertificateError> {
        let now = SystemTime::now();
        let role = Role::Hospital(name);
        let issued = authority.certify(request, &role, now, now + CERTIFICATE_LIFETIME)?;
        Ok(issued.certificate_pem)
    }

    fn reply(&self, question: &[u8], from: SocketAddr) -> Result<EnrolmentReply, DeskError> {
        match codec::decode_frame(question)? {
            EnrolmentRequest::Join(request) => self.join(&request, from),
            EnrolmentRequest::Ask(request) => self.ask(&request),
        }
    }

    fn join(
        &self,
        signed: &Signed<JoinRequest>,
        from: SocketAddr,
    ) -> Result<EnrolmentReply, DeskError> {
        let key = signed.read_unverified()?.signing_key;
        let request = signed.verify(&key, "the hospital that asks")?;
        self.check_federation(&request.authority)?;
        if !key.is_sound() {
            return Err(DeskError::UnsoundKey);
        }
        let tls_fingerprint = *requested_key(&request.certificate_request.0)?.as_bytes();
        let applicant = Applicant {
            signing_key: key,
            tls_fingerprint,
            request: request.certificate_request.0,
        };
        let mut members = self.members();
        let is_new = members.by_key(&key)?.is_none();
        let member = members.apply(&request.code.hash(), &applicant, SystemTime::now())?;
        drop(members);
        if is_new {
            tracing::info!(
                hospital = member.name,
                address = %from,
                "asks to join: compare its fingerprint over the phone, then `coordinator approve`"
            );
        }
        Ok(self.admission(&member))
    }

    fn ask(&self, signed: &Signed<MemberRequest>) -> Result<EnrolmentReply, DeskError> {
        let key = signed.read_unverified()?.signing_key;
        let request = signed.verify(&key, "the hospital that asks")?;
        self.check_federation(&request.authority)?;
        let mut members = self.members();
        let member = members.by_key(&key)?.ok_or(DeskError::Unknown)?;
        if let Ask::Sign { roster, signature } = &request.ask {
            // A hospital that is to be expelled may be asked to sign, too.
            let number = member.number.ok_or(DeskError::NotApproved)?;
            let missing = members.add_signature(number, roster, signature)?;
            drop(members);
            tracing::info!(hospital = member.name, "has signed the roster");
            return Ok(EnrolmentReply::Signed {
                missing: missing.members.into_iter().map(Id).collect::<List<_>>(),
                missing_of_previous: missing.of_previous.try_into().unwrap_or(u32::MAX),
            });
        }
        match request.ask {
            Ask::Roster | Ask::PublishedRoster if member.number.is_none() => {
                Err(DeskError::NotApproved)
            }
            Ask::Roster => Ok(roster(members.last_roster()?)),
            Ask::PublishedRoster => {
                let published = members.published_roster()?;
                Ok(roster(published.map(|file| (file, true))))
            }
            Ask::Certificate if member.removed.is_some() => Err(DeskError::Removed),
            Ask::Certificate => Ok(self.admission(&member)),
            Ask::Renew { .. } if member.removed.is_some() => Err(DeskError::Removed),
            Ask::Renew {
                certificate_request: Bytes(request),
            } => {
                let number = member.number.ok_or(DeskError::NotApproved)?;
                if *requested_key(&request)?.as_bytes() != member.tls_fingerprint {
                    return Err(DeskError::OtherKey);
                }
                if let Some(certificate) = member.certificate.filter(|pem| is_fresh(pem)) {
                    return Ok(self.certificate(Id(number), certificate));
                }
                let certificate = Self::certify_request(&self.authority, &member.name, &request)?;
                members.renew(number, &certificate)?;
                drop(members);
                tracing::info!(hospital = member.name, "has a new certificate");
                Ok(self.certificate(Id(number), certificate))
            }
            Ask::Sign { .. } => unreachable!("answered above"),
        }
    }

    fn admission(&self, member: &Member) -> EnrolmentReply {
        match (member.number, &member.certificate) {
            (Some(number), Some(certificate)) => self.certificate(Id(number), certificate.clone()),
            _ => EnrolmentReply::Waiting,
        }
    }

    fn certificate(&self, hospital: Id, certificate: String) -> EnrolmentReply {
        EnrolmentReply::Certificate {
            hospital,
            certificate: Text(certificate),
            authority: Text(self.authority.certificate_pem().to_owned()),
        }
    }

    fn check_federation(&self, authority: &Digest) -> Result<(), DeskError> {
        if *authority == self.fingerprint {
            Ok(())
        } else {
            Err(DeskError::OtherFederation)
        }
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever asks again and again gets the same one.
fn is_fresh(certificate: &str) -> bool {
    let fresh_until = SystemTime::now() + (CERTIFICATE_LIFETIME - FRESH);
    valid_until(certificate).is_ok_and(|until| until > fresh_until)
}

fn roster(found: Option<(RosterFile, bool)>) -> EnrolmentReply {
    match found {
        Some((file, is_published)) => EnrolmentReply::Roster {
            file: Bytes(file.to_json().into_bytes()),
            is_published,
        },
        None => EnrolmentReply::NoRoster,
    }
}

impl EnrolmentDesk for Desk {
    fn answer(&self, question: &[u8], from: SocketAddr) -> Answered {
        match self.reply(question, from) {
            Ok(reply) => Answered {
                reply: codec::encode_frame(&reply),
                complaint: None,
            },
            Err(error) => {
                let reason = Text(error.for_the_hospital());
                Answered {
                    reply: codec::encode_frame(&EnrolmentReply::Refused { reason }),
                    complaint: Some(format!("{:#}", anyhow::Error::from(error))),
                }
            }
        }
    }

    fn max_question_bytes(&self) -> usize {
        MAX_REQUEST_BYTES
    }
}

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The list of members.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// The roster.
    #[error(transparent)]
    Roster(#[from] RosterDraftError),
    /// A certificate request, or the authority's own certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Not a question, or one of another release.
    #[error(transparent)]
    Codec(#[from] protocol::codec::CodecError),
    /// Not signed by who asks.
    #[error(transparent)]
    Signature(#[from] protocol::identity::SignedError),
    /// Meant for another one.
    #[error("this is meant for another federation: its invitation names another authority")]
    OtherFederation,
    /// A key under which anything verifies.
    #[error("the signing key is not a sound Ed25519 key")]
    UnsoundKey,
    /// Nobody with this key has asked to join.
    #[error(
        "this hospital has not asked to join, or its request was replaced by another: use the last invitation"
    )]
    Unknown,
    /// The operator has not decided.
    #[error(
        "this hospital is not approved yet: read the fingerprint of its keys out to the coordinator's operator"
    )]
    NotApproved,
    /// It was taken off the list.
    #[error("this hospital was removed from the federation by the coordinator's operator")]
    Removed,
    /// The TLS key of the roster stays.
    #[error(
        "the request is for another TLS key than the one on the roster: a certificate is renewed with the same key"
    )]
    OtherKey,
}

impl DeskError {
    /// What the hospital is told: nothing about this machine's files.
    fn for_the_hospital(&self) -> String {
        match self {
            Self::Members(
                MembersError::File { .. }
                | MembersError::Database { .. }
                | MembersError::Version { .. }
                | MembersError::Roster { .. },
            )
            | Self::Roster(RosterDraftError::Members(_)) => {
                "the coordinator cannot use its list of members; its log says why".to_owned()
            }
            other => other.to_string(),
        }
    }
}

/// So often at the most another one is issued to a member: enough for one whose answer was lost, and no work for one that floods.
const FRESH: Duration = Duration::from_secs(10);

/// Of a certificate that is issued or renewed.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
