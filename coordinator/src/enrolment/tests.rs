//! The desk and the list of members, as a hospital and an operator use them.

use std::time::{Duration, SystemTime};

use protocol::{
    HospitalId,
    codec::{self, Bytes},
    enrolment::{Ask, Code, EnrolmentReply, EnrolmentRequest, JoinRequest, MemberRequest},
    identity::{Signed, SigningKey},
    roster::{PeerKeys, RosterFile},
};
use tempfile::TempDir;
use transport::{
    EnrolmentDesk as _,
    certificate_requests::{certificate_request, new_key},
    certificates::{Authority, KeyFingerprint},
};
use zeroize::Zeroizing;

use super::*;

struct World {
    folder: TempDir,
    desk: Desk,
    authority: [u8; 32],
}

/// A hospital before it is one.
struct Hospital {
    name: &'static str,
    key: SigningKey,
    tls_key: Zeroizing<String>,
    code: u8,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::generate("test").expect("an authority");
        let fingerprint = KeyFingerprint::of_certificate_pem(authority.certificate_pem());
        Self {
            desk: Desk::open(authority, folder.path()).expect("a desk"),
            authority: *fingerprint.expect("a certificate").as_bytes(),
            folder,
        }
    }

    /// As another program sees it.
    fn members(&self) -> Members {
        Members::open(&self.folder.path().join(MEMBERS)).expect("a database")
    }

    fn invite(&self, hospital: &Hospital) {
        let code = Code::from_bytes([hospital.code; 16]);
        let expires = SystemTime::now() + Duration::from_secs(60);
        let invited = self.members().invite(hospital.name, &code.hash(), expires);
        invited.expect("invited");
    }

    fn asked(&self, request: &EnrolmentRequest) -> EnrolmentReply {
        let question = codec::encode_frame(request);
        let answered = self.desk.answer(&question, ([127, 0, 0, 1], 9).into());
        codec::decode_frame(&answered.reply).expect("a reply")
    }

    fn join(&self, hospital: &Hospital) -> EnrolmentReply {
        self.asked(&EnrolmentRequest::Join(Signed::sign(
            &JoinRequest {
                authority: self.authority,
                code: Code::from_bytes([hospital.code; 16]),
                signing_key: hospital.key.public(),
                certificate_request: hospital.request(),
            },
            &hospital.key,
        )))
    }

    fn ask(&self, hospital: &Hospital, ask: Ask) -> EnrolmentReply {
        self.asked(&EnrolmentRequest::Ask(Signed::sign(
            &MemberRequest {
                authority: self.authority,
                signing_key: hospital.key.public(),
                ask,
            },
            &hospital.key,
        )))
    }

    fn approve(&self, hospital: &Hospital) -> Result<Member, MembersError> {
        let authority = Authority::generate("any").expect("an authority");
        self.members()
            .approve(hospital.name, SystemTime::now(), |member| {
                Ok(Desk::certify(&authority, member).expect("a sound request"))
            })
    }

    /// Invited, asked, approved.
    fn admit(&self, hospital: &Hospital) -> HospitalId {
        self.invite(hospital);
        assert_eq!(self.join(hospital), EnrolmentReply::Waiting);
        let member = self.approve(hospital).expect("it has asked");
        member.number.expect("approved")
    }

    fn sign(&self, hospital: &Hospital, number: HospitalId) -> EnrolmentReply {
        let EnrolmentReply::Roster { file, .. } = self.ask(hospital, Ask::Roster) else {
            panic!("no roster");
        };
        let file = String::from_utf8(file.0).expect("JSON");
        let draft = RosterFile::from_json(&file).expect("a roster");
        let roster = draft.check_draft().expect("sound").hash();
        let signature = hospital.key.sign_digest(roster.as_bytes());
        assert!(draft.hospitals.iter().any(|one| one.id == number.get()));
        self.ask(hospital, Ask::Sign { roster, signature })
    }

    fn draft(&self) -> Result<RosterFile, RosterDraftError> {
        self.members().draft(OtherKeys {
            coordinator: PeerKeys {
                signing_key: SigningKey::from_secret_bytes(&[200; 32]).public().0,
                tls_fingerprint: [200; 32],
            },
            operator_key: SigningKey::from_secret_bytes(&[201; 32]).public().0,
        })
    }
}

impl Hospital {
    fn new(name: &'static str, code: u8) -> Self {
        Self {
            name,
            key: SigningKey::from_secret_bytes(&[code; 32]),
            tls_key: new_key().expect("a key"),
            code,
        }
    }

