//! `sandbox`: the simulated cluster on loopback, for kubectl and this tool.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use crate::sim::{api::kubeconfig, scenario::Scenario};

use super::{
    Context, args::SandboxArgs, error::CliError, exit::Code, session::simulate, signal::Signals,
    ui::Terminal,
};

/// Token of the sandbox's only user; it opens nothing else.
const TOKEN: &str = "sandbox";

/// Speed unless another is asked for: other clients count ages by the real clock.
const SPEED: f64 = 1.0;

/// Namespace of the built-in scenarios.
const NAMESPACE: &str = "canary-release";

pub(super) async fn run(
    context: &Context,
    args: &SandboxArgs,
    terminal: &mut Terminal,
    mut signals: Signals,
) -> Result<Code, CliError> {
    if args.list {
        list(terminal);
        return Ok(Code::Done);
    }
    let sim = simulate(
        context,
        &args.scenario,
        context.global.namespace.as_deref(),
        SPEED,
    )?;
    let fail = |what: &str, error: std::io::Error| {
        CliError::new(Code::Failed, format!("{what}: {error}"))
            .hint("choose another --port or file")
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| fail(&address.to_string(), e))?;
    let address = listener.local_addr().map_err(|e| fail("loopback", e))?;
    let path = &args.write_kubeconfig;
    let shown = path.display().to_string();
    let namespace = context.global.namespace.as_deref().unwrap_or(NAMESPACE);
    let text = format!(
        "{:#}\n",
        kubeconfig(&format!("http://{address}"), TOKEN, namespace)
    );
    std::fs::write(path, text).map_err(|e| fail(&shown, e))?;
    if terminal.is_json() {
        terminal.document(&serde_json::json!({
            "version": 1, "address": format!("http://{address}"), "kubeconfig": shown, "namespace": namespace,
        }));
    } else {
        terminal.answer(format!(
            "simulated cluster '{}' on http://{address}, {}",
            args.scenario,
            pace(context.global.speed.unwrap_or(SPEED))
        ));
        terminal.answer(format!("try:  KUBECONFIG={shown} kubectl get deployments"));
        terminal.answer(format!(
            "      {} status payment-api --kubeconfig {shown}",
            context.invoked_as
        ));
        terminal.say("Ctrl-C ends it");
    }
    signals.catch();
    tokio::select! {
        outcome = sim.server().serve(listener) => match outcome {
            Ok(never) => match never {},
            Err(error) => Err(fail("serving", error)),
        },
        _ = signals.next() => {
            // The file points at nothing from now on.
            drop(std::fs::remove_file(path));
            Ok(Code::Done)
        }
    }
}

/// Returns a speed in words.
fn pace(speed: f64) -> String {
    if (speed - 1.0).abs() < f64::EPSILON {
        "as fast as the clock".to_owned()
    } else {
        format!("{speed} times as fast as the clock")
    }
}

fn list(terminal: &mut Terminal) {
    let names = Scenario::names();
    if terminal.is_json() {
        let all: Vec<_> = names
            .iter()
            .map(|(name, about)| serde_json::json!({"name": name, "about": about}))
            .collect();
        terminal.document(&serde_json::json!({"version": 1, "scenarios": all}));
        return;
    }
    let widest = names.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, about) in names {
        terminal.answer(format!("{name:widest$}  {about}"));
    }
}
