//! Knocks at a coordinator's door without a certificate, as often as it is told: `strangers ADDRESS COUNT AT_A_TIME`.
//!
//! For measuring what that does to a run; prints how the attempts ended.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    io::{Write as _, stdout},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{ClientConfig, Endpoint, crypto::rustls::QuicClientConfig};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [address, count, at_a_time] = &arguments[..] else {
        return Err("usage: strangers ADDRESS COUNT AT_A_TIME".into());
    };
    let address: SocketAddr = address.parse()?;
    let (count, at_a_time): (usize, usize) = (count.parse()?, at_a_time.parse()?);
    let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(config()?);

    let began = Instant::now();
    let places = Arc::new(Semaphore::new(at_a_time));
    let mut knocks = JoinSet::new();
    for _ in 0..count {
        let place = Arc::clone(&places).acquire_owned().await?;
        let endpoint = endpoint.clone();
        knocks.spawn(async move {
            let ending = knock(&endpoint, address).await;
            drop(place);
            ending
        });
    }
    let mut endings = BTreeMap::<String, usize>::new();
    while let Some(ending) = knocks.join_next().await {
        *endings.entry(ending?).or_default() += 1;
    }
    let secs = began.elapsed().as_secs_f64();
    let mut out = stdout().lock();
    writeln!(out, "{count} in {secs:.1} s")?;
    for (ending, count) in endings {
        writeln!(out, "{count:>7}  {ending}")?;
    }
    Ok(())
}

/// How it ended.
async fn knock(endpoint: &Endpoint, address: SocketAddr) -> String {
    let connecting = match endpoint.connect(address, "localhost") {
        Ok(connecting) => connecting,
        Err(error) => return error.to_string(),
    };
    match timeout(PATIENCE, connecting).await {
        Err(_) => "no answer".to_owned(),
        Ok(Err(error)) => error.to_string(),
        // For us the handshake is over before the other side has looked for a certificate.
        Ok(Ok(connection)) => match timeout(PATIENCE, connection.closed()).await {
            Ok(error) => error.to_string(),
            Err(_) => "let in".to_owned(),
        },
    }
}

fn config() -> Result<ClientConfig, Box<dyn Error>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"myelin/3".to_vec()];
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(
        tls,
    )?)))
}

/// Believes everybody: a stranger does not know who the coordinator is.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
