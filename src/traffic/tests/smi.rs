//! `TrafficSplit`: whole numbers and quantities, and whatever scale is in use.

use super::Case;
use crate::traffic::{smi::Smi, weighted::Shape};

fn case(version: &str, backends: &str) -> Case<Smi> {
    let text = format!(
        "{{apiVersion: split.smi-spec.io/{version}, kind: TrafficSplit, metadata: {{name: web}}, spec: {{service: both, backends: [{backends}]}}}}"
    );
    Case::new(&text, "{}")
}

fn pair(stable: &str, canary: &str) -> String {
    format!("{{service: canary, weight: {canary}}}, {{service: stable, weight: {stable}}}")
}

#[test]
fn the_scale_in_use_is_kept() {
    for (version, stable, canary, to, expected) in [
        // Canary first: backends are told by their Service, not by their place.
        ("v1alpha2", "100", "0", "10", "10 90"),
        ("v1alpha3", "100", "0", "50", "50 50"),
        ("v1alpha4", "95", "5", "0", "0 100"),
        ("v1alpha2", "950", "50", "25", "250 750"),
        ("v1alpha2", "1000", "0", "0.5", "5 995"),
        // Quantities, as the first version has them. Peers write whole numbers over them.
        ("v1alpha1", "900m", "100m", "25", "250m 750m"),
        ("v1alpha1", "1000m", "0", "25", "250m 750m"),
        ("v1alpha1", "1", "500m", "10", "150m 1350m"),
        ("v1alpha1", "0.9", "0.1", "25", "250m 750m"),
        ("v1alpha1", "'100'", "'0'", "10", "10 90"),
        ("v1alpha1", "1e2", "0", "10", "10 90"),
        // A smaller scale than a hundred grows to one.
        ("v1alpha2", "1", "0", "25", "25 75"),
        ("v1alpha2", "9", "1", "25", "25 75"),
        ("v1alpha2", "100", "0", "0.5", "5 995"),
    ] {
        let case = case(version, &pair(stable, canary));
        assert_eq!(case.weights_at(to), expected, "{version} {stable} {canary}");
    }
}

#[test]
fn what_is_read_is_the_share_in_any_notation() {
    for (stable, canary, share) in [
        ("950", "50", "5%"),
        ("900m", "100m", "10%"),
        ("1", "1000m", "50%"),
        ("'75'", "'25'", "25%"),
        ("0", "0", "nothing"),
        ("500m", "0.5", "50%"),
        ("1e2", "1e2", "50%"),
    ] {
        let case = case("v1alpha1", &pair(stable, canary));
        assert_eq!(
            case.told(),
            [format!("split of both: {share}")],
            "{stable} {canary}"
        );
    }
}

/// An experiment's backends come and go with a peer's experiment; here they stay.
#[test]
fn other_backends_keep_their_weight() {
    let text = format!("{}, {{service: other, weight: 5}}", pair("95", "0"));
    assert_eq!(case("v1alpha2", &text).weights_at("40"), "38 57 5");
    let text = format!("{}, {{service: other, weight: 5m}}", pair("950m", "0m"));
    assert_eq!(case("v1alpha1", &text).weights_at("40"), "380m 570m 5m");
}

#[test]
fn a_split_without_both_sides_is_left_alone() {
    let alone = case(
        "v1alpha2",
        "{service: stable, weight: 100}, {service: other, weight: 0}",
    );
    assert_eq!(alone.told(), ["split of both: leads to stable alone"]);
    assert_eq!(alone.weights_at("10"), "nothing");
    let root = case(
        "v1alpha2",
        "{service: both, weight: 100}, {service: canary, weight: 0}",
    );
    assert_eq!(root.told(), ["split of both: leads to the canary alone"]);
}

/// All versions are known, one peer stops at the third; the newest that is served is used.
#[test]
fn every_version_is_known() {
    let kinds = Smi::kinds(&<Smi as Shape>::Options::default());
    assert_eq!(
        kinds[0].versions,
        ["v1alpha4", "v1alpha3", "v1alpha2", "v1alpha1"]
    );
}
