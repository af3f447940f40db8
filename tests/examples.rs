//! Every example is read, and the one of the payment API is released.

use std::{
    fs,
    path::{Path, PathBuf},
};

use canaryctl::{
    cli::{CheckEntry, MetricsEntry, RouterEntry},
    config::{ConfigError, Document, Overrides, Settings},
    domain::{
        plan::{Plan, Presence},
        release::Outcome,
    },
    sim::scenario::parse_objects,
};

use crate::support::{APP, Bench, NAMESPACE, auto};

#[test]
fn every_configuration_makes_a_plan() {
    let mut count = 0;
    for path in yaml_files() {
        if is_configuration(&path) {
            for settings in all_settings(&path) {
                plan(&settings);
                count += 1;
            }
        }
    }
    assert!(count > 0, "no canary.yaml was found");
}

#[test]
fn everything_else_is_kubernetes_objects() {
    for path in yaml_files() {
        if !is_configuration(&path) {
            let objects = parse_objects(&fs::read_to_string(&path).unwrap());
            let objects = objects.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(!objects.is_empty(), "{} has no objects", path.display());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_payment_api_is_released_by_its_file() {
    let settings = settings(&examples().join("payment-api/canary.yaml"));
    assert_eq!(settings.app, APP);
    assert_eq!(settings.namespace.as_deref(), Some(NAMESPACE));
    assert_eq!(settings.router.as_ref().unwrap().0.name, "replicas");
    let bench = Bench::new("healthy");
    let end = bench.drive(auto(), plan(&settings)).await.unwrap();
    let story = bench.told();
    assert_eq!(end.outcome, Outcome::Promoted, "{}\n{story}", end.text);
}

#[tokio::test(start_paused = true)]
async fn the_payment_api_is_rolled_back_by_its_file() {
    let settings = settings(&examples().join("payment-api/canary.yaml"));
    let bench = Bench::new("errors-at-25");
    let end = bench.drive(auto(), plan(&settings)).await.unwrap();
    let story = bench.told();
    assert_eq!(end.outcome, Outcome::RolledBack, "{}\n{story}", end.text);
    assert!(story.contains("success rate"), "{story}");
}

// === Reading them ===

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn yaml_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![examples()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "yaml") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn is_configuration(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "canary.yaml")
}

type AppSettings = Settings<RouterEntry, CheckEntry, MetricsEntry>;

fn settings(path: &Path) -> AppSettings {
    let mut all = all_settings(path);
    assert_eq!(all.len(), 1, "{}", path.display());
    all.remove(0)
}

/// Returns the settings of each app of a file.
fn all_settings(path: &Path) -> Vec<AppSettings> {
    let text = fs::read_to_string(path).unwrap();
    let read = |text: &str| -> Result<Vec<AppSettings>, ConfigError> {
        let document = Document::parse(&path.display().to_string(), text)?;
        let files = match document {
            Document::App(file) => vec![*file],
            Document::Group(group) => group.members,
        };
        let none = Overrides::default;
        let resolve = |file| Settings::resolve(None, none(), none(), Some(file));
        files.into_iter().map(resolve).collect()
    };
    read(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn plan(settings: &Settings<RouterEntry, CheckEntry, MetricsEntry>) -> Plan {
    let checks = settings.checks.iter().map(|check| check.0.clone());
    let metrics = settings.metrics.as_ref().map(|entry| entry.0.clone());
    settings
        .plan(checks.collect(), metrics, Presence::Unattended)
        .unwrap()
}
