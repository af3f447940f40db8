//! Users whose credentials or share of the server are not plentiful.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::Engine;
use canaryctl::sim::scenario::parse_objects;
use http::Request;
use kube::config::Kubeconfig;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    ground::{client_of, pause, within},
    shop::{HEALTHY, Shop, in_a_shop},
};

/// Gives a user the Roles that the project ships for a release.
async fn entitle(shop: &Shop<'_>, user: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/rbac.yaml");
    let roles = parse_objects(&fs::read_to_string(path).unwrap()).unwrap();
    for mut role in roles.into_iter().filter(|o| o["kind"] == "Role") {
        role["metadata"]["namespace"] = json!(shop.namespace);
        shop.create(&role).await;
        let name = role["metadata"]["name"].as_str().unwrap();
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        shop.create(&binding).await;
    }
}

/// Writes a kubeconfig whose token comes from a plugin: one that is good for some seconds, and that
/// says so when `announced`. Returns its path, and that of the plugin's own record of its calls.
fn with_plugin(shop: &Shop<'_>, seconds: u32, announced: bool) -> (PathBuf, PathBuf) {
    let (plugin, calls) = (shop.folder.join("plugin"), shop.folder.join("calls"));
    let expiry = if announced {
        r#", \"expirationTimestamp\": \"$(date -u -d @$until +%Y-%m-%dT%H:%M:%SZ)\""#
    } else {
        ""
    };
    let script = format!(
        r#"#!/bin/sh
echo called >>{calls}
until=$(($(date +%s) + {seconds}))
echo "{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\",
    \"status\": {{\"token\": \"until-$until-ann\"{expiry}}}}}"
"#,
        calls = calls.display(),
    );
    fs::write(&plugin, script).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let text = fs::read_to_string(&shop.ground.kubeconfig).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    let user = &mut config["users"][0]["user"];
    *user = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": plugin,
        "interactiveMode": "Never",
    }});
    let path = shop.folder.join("plugin.kubeconfig");
    fs::write(&path, config.to_string()).unwrap();
    (path, calls)
}

fn calls(path: &PathBuf) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

#[tokio::test]
async fn a_token_that_expires_is_renewed_in_mid_run() {
    in_a_shop(HEALTHY, async |shop| {
        entitle(shop, "ann").await;
        let (kubeconfig, record) = with_plugin(shop, 75, true);
        // Renewed a minute before it ends: after 15 s each time.
        let run = shop.start_as(&kubeconfig, "auto --yes --hold 10s");
        run.ended().await.ends(0).says("PROMOTED");
        shop.is_promoted().await;
        assert!(
            (2..=10).contains(&calls(&record)),
            "{} calls",
            calls(&record)
        );
    })
    .await;
}

#[tokio::test]
async fn a_token_that_ends_without_a_word_is_renewed() {
    in_a_shop(HEALTHY, async |shop| {
        entitle(shop, "ann").await;
        // The server goes on believing it for up to ten seconds.
        let (kubeconfig, record) = with_plugin(shop, 8, false);
        let run = shop.start_as(&kubeconfig, "auto --yes --hold 12s");
        run.ended().await.ends(0).says("PROMOTED");
        shop.is_promoted().await;
        assert!(
            (2..=20).contains(&calls(&record)),
            "{} calls",
            calls(&record)
        );
    })
    .await;
}

#[tokio::test]
async fn a_user_without_rights_is_told_which() {
    in_a_shop(HEALTHY, async |shop| {
        let (kubeconfig, _) = with_plugin(shop, 60, false);
        let run = shop.start_as(&kubeconfig, "auto --yes");
        run.ended()
            .await
            .ends(1)
            .says("list")
            .says("deployments")
            .says("ann");
    })
    .await;
}

/// Begins a request whose body does not come, on a connection of its own: until the value is dropped
/// it keeps one of the user's seats at the API server.
fn take_the_seat(kubeconfig: &Path, namespace: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    let cluster = config.clusters[0].cluster.as_ref().unwrap();
    let token = config.auth_infos[0].auth_info.as_ref().unwrap();
    let token = token.token.as_ref().unwrap().expose_secret();
    let mut roots = RootCertStore::empty();
    let authority = cluster.certificate_authority_data.as_ref().unwrap();
    let authority = base64::engine::general_purpose::STANDARD.decode(authority);
    let authority = CertificateDer::from_pem_slice(&authority.unwrap()).unwrap();
    roots.add(authority).unwrap();
    let tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = cluster.server.as_ref().unwrap();
    let address = server.strip_prefix("https://").unwrap();
    let name = address.split(':').next().unwrap().to_owned();
    let name = ServerName::try_from(name).unwrap();
    let connection = ClientConnection::new(Arc::new(tls), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    let head = format!(
        "POST /api/v1/namespaces/{namespace}/configmaps HTTP/1.1\r\nhost: {address}\r\n\
         authorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\n\r\n{{\"metadata\":"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.flush().unwrap();
    stream
}

#[tokio::test]
async fn a_user_who_is_throttled_gets_through() {
    in_a_shop(HEALTHY, async |shop| {
        entitle(shop, "narrow").await;
        let kubeconfig = shop.ground.credentials("narrow");
        let mut run = shop.start_as(&kubeconfig, "auto --yes");
        run.until("moving traffic to 50%").await;
        // A request of the tool's own may have the seat at that moment: then once more.
        let seat = within(30, "a seat to be taken", async || {
            let seat = take_the_seat(&kubeconfig, &shop.namespace);
            pause(1000).await;
            let client = client_of(&kubeconfig).await;
            let asked = Request::get("/api").body(Vec::new()).unwrap();
            match client.request::<Value>(asked).await {
                Ok(_) => None,
                Err(kube::Error::Api(status)) if status.code == 429 => Some(seat),
                Err(error) => panic!("{error:?}"),
            }
        })
        .await;
        pause(4000).await;
        drop(seat);
        run.ended().await.ends(0).says("PROMOTED");
        shop.is_promoted().await;
        shop.never_fell().await;
    })
    .await;
}
