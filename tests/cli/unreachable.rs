//! No cluster to talk to. Real sockets, so real time; each is over quickly.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Console, refusals::Folder};

fn kubeconfig(server: &str, user: &Value) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "dev",
        "contexts": [{"name": "dev", "context": {"cluster": "dev", "user": "dev"}}],
        "clusters": [{"name": "dev", "cluster": {"server": server}}],
        "users": [{"name": "dev", "user": user}],
    })
    .to_string()
}

/// Returns what a command says with a kubeconfig, in a few seconds.
async fn said(name: &str, config: Option<&str>, flags: &str) -> String {
    let folder = Folder::new(name);
    let path = match config {
        Some(text) => folder.file("config", text),
        None => folder.path("config"),
    };
    let began = Instant::now();
    let line = format!("status payment-api --kubeconfig {path} --timeout 1s {flags}");
    let text = Console::new().refuses(line.trim()).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "took {took:?}: {text}");
    text.replace(folder.root(), "DIR")
}

#[tokio::test]
async fn an_api_server_that_is_not_there() {
    let config = kubeconfig("http://127.0.0.1:1", &json!({}));
    assert_snapshot!(said("refused", Some(&config), "").await, @r#"
    $ canaryctl status payment-api --kubeconfig DIR/config --timeout 1s
    exit 1
    --- stderr
    error: cannot read Deployments of namespace default: Connection refused (os error 111)
    hint: check the server address http://127.0.0.1:1/, the VPN and `kubectl version`
    "#);
}

#[tokio::test]
async fn an_api_server_that_is_silent() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let config = kubeconfig(&server, &json!({}));
    let text = said("silent", Some(&config), "").await;
    let text = text.replace(&server, "SERVER");
    assert_snapshot!(text, @r#"
    $ canaryctl status payment-api --kubeconfig DIR/config --timeout 1s
    exit 1
    --- stderr
    error: cannot read Deployments of namespace default: no answer within 1s
    hint: check the server address SERVER/, the VPN and `kubectl version`
    "#);
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    let config = kubeconfig("http://no-such-host.invalid", &json!({}));
    let text = said("unresolved", Some(&config), "").await;
    assert!(text.contains("no-such-host.invalid"), "{text}");
}

#[tokio::test]
async fn a_context_that_is_not_there() {
    let config = kubeconfig("http://127.0.0.1:1", &json!({}));
    assert_snapshot!(said("context", Some(&config), "--context prod").await, @r#"
    $ canaryctl status payment-api --kubeconfig DIR/config --timeout 1s --context prod
    exit 2
    --- stderr
    error: no context 'prod' in the kubeconfig; there are: dev
    hint: name one of them with --context
    "#);
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there() {
    assert_snapshot!(said("missing", None, "").await, @r#"
    $ canaryctl status payment-api --kubeconfig DIR/config --timeout 1s
    exit 2
    --- stderr
    error: kubeconfig: DIR/config: No such file or directory (os error 2)
    hint: check the path given with --kubeconfig, and the file with `kubectl config view`
    "#);
}

#[tokio::test]
async fn a_kubeconfig_that_is_none() {
    assert_snapshot!(said("broken", Some("apiVersion: [v1\n"), "").await, @r#"
    $ canaryctl status payment-api --kubeconfig DIR/config --timeout 1s
    exit 2
    --- stderr
    error: kubeconfig: failed to parse kubeconfig YAML: error: line 1 column 13: expected string scalar
    hint: check the path given with --kubeconfig, and the file with `kubectl config view`
    "#);
}

#[tokio::test]
async fn a_credential_plugin_that_fails() {
    let exec = |command: &str, args: &[&str]| {
        json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command,
            "args": args, "interactiveMode": "Never"}})
    };
    let missing = kubeconfig("http://127.0.0.1:1", &exec("no-such-plugin", &[]));
    assert_snapshot!(said("plugin", Some(&missing), "").await, @r#"
    $ canaryctl status payment-api --kubeconfig DIR/config --timeout 1s
    exit 1
    --- stderr
    error: credential plugin no-such-plugin: it cannot be started: No such file or directory (os error 2)
    hint: run the plugin by hand, or log in again
    "#);
    let failing = exec("sh", &["-c", "echo you are not logged in >&2; exit 1"]);
    let failing = kubeconfig("http://127.0.0.1:1", &failing);
    assert_snapshot!(said("login", Some(&failing), "").await, @r#"
    $ canaryctl status payment-api --kubeconfig DIR/config --timeout 1s
    exit 1
    --- stderr
    error: credential plugin sh: it failed (exit status: 1): you are not logged in
    hint: run the plugin by hand, or log in again
    "#);
}

#[tokio::test]
async fn a_credential_plugin_that_never_stops_talking() {
    let exec = |script: &str| {
        json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
            "args": ["-c", script], "interactiveMode": "Never"}})
    };
    let endless = kubeconfig("http://127.0.0.1:1", &exec("while :; do cat /bin/sh; done"));
    assert_snapshot!(said("endless", Some(&endless), "").await, @r#"
    $ canaryctl status payment-api --kubeconfig DIR/config --timeout 1s
    exit 1
    --- stderr
    error: credential plugin sh: its answer is larger than the limit of 1 MiB
    hint: run the plugin by hand, or log in again
    "#);
    // Of what it complains of the end is not heard, its failure is.
    let loud = "head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 3";
    let text = said(
        "loud",
        Some(&kubeconfig("http://127.0.0.1:1", &exec(loud))),
        "",
    )
    .await;
    assert!(text.contains("it failed (exit status: 3)"), "{text:.300}");
}

#[tokio::test]
async fn a_kubeconfig_that_is_too_large() {
    let large = format!("# {}\n", "x".repeat(1 << 20));
    assert_snapshot!(said("large", Some(&large), "").await, @r#"
    $ canaryctl status payment-api --kubeconfig DIR/config --timeout 1s
    exit 2
    --- stderr
    error: kubeconfig: DIR/config: it is larger than the limit of 1 MiB
    hint: check the path given with --kubeconfig, and the file with `kubectl config view`
    "#);
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n\
        c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n\
        e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]\n\
        g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]\nh: [*g, *g, *g, *g, *g, *g, *g, *g, *g]\n";
    let text = said("bomb", Some(bomb), "").await;
    assert!(text.contains("error: "), "{text}");
}

#[tokio::test]
async fn a_token_is_never_shown() {
    let answer = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"s3cr3t"}}"#;
    let exec = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "echo",
        "args": [answer], "interactiveMode": "Never"}});
    for (name, user) in [("exec", exec), ("token", json!({"token": "s3cr3t"}))] {
        let config = kubeconfig("http://127.0.0.1:1", &user);
        let text = said(name, Some(&config), "-v").await;
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}
