//! Certificates.

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::json;

use super::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/health/web/tests");

fn file(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// A server that has a certificate of the test's authority, and wants one when `mutual`.
async fn server(mutual: bool) -> Server {
    let chain = CertificateDer::pem_slice_iter(include_bytes!("server.pem"));
    let chain: Vec<_> = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("server-key.pem")).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if mutual {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(include_bytes!("ca.pem")).unwrap())
            .unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(chain, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    Server::secured(Some(acceptor), |_| (200, Vec::new(), "{}".to_owned())).await
}

async fn ask(server: &Server, host: &str, tls: Value) -> Result<Answer, WebError> {
    let (_sim, cluster) = cluster(&[]);
    let url = format!("https://{host}:{}/", server.port);
    let options = json!({"url": url, "tls": tls});
    web(&cluster, options).send(&Request::default()).await
}

#[tokio::test]
async fn a_certificate_is_checked_unless_told_otherwise() {
    let server = server(false).await;
    let ca = file("ca.pem");
    let known = ask(&server, "localhost", json!({"ca": ca})).await.unwrap();
    assert_eq!(known.status, 200);
    let named = json!({"ca": ca, "serverName": "localhost"});
    assert!(ask(&server, "127.0.0.1", named).await.is_ok());
    assert!(
        ask(&server, "127.0.0.1", json!({"insecureSkipVerify": true}))
            .await
            .is_ok()
    );
    let untrusted = json!({"ca": file("server.pem")});
    for (host, tls) in [("localhost", untrusted), ("127.0.0.1", json!({"ca": ca}))] {
        let error = ask(&server, host, tls).await.unwrap_err();
        assert_eq!(error.kind, Kind::Tls, "{error}");
        assert!(error.reason.contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let server = server(true).await;
    let ca = file("ca.pem");
    let own = json!({"ca": ca, "cert": file("client.pem"), "key": file("client-key.pem")});
    assert!(ask(&server, "localhost", own).await.is_ok());
    let error = ask(&server, "localhost", json!({"ca": ca}))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Tls, "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named() {
    let server = server(false).await;
    let ca = file("ca.pem");
    for (tls, said) in [
        (json!({"ca": "/no/ca.pem"}), "ca /no/ca.pem: No such file"),
        (
            json!({"ca": file("client-key.pem")}),
            "client-key.pem holds no certificate",
        ),
        (
            json!({"ca": ca, "cert": ca, "key": ca}),
            "ca.pem holds no private key",
        ),
    ] {
        let error = ask(&server, "localhost", tls).await.unwrap_err();
        assert_eq!(error.kind, Kind::Tls, "{error}");
        assert!(error.reason.contains(said), "{error}");
    }
}

#[test]
fn a_check_switched_off_is_told() {
    let target: Target = serde_json::from_value(json!({
        "url": "https://x/y?z", "tls": {"insecureSkipVerify": true}
    }))
    .unwrap();
    let notes = target.notes();
    assert!(
        notes[0].starts_with("the certificate of https://x/y is not checked"),
        "{notes:?}"
    );
}
