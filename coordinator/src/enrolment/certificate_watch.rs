//! Certificates of the federation that end soon, told once a day while a coordinator runs.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};

use host::{
    certificate_end::{CertificateEnd, TOLD_EVERY},
    key_files::NamedFile,
};
use tokio::time::sleep;
use transport::certificate_requests::valid_until;

use super::{MEMBERS, Members};
use crate::{machine::with_name, settings::Settings};

/// A certificate that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndsSoon {
    /// "the certificate of hospital 3 (Charite)".
    pub whose: String,
    /// When.
    pub end: CertificateEnd,
    /// What is to be done.
    pub renewal: &'static str,
}

/// Tells of them soon after the start, which renews what it can, and then once a day. Drop it to end.
pub async fn watch_certificates(settings: &Settings) -> Infallible {
    sleep(FOR_THE_START).await;
    loop {
        for EndsSoon {
            whose,
            end,
            renewal,
        } in ending_certificates(settings, SystemTime::now())
        {
            end.tell(&whose, renewal);
        }
        sleep(TOLD_EVERY).await;
    }
}

/// The coordinator's own, that of the authority, and those of the members whose certificates were issued here. Files that cannot be
/// read are named when they are used.
pub fn ending_certificates(settings: &Settings, now: SystemTime) -> Vec<EndsSoon> {
    let keys = &settings.keys;
    let own = NamedFile::new("keys.tls_certificate", &keys.tls_certificate);
    let authority = NamedFile::new("keys.ca_certificate", &keys.ca_certificate);
    let files = [
        (
            "the coordinator's certificate",
            own,
            renewal_of_own(settings),
        ),
        (
            "the certificate of the federation's authority",
            authority,
            RENEWAL_OF_AUTHORITY,
        ),
    ];
    let of_files = files.into_iter().filter_map(|(whose, file, renewal)| {
        let until = file.valid_until().ok()?;
        Some((whose.to_owned(), until, renewal))
    });
    let path = settings.state.join(MEMBERS);
    let all = path.exists().then(|| Members::look(&path)?.all());
    let all = all.and_then(Result::ok).unwrap_or_default();
    let of_members = all.iter().filter_map(|member| {
        let until = valid_until(member.certificate.as_deref()?).ok()?;
        let whose = with_name(member.number?, &member.name);
        Some((
            format!("the certificate of {whose}"),
            until,
            RENEWAL_OF_MEMBER,
        ))
    });
    let all = of_files.chain(of_members);
    let soon = all.filter_map(|(whose, until, renewal)| {
        let end = CertificateEnd::near(until, now)?;
        Some(EndsSoon {
            whose,
            end,
            renewal,
        })
    });
    soon.collect()
}

/// How the coordinator gets another certificate.
pub fn renewal_of_own(settings: &Settings) -> &'static str {
    match settings.keys.authority_key.exists() {
        true => "start the coordinator again: it renews it at a start in the last 60 days",
        false => {
            "ask whoever has the authority's key for another one; of a demonstration there is none"
        }
    }
}

/// What a federation does whose authority ends.
pub const RENEWAL_OF_AUTHORITY: &str =
    "found the federation anew: all its certificates end with that of the authority";
/// How hospitals get other certificates.
pub const RENEWAL_OF_MEMBER: &str =
    "have these hospitals start their participant, which renews it, or: participant keys renew";
const FOR_THE_START: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::fs;

    use crypto::sealed_sum::HospitalId;
    use host::certificate_end::Urgency;
    use protocol::identity::PublicKey;
    use transport::{
        certificate_requests::{Role, certificate_request, new_key},
        certificates::Authority,
    };

    use super::*;
    use crate::{
        demo::{Demo, Place},
        enrolment::Applicant,
    };

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn own_and_members_certificates_that_end_soon_are_named_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let demo = Demo::generate(2, Place::default()).expect("two");
        demo.write(folder.path()).expect("written");
        let file = folder.path().join("coordinator/coordinator.toml");
        let settings = Settings::load(&file, [], &[]).expect("sound settings");
        let now = SystemTime::now();
        assert_eq!(ending_certificates(&settings, now), []);

        let authority = Authority::generate("another").expect("an authority");
        let (request, _) = certificate_request(&new_key().expect("a key")).expect("a request");
        let until = |days: u32| {
            let role = Role::Hospital("any");
            let issued = authority.certify(&request, &role, now, now + days * DAY);
            issued.expect("issued").certificate_pem
        };
        fs::write(&settings.keys.tls_certificate, until(1)).expect("written");
        fs::create_dir_all(&settings.state).expect("made");
        let mut members = Members::open(&settings.state.join(MEMBERS)).expect("made");
        for (number, name, days) in [(1, "St. Mary's", 5), (2, "Charite", 90)] {
            let code = [number; 32];
            members.invite(name, &code, now + DAY).expect("invited");
            let applicant = Applicant {
                signing_key: PublicKey([number; 32]),
                tls_fingerprint: [number; 32],
                request: request.clone(),
            };
            members.apply(&code, &applicant, now).expect("noted");
            let approved = members.approve(name, now, |_| {
                Ok::<_, super::super::MembersError>(until(days))
            });
            assert_eq!(approved.expect("a member").number, HospitalId::new(number));
        }
        let found = ending_certificates(&settings, now);
        let found: Vec<_> = found
            .iter()
            .map(|soon| (soon.whose.as_str(), soon.end.urgency(), soon.renewal))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "the coordinator's certificate",
                    Urgency::Day,
                    renewal_of_own(&settings)
                ),
                (
                    "the certificate of hospital 1 (St. Mary's)",
                    Urgency::Week,
                    RENEWAL_OF_MEMBER
                ),
            ]
        );
    }
}
