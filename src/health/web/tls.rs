//! TLS to whoever answers, over any stream.
//!
//! Owns: the certificates of one target, read anew for each connection. Must not: open connections.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use super::Tls;
use crate::cluster::Cluster;

/// What the system trusts; read once, it takes milliseconds.
static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();

/// Returns the configuration of one connection.
pub(super) async fn config(cluster: &Cluster, tls: &Tls) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let builder = if tls.insecure_skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
    } else {
        let roots = match &tls.ca {
            Some(path) => Arc::new(authorities(cluster, path).await?),
            None => system()?,
        };
        builder.with_root_certificates(roots)
    };
    let config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cluster, "cert", cert).await?;
            let pem = read(cluster, "key", key).await?;
            let key = PrivateKeyDer::from_pem_slice(&pem)
                .map_err(|_| format!("tls: key {} holds no private key", key.display()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| format!("tls: cert and key cannot be used: {e}"))?
        }
        (None, _) | (_, None) => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Returns the name that a server's certificate must have.
pub(super) fn server_name(tls: &Tls, host: &str) -> Result<ServerName<'static>, String> {
    let name = tls.server_name.as_deref().unwrap_or(host);
    let name = name.trim_start_matches('[').trim_end_matches([']', '.']);
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("'{name}' cannot be the name of a certificate"))
}

fn system() -> Result<Arc<RootCertStore>, String> {
    if let Some(roots) = SYSTEM.get() {
        return Ok(roots.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("this system names no certificate authorities: give tls.ca".to_owned());
    }
    let roots = Arc::new(roots);
    Ok(SYSTEM.get_or_init(|| roots).clone())
}

async fn authorities(cluster: &Cluster, path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(cluster, "ca", path).await? {
        roots
            .add(certificate)
            .map_err(|e| format!("tls: ca {}: {e}", path.display()))?;
    }
    Ok(roots)
}

async fn certificates(
    cluster: &Cluster,
    key: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(cluster, key, path).await?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    all.ok()
        .filter(|all| !all.is_empty())
        .ok_or_else(|| format!("tls: {key} {} holds no certificate", path.display()))
}

async fn read(cluster: &Cluster, key: &str, path: &Path) -> Result<Vec<u8>, String> {
    let read = cluster.file(path.to_owned()).await;
    read.map_err(|e| format!("tls: {key} {}: {e}", path.display()))
}

/// Takes any certificate; signatures are still checked, as rustls wants it.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
