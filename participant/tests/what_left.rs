//! A whole run over QUIC on loopback: what the ledger of a hospital tells, beside what the transport and QUIC have counted, and what the
//! forecast had said.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use coordinator::{
    demo::{Demo, Place},
    run_plan::{Assumed, RunPlan},
    service::Service,
    settings::RunSettings,
};
use crypto::sealed_sum::{HospitalId, SumRing};
use model_data::{Edss, FEATURES, FeatureSchema};
use participant::{
    compute::ComputeSlots,
    forecast::Outlook,
    hospital_data::ClinicalTable,
    interruption::NoInterruptions,
    journal::memory::MemoryJournal,
    ledger::{self, Kind, Ledger, Recipient, Row, Summary},
    run_spans::RunSpans,
    shell::{Participant, ParticipantEvent, RunCost},
    vault::{Vault, VaultEvent, VaultIdentity, consent::Consent, policy::Policy},
    way_out::WayOut,
};
use protocol::{
    manifest::{Conditioning, Manifest},
    training_job::{
        EvaluateRequest, EvaluatedCounts, JobWatcher, LocalTrainer, SplitKind, SplitPlan,
        TrainRequest, TrainedUpdate, TrainerFailure,
    },
};
use tokio::sync::mpsc;
use transport::{Dialer, Limits, certificates::KeyFingerprint, tls::ParticipantTls};

/// Moves every value a little, at once.
struct NoNetwork;

impl LocalTrainer for NoNetwork {
    fn train(
        &mut self,
        request: TrainRequest,
        _: &mut dyn JobWatcher,
    ) -> Result<TrainedUpdate, TrainerFailure> {
        let patients = request.inputs.as_ref().map_or(0, |inputs| inputs.len());
        Ok(TrainedUpdate {
            model: request.model.iter().map(|value| value + 0.01).collect(),
            // W moves, and is asked about again.
            input_gradients: vec![[0.25; FEATURES]; patients].into(),
            batches: 2,
            loss: 0.5,
        })
    }

    fn evaluate(
        &mut self,
        request: EvaluateRequest,
        _: &mut dyn JobWatcher,
    ) -> Result<EvaluatedCounts, TrainerFailure> {
        let classes = request.plan.labels.task.classes();
        Ok(EvaluatedCounts {
            confusion: vec![vec![3; classes]; classes],
            loss_sum: 1.5,
        })
    }
}

/// Two blocks of features.
const PATIENTS: u16 = 500;

fn table() -> ClinicalTable {
    let patient = |number: u16| {
        let score =
            Edss::new(if number.is_multiple_of(2) { 1.0 } else { 6.0 }).expect("on the scale");
        (score, vec![Some(f64::from(number % 60)); FEATURES], 1)
    };
    let plan = SplitPlan {
        kind: SplitKind::Patient,
        seed: 1,
    };
    ClinicalTable::new(FeatureSchema::study(), (0..PATIENTS).map(patient), plan)
}

