//! Uploads over loopback, one after the other, with one thread for each side: `goodput [UPLOADS] [BYTES]`.
//!
//! Prints how fast they moved, and the processor time of each side. `perf record -g` of it shows where that goes.

use std::{
    env,
    error::Error,
    fs,
    io::{Write as _, stdout},
    thread,
    time::Instant,
};

use crypto::sealed_sum::HospitalId;
use tokio::{runtime, sync::oneshot};
use transport::{
    CloseCode, Dialer, HospitalLink, Incoming, Limits, Listener,
    certificates::{Authority, IssuedCertificate},
    tls::{CoordinatorTls, HospitalKeys, ParticipantTls, TlsIdentity, TrustedAuthority},
};

type Anything<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Anything<()> {
    let mut arguments = env::args().skip(1).map(|argument| argument.parse());
    let uploads: usize = arguments.next().unwrap_or(Ok(50))?;
    let bytes = arguments.next().unwrap_or(Ok(16_900_000))?;
    let authority = Authority::generate("goodput")?;
    let coordinator = authority.issue_coordinator(&["localhost".to_owned()])?;
    let id = HospitalId::new(1).expect("in range");
    let hospital = authority.issue_hospital(id)?;
    let trusted = || TrustedAuthority::from_pem(authority.certificate_pem());
    let keys = HospitalKeys::new([(id, hospital.fingerprint)])?;
    let coordinator_tls = CoordinatorTls::new(&identity(&coordinator)?, &trusted()?, keys)?;
    let participant_tls =
        ParticipantTls::new(&identity(&hospital)?, &trusted()?, coordinator.fingerprint)?;

    let (here, address) = oneshot::channel();
    let receiver = thread::Builder::new().name("coordinator".into());
    let receiver = receiver.spawn(move || -> Anything<f64> {
        one_thread()?.block_on(async {
            let limits = Limits::default();
            let mut listener =
                Listener::bind(([127, 0, 0, 1], 0).into(), &coordinator_tls, &limits)?;
            let _ = here.send(listener.local_address()?);
            let mut link = listener.accept().await.expect("it listens")?;
            receive(&mut link).await?;
            own_cpu_secs()
        })
    })?;
    let sender = thread::Builder::new().name("hospital".into());
    let sender = sender.spawn(move || -> Anything<(f64, f64)> {
        one_thread()?.block_on(async {
            let address = address.await?.to_string();
            let dialer = Dialer::new(&address, "localhost", &participant_tls, &Limits::default())?;
            let link = dialer.connect(|_| ()).await?;
            let blob = vec![7; bytes];
            let began = Instant::now();
            for number in 0..uploads {
                let mut name = [0; 32];
                name[..8].copy_from_slice(&number.to_le_bytes());
                link.blobs().upload(name, &blob, |_| ()).await?;
            }
            let secs = began.elapsed().as_secs_f64();
            link.close(CloseCode::Done, "all is sent").await;
            Ok((secs, own_cpu_secs()?))
        })
    })?;
    let (secs, sending) = sender.join().expect("no panic")?;
    let receiving = receiver.join().expect("no panic")?;
    let megabytes = (uploads * bytes) as f64 / 1e6;
    writeln!(
        stdout(),
        "{:.0} MB/s; an upload takes {:.1} ms of processor time at the hospital, {:.1} at the coordinator",
        megabytes / secs,
        1e3 * sending / uploads as f64,
        1e3 * receiving / uploads as f64
    )?;
    Ok(())
}

/// Takes uploads until the hospital is gone.
async fn receive(link: &mut HospitalLink) -> Anything<()> {
    loop {
        match link.next().await {
            Incoming::Upload(request) => {
                let mut upload = request.accept(0).await?;
                while upload.next_leaf().await?.is_some() {}
                // The hospital may close when it has its last verdict.
                let _ = upload.accept().await;
            }
            Incoming::Closed(_) => return Ok(()),
            Incoming::Frame(_) | Incoming::Download(_) => {}
        }
    }
}

fn one_thread() -> std::io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

fn identity(issued: &IssuedCertificate) -> Anything<TlsIdentity> {
    Ok(TlsIdentity::from_pem(
        &issued.certificate_pem,
        &issued.key_pem,
    )?)
}

/// Of this thread, its system calls included.
fn own_cpu_secs() -> Anything<f64> {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = statistics.split_whitespace().next().unwrap_or("0");
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}
