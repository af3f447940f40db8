//! The parity script on a real cluster: what it answers is what the transcripts in `tests/parity`
//! say, to which `cargo test` holds the simulated cluster. So a Kubernetes that answers otherwise is
//! noticed here first.
//!
//! Owns: playing it, and writing the transcripts anew: from a real cluster, and from nowhere else.
//! Must not: know what a chapter says.

use std::fs;

use canaryctl::clock::Clock;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

use super::{
    ground::{Ground, client_of, variable},
    parity::{Stage, chapters, differences, known, play, transcripts},
};

/// Names of chapters, or `all`: their transcripts are written instead of compared.
const UPDATE: &str = "UPDATE_PARITY";

/// How often a chapter is played until it goes as the transcript says: two controllers that write the
/// same status within a moment do it in one change or in two, and on a busy machine that is chance.
const PLAYS: usize = 3;

/// A user whom nobody gave any right.
const NOBODY: &str = "nobody";

/// Returns a namespace for a chapter, and who plays in it.
async fn stage(ground: &Ground, name: &str) -> Stage {
    let kubeconfig = Kubeconfig::read_from(&ground.kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.unwrap();
    // An answer that asks to come again later is an answer here.
    config.default_retry = false;
    config.auth_info.impersonate = Some(NOBODY.to_owned());
    Stage {
        client: client_of(&ground.kubeconfig).await,
        stranger: Client::try_from(config).unwrap(),
        clock: Clock::System,
        namespace: format!("parity-{name}-{:08x}", fastrand::u32(..)),
    }
}

/// Replaces the transcript of a chapter by what a real cluster has just answered.
fn remember(name: &str, transcript: &Value) {
    let path = transcripts().join(format!("{name}.json"));
    let text = serde_json::to_string_pretty(transcript).unwrap() + "\n";
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn parity_a_real_cluster_answers_as_the_transcripts_say() {
    let ground = Ground::shared();
    let update = variable(UPDATE).unwrap_or_default();
    let renewed = |name: &str| update == "all" || update.split(',').any(|u| u == name);
    let all = chapters();
    let plays = all.iter().map(async |(name, chapter)| {
        let mut found = Vec::new();
        for _ in 0..PLAYS {
            match play(&stage(ground, name).await, chapter).await {
                Err(why) => return vec![format!("{name}: {why:.2000}")],
                Ok(transcript) if renewed(name) => {
                    remember(name, &transcript);
                    return Vec::new();
                }
                Ok(transcript) => found = differences(&known(name), &transcript),
            }
            if found.is_empty() {
                break;
            }
        }
        found.iter().map(|line| format!("{name} {line}")).collect()
    });
    let bad = futures::future::join_all(plays).await.concat();
    let (count, lines) = (bad.len(), bad.join("\n"));
    assert!(bad.is_empty(), "{count} differences\n{lines}");
}