    fn request(&self) -> Bytes {
        Bytes(certificate_request(&self.tls_key).expect("a request").0)
    }
}

fn reason(reply: EnrolmentReply) -> String {
    match reply {
        EnrolmentReply::Refused { reason } => reason.0,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_hospital_is_invited_asks_and_is_approved() {
    let world = World::new();
    let one = Hospital::new("St. Mary's", 1);
    assert!(reason(world.join(&one)).contains("no invitation"));
    assert!(reason(world.ask(&one, Ask::Certificate)).contains("has not asked"));
    world.invite(&one);
    assert_eq!(world.join(&one), EnrolmentReply::Waiting);
    assert_eq!(
        world.join(&one),
        EnrolmentReply::Waiting,
        "the answer was lost"
    );
    assert_eq!(world.ask(&one, Ask::Certificate), EnrolmentReply::Waiting);

    let request = world.members().all().expect("readable").remove(0);
    assert_eq!(request.name, "St. Mary's");
    world.approve(&one).expect("it has asked");
    let EnrolmentReply::Certificate {
        hospital,
        certificate,
        authority,
    } = world.join(&one)
    else {
        panic!("no certificate");
    };
    assert_eq!(hospital.0.get(), 1);
    let issued = KeyFingerprint::of_certificate_pem(&certificate.0).expect("a certificate");
    assert_eq!(*issued.as_bytes(), request.tls_fingerprint);
    let authority = KeyFingerprint::of_certificate_pem(&authority.0).expect("a certificate");
    assert_eq!(*authority.as_bytes(), world.authority);
    assert!(matches!(
        world.approve(&one),
        Err(MembersError::IsMember { .. })
    ));
}

#[test]
fn an_invitation_is_for_one_hospital_and_for_some_time() {
    let world = World::new();
    let (one, mut thief) = (Hospital::new("one", 1), Hospital::new("one", 2));
    world.invite(&one);
    assert_eq!(world.join(&one), EnrolmentReply::Waiting);
    thief.code = 1;
    assert!(reason(world.join(&thief)).contains("used before"));
    world.approve(&one).expect("it has asked");
    assert!(reason(world.join(&thief)).contains("no invitation"));

    let late = Hospital::new("late", 3);
    let code = Code::from_bytes([3; 16]).hash();
    let past = SystemTime::now() - Duration::from_secs(5);
    world
        .members()
        .invite("late", &code, past)
        .expect("invited");
    assert!(reason(world.join(&late)).contains("no longer valid"));

    // The same keys under another name.
    let mut again = Hospital::new("again", 4);
    again.key = SigningKey::from_secret_bytes(&[1; 32]);
    world.invite(&again);
    assert!(reason(world.join(&again)).contains("another member's"));

    // The operator has one start anew: what was asked before is forgotten.
    let slow = Hospital::new("slow", 5);
    world.invite(&slow);
    assert_eq!(world.join(&slow), EnrolmentReply::Waiting);
    world.invite(&slow);
    assert!(reason(world.ask(&slow, Ask::Certificate)).contains("has not asked"));
}

#[test]
fn what_another_has_signed_or_what_is_meant_for_others_is_refused() {
    let world = World::new();
    let (one, other) = (Hospital::new("one", 1), Hospital::new("other", 2));
    world.invite(&one);
    let join = |authority, key: &SigningKey| {
        EnrolmentRequest::Join(Signed::sign(
            &JoinRequest {
                authority,
                code: Code::from_bytes([1; 16]),
                signing_key: one.key.public(),
                certificate_request: one.request(),
            },
            key,
        ))
    };
    let elsewhere = reason(world.asked(&join([9; 32], &one.key)));
    assert!(elsewhere.contains("another federation"), "{elsewhere}");
    let forged = reason(world.asked(&join(world.authority, &other.key)));
    assert!(forged.contains("signature"), "{forged}");
    let answered = world.desk.answer(b"nonsense", ([127, 0, 0, 1], 9).into());
    assert!(answered.complaint.is_some());
    let reply = codec::decode_frame(&answered.reply).expect("a reply");
    reason(reply);
    assert_eq!(
        world.join(&one),
        EnrolmentReply::Waiting,
        "no harm was done"
    );
}

#[test]
fn a_roster_is_signed_by_all_then_changed_by_most() {
    let world = World::new();
    let hospitals: Vec<_> = [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
        .map(|(name, code)| Hospital::new(name, code))
        .into();
    let numbers: Vec<_> = hospitals.iter().map(|one| world.admit(one)).collect();
    assert_eq!(
        world.ask(&hospitals[0], Ask::Roster),
        EnrolmentReply::NoRoster
    );
    assert!(matches!(
        world.members().signed_draft(),
        Err(RosterDraftError::NoDraft)
    ));
    world.draft().expect("four members");
    for (hospital, number) in hospitals.iter().zip(&numbers).take(3) {
        world.sign(hospital, *number);
    }
    let unsigned = world.members().signed_draft().expect_err("one is missing");
    assert!(unsigned.to_string().contains(": d;"), "{unsigned}");
    let EnrolmentReply::Signed { missing, .. } = world.sign(&hospitals[3], numbers[3]) else {
        panic!("not signed");
    };
    assert!(missing.is_empty());
    let first = world.members().signed_draft().expect("signed by all");
    let mut other = first.clone();
    other.signatures.pop();
    assert!(matches!(
        world.members().publish(&other, SystemTime::now()),
        Err(MembersError::DraftChanged)
    ));
    let published = world.members().publish(&first, SystemTime::now());
    published.expect("written");

    // One leaves, one comes: its number is new.
    let fifth = Hospital::new("e", 5);
    let number = world.admit(&fifth);
    assert_eq!(number.get(), 5);
    world
        .members()
        .remove("b", SystemTime::now())
        .expect("a member");
    let draft = world.draft().expect("four members");
    assert_eq!((draft.epoch, draft.history), (2, vec![first]));
    let leaver = world.ask(
        &hospitals[1],
        Ask::Renew {
            certificate_request: hospitals[1].request(),
        },
    );
    assert!(reason(leaver).contains("removed"));
    for index in [0, 2, 3] {
        world.sign(&hospitals[index], numbers[index]);
    }
    assert!(
        world.members().signed_draft().is_err(),
        "the new one has not signed"
    );
    world.sign(&fifth, number);
    let second = world.members().signed_draft().expect("signed by enough");
    assert_eq!(second.check().expect("sound").size(), 4);

    // The draft changes: signatures are for what was signed.
    let roster = second.check().expect("sound").hash();
    world.draft().expect("the same members");
    let signature = fifth.key.sign_digest(&[7; 32]);
    let wrong = world.ask(&fifth, Ask::Sign { roster, signature });
    assert!(reason(wrong).contains("not its own"));
    world
        .members()
        .remove("e", SystemTime::now())
        .expect("a member");
    world.draft().expect("three members");
    let signature = hospitals[0].key.sign_digest(roster.as_bytes());
    let outdated = world.ask(&hospitals[0], Ask::Sign { roster, signature });
    assert!(reason(outdated).contains("changed meanwhile"));
}

#[test]
fn a_certificate_is_renewed_for_the_same_key_alone() {
    let world = World::new();
    let one = Hospital::new("one", 1);
    world.admit(&one);
    let renew = |request: Bytes| {
        let ask = Ask::Renew {
            certificate_request: request,
        };
        world.ask(&one, ask)
    };
    assert!(matches!(
        renew(one.request()),
        EnrolmentReply::Certificate { .. }
    ));
    let other = Hospital::new("other", 2);
    assert!(reason(renew(other.request())).contains("the same key"));
    assert!(reason(renew(Bytes(b"nonsense".into()))).contains("certificate request"));
}

#[test]
fn a_new_coordinators_folder_has_no_key_of_others_and_admits() {
    let outside = tempfile::tempdir().expect("a folder");
    let folder = outside.path().join("coordinator");
    let new = NewCoordinator {
        name: "MS study".into(),
        listen: ([127, 0, 0, 1], 0).into(),
        public: "localhost:7443".into(),
    };
    new.write(&folder).expect("written");
    assert!(matches!(new.write(&folder), Err(NewFolderError::Folder(_))));
    let names = |path: &std::path::Path| {
        let entries = std::fs::read_dir(path).expect("a folder");
        let mut names: Vec<_> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(&folder),
        ["ca.crt", "coordinator.toml", "keys", "state"]
    );
    assert_eq!(
        names(&folder.join("keys")),
        ["authority.key", "signing.key", "tls.crt", "tls.key"]
    );
    let settings = crate::settings::Settings::load(&folder.join("coordinator.toml"), [], &[]);
    let settings = settings.expect("sound settings");
    assert_eq!(settings.public, "localhost:7443");
    let idle = settings.idle_config().expect("sound files");
    assert!(idle.desk.is_some() && idle.roster.is_none());
}
