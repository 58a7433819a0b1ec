//! TLS of `wss` URLs.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Takes what this machine's root certificates vouch for; with `insecure`, any certificate.
pub(super) fn connector(insecure: bool) -> Result<TlsConnector, String> {
    if insecure {
        let provider = ring::default_provider();
        return Ok(with_verifier(Arc::new(AnyCertificate(provider))));
    }
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Of a machine's many certificates some may be older than what rustls reads.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "this machine has no root certificates to judge a wss:// server by{why}: install \
             them (Debian: ca-certificates), or give --insecure to take any certificate"
        ));
    }
    trusting(roots)
}

/// Takes what these vouch for.
pub(super) fn trusting(roots: RootCertStore) -> Result<TlsConnector, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| format!("the root certificates cannot be used: {error}"))?;
    Ok(with_verifier(verifier))
}

fn with_verifier(verifier: Arc<dyn ServerCertVerifier>) -> TlsConnector {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // Each link stands for a user of its own, and strangers resume nothing.
    config.resumption = Resumption::disabled();
    // As browsers do for wss: an HTTP/2 connection could not be upgraded.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// `--insecure`: whoever it is. That the server has the key of the certificate it shows is still
/// checked, so that the handshake costs both sides what it costs in earnest.
#[derive(Debug)]
struct AnyCertificate(CryptoProvider);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What went wrong with a TLS handshake, in words from a closed list.
pub(super) fn reason_of(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match (inner, error.kind()) {
        (Some(Error::InvalidCertificate(certificate)), _) => match certificate {
            CertificateError::UnknownIssuer => "tls: unknown issuer (--insecure takes any)",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "tls: certificate expired"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "tls: certificate for another name"
            }
            // Such as one that signs itself and calls itself an authority, as openssl makes them.
            _ => "tls: certificate not trusted (--insecure takes any)",
        },
        (Some(Error::AlertReceived(_)), _) => "tls: refused by the server",
        (Some(Error::InvalidMessage(_)), _) => "tls: not a TLS server",
        (Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol), _) => {
            "tls: nothing in common"
        }
        (None, ErrorKind::UnexpectedEof) => "tls: closed",
        (None, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => "tls: reset",
        (None, ErrorKind::TimedOut) => "tls: timed out",
        _ => "tls: failed",
    }
}