fn hospital(
    demo: &Demo,
    id: HospitalId,
    address: SocketAddr,
    ledger: &Path,
) -> Participant<MemoryJournal> {
    let party = &demo.hospitals[&id];
    let fingerprint = demo.roster.coordinator_tls_fingerprint();
    let identity = party.tls_identity().expect("a certificate");
    let authority = demo.trusted_authority().expect("an authority");
    let tls = ParticipantTls::new(&identity, &authority, KeyFingerprint::from(fingerprint));
    let dialer = Dialer::new(
        &address.to_string(),
        "localhost",
        &tls.expect("TLS"),
        &Limits::default(),
    );
    let recipient = Recipient {
        address: address.to_string(),
        key: fingerprint,
    };
    let ledger = Arc::new(Ledger::open(ledger).expect("made"));
    let vault = Vault::new(
        VaultIdentity {
            id,
            key: party.copy_signing_key(),
            roster: Arc::clone(&demo.roster),
        },
        Consent::by_policy_alone(Policy::of_own_federation()),
        Box::new(table()),
        MemoryJournal::default(),
        Arc::new(SumRing::new()),
    );
    let (events, mut noted) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = noted.recv().await {
            match event {
                ParticipantEvent::Vault(
                    VaultEvent::Refused { reason }
                    | VaultEvent::Rejected { reason }
                    | VaultEvent::ProductsRefused { reason },
                )
                | ParticipantEvent::Disconnected { reason } => eprintln!("hospital {id}: {reason}"),
                _ => {}
            }
        }
    });
    Participant {
        vault,
        trainer: Box::new(NoNetwork),
        way_out: WayOut::new(
            dialer.expect("sound"),
            recipient,
            demo.roster.threshold(),
            ledger,
        ),
        slots: ComputeSlots::new(1),
        events,
        interruptions: Arc::new(NoInterruptions),
        patience: Arc::default(),
        spans: RunSpans::new(id),
        shows_heat: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_tells_of_every_byte_that_the_transport_and_quic_have_counted() {
    let place = Place {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..Place::default()
    };
    let demo = Demo::generate(3, place).expect("three hospitals");
    let settings = RunSettings {
        rounds: 2,
        conditioning: Conditioning::EncryptedHardened,
        ..RunSettings::default()
    };
    let config = demo.service_config(&settings, None).expect("certificates");
    let manifest = config
        .manifest
        .as_ref()
        .map(|signed| signed.read_unverified());
    let manifest = manifest.expect("a run").expect("a manifest");
    let service = Service::bind(config).expect("bound");
    let (address, run) = (service.local_address(), service.run_id());
    let (events, _) = mpsc::unbounded_channel();
    let served = tokio::spawn(service.run(events, std::future::pending()));

    let folder = tempfile::tempdir().expect("a folder");
    let path = |id: HospitalId| folder.path().join(id.to_string()).join(ledger::FILE);
    let mut runs = BTreeMap::new();
    for &id in demo.hospitals.keys() {
        std::fs::create_dir(folder.path().join(id.to_string())).expect("made");
        let participant = hospital(&demo, id, address, &path(id));
        runs.insert(id, tokio::spawn(participant.run(std::future::pending())));
    }
    let ends = async {
        let mut costs = BTreeMap::new();
        for (id, run) in runs {
            costs.insert(id, run.await.expect("no panic").expect("it ends well"));
        }
        served.await.expect("no panic").expect("it ends well");
        costs
    };
    let costs = tokio::time::timeout(Duration::from_secs(300), ends).await;
    for (id, cost) in costs.expect("in time") {
        let mut summary = Summary::default();
        let (mut whole_uploads, mut rounds) = (0, BTreeSet::new());
        let verified = ledger::verify(&path(id), None, |entry| {
            whole_uploads += u64::from(entry.content.part.is_some_and(|part| part.first == 0));
            rounds.extend(
                entry
                    .content
                    .sum
                    .clone()
                    .map(|sum| (sum, entry.content.round)),
            );
            summary.add(&entry.content);
        });
        let verified = verified.expect("the chain holds");
        verified
            .counting
            .iter()
            .for_each(|counted| summary.add(counted));
        let (_, bytes) = summary.total();
        assert_eq!(
            u64::try_from(bytes),
            Ok(cost.sent_bytes),
            "hospital {id}: every message byte, and no other"
        );
        let rows = summary.rows();
        // A hospital says that it is there before it hears of a run.
        let before_a_run = [Kind::Hello.name(), Kind::Heartbeat.name()];
        assert!(
            rows.iter()
                .all(|row| row.run == Some(run) || before_a_run.contains(&row.kind.as_str()))
        );
        assert!(
            rows.iter().all(|row| row.again == 0),
            "nothing was sent twice"
        );
        let expected = [
            ("evaluation", 1),
            ("evaluation", 2),
            ("stats", 0),
            ("update", 1),
            ("update", 2),
        ];
        let expected = expected.map(|(sum, round)| (sum.to_owned(), Some(round)));
        assert_eq!(rounds, expected.into());
        compare_with_quic(id, &cost, &rows, whole_uploads);
        compare_with_forecast(&demo, id, &manifest, &rows);
        compare_with_plan(&manifest, demo.hospitals.len(), &cost);
    }
}

/// What `coordinator run plan` had said: it leaves out small messages.
fn compare_with_plan(manifest: &Manifest, hospitals: usize, cost: &RunCost) {
    let assumed = Assumed {
        hospitals,
        patients: u32::from(PATIENTS),
        slices: 1,
        megabits: 100.0,
        step_millis: 100.0,
    };
    let plan = RunPlan::of(manifest, &assumed).expect("it fits");
    let pairs = [
        ("sent", cost.sent_bytes, plan.up.run),
        ("received", cost.received_bytes, plan.down.run),
    ];
    for (what, counted, planned) in pairs {
        let ratio = planned as f64 / counted as f64;
        assert!(
            (0.995..=1.005).contains(&ratio),
            "{what}: {counted} bytes, planned {planned}"
        );
    }
}

/// What QUIC has sent is what the ledger tells, and its framing: all of that is named.
fn compare_with_quic(id: HospitalId, cost: &RunCost, rows: &[&Row], uploads: u64) {
    let objects: u64 = rows.iter().map(|row| row.objects).sum();
    let outcomes: u64 = rows
        .iter()
        .filter(|row| row.kind == Kind::Closed.name())
        .map(|row| row.objects)
        .sum();
    let lengths = 4 * (objects - uploads);
    // The control stream, a stream for each upload and for each download.
    let openings = 41 * (1 + uploads + outcomes);
    let in_streams = cost.sent_bytes + lengths + openings;
    let wire = cost.wire;
    let added = wire.datagram_bytes_sent - wire.bytes_lost - in_streams;
    eprintln!(
        "hospital {id}: ledger {} bytes in {objects} objects; lengths {lengths}, openings {openings}; QUIC {} bytes in {} datagrams, of \
         them {} probes, {} bytes lost; QUIC and TLS added {added} ({:.2}%)",
        cost.sent_bytes,
        wire.datagram_bytes_sent,
        wire.datagrams_sent,
        wire.probes_sent,
        wire.bytes_lost,
        100.0 * added as f64 / cost.sent_bytes as f64,
    );
    // Packet header and tag of 16 bytes, headers of stream pieces, acknowledgements; probes are longer, and the handshake has padding.
    let most = 64 * wire.datagrams_sent + 9_000 * wire.probes_sent + 24 * 1024;
    assert!(
        added <= most,
        "{added} bytes are added where {most} can be explained"
    );
}

/// Without a cut a run sends what was forecast, object by object.
fn compare_with_forecast(demo: &Demo, id: HospitalId, manifest: &Manifest, rows: &[&Row]) {
    let records = table();
    let outlook = Outlook {
        roster: &demo.roster,
        id,
        manifest,
        records: &records,
    };
    let forecast = outlook.forecast().expect("it fits");
    let mut expected = BTreeMap::new();
    for stage in &forecast.stages {
        for line in &stage.lines {
            let sum = line.object.sum.map(|sum| sum.purpose.name());
            let protection = line.object.protection.words();
            let place = expected
                .entry((line.object.kind.name(), sum))
                .or_insert((0, 0, protection));
            place.0 += line.objects * u64::from(stage.times());
            place.1 += line.bytes * u64::from(stage.times());
        }
    }
    let mut found = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind != Kind::Heartbeat.name()) {
        let bytes = u64::try_from(row.bytes).expect("not negative");
        let place = found
            .entry((row.kind.as_str(), row.sum.as_deref()))
            .or_insert((0, 0, row.protection.clone()));
        place.0 += row.objects;
        place.1 += bytes;
    }
    let total = expected
        .values()
        .fold((0, 0), |(objects, bytes), (more, long, _)| {
            (objects + more, bytes + long)
        });
    assert_eq!(total, forecast.total());
    // One acknowledgement may stand for some: at least one of each sum is sent, and no more than one for each box.
    let sums = ["stats", "update", "evaluation"];
    for place in sums.map(|sum| (Kind::BoxAck.name(), Some(sum))) {
        let (most_objects, most_bytes, protection) = expected.remove(&place).expect("forecast");
        let (objects, bytes, found_protection) = found.remove(&place).expect("sent");
        assert!(
            (1..=most_objects).contains(&objects),
            "{place:?}: {objects}"
        );
        assert!((1..=most_bytes).contains(&bytes), "{place:?}: {bytes}");
        assert_eq!(found_protection, protection);
    }
    assert_eq!(found, expected, "hospital {id}");
}
