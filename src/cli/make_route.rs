//! The route that a release makes for itself where nothing divides the app's traffic by weights.
//!
//! Owns: which router it is for, and what is said where there is none or several. Must not: make it.

use serde_json::Value;

use crate::{
    cluster::{Cluster, discover::Names, objects::Survey},
    domain::{change::Change, plan::Strategy, release::RouterSpec, route::Make, view::RouteOffer},
    traffic::{
        self, Given, Provider,
        blueprint::{Blueprint, Gap},
    },
};

use super::{error::CliError, router::target};

/// Whether a verb has to do with a route that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// It goes by what is there.
    Nothing,
    /// It says what could be made.
    Offer,
    /// It makes what is missing.
    Route,
}

impl Making {
    /// Returns what `auto` and `check` are asked for; flag or file say that a route is to be made.
    pub(super) fn asked(flag: bool) -> Self {
        if flag { Self::Route } else { Self::Offer }
    }
}

/// A router that can make a route, or the reason why not.
type Candidate = (&'static dyn Provider, Result<Blueprint, Gap>);

/// What an app's objects are, for finding a route.
pub(super) struct Place<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) survey: &'a Survey,
    pub(super) names: &'a Names,
    /// The router that was named, on the command line or in the file.
    pub(super) named: Option<&'a RouterSpec>,
    /// The router that was found.
    pub(super) found: Option<&'a RouterSpec>,
}

impl Place<'_> {
    /// Returns the route to be made; `None` where one is there already that divides the traffic.
    pub(super) fn route(&self) -> Result<Option<Blueprint>, CliError> {
        if let Some(router) = self.named.or(self.found)
            && self.divides(router)
        {
            return Ok(None);
        }
        let by_pods =
            |spec: &&RouterSpec| traffic::provider(&spec.name).is_some_and(Provider::yields);
        if let Some(router) = self.named.filter(by_pods) {
            let text = format!(
                "router {} needs no route: it divides traffic by pods",
                router.name
            );
            return Err(CliError::usage(
                text,
                "leave out --router or --create-route",
            ));
        }
        let mut able = Vec::new();
        let mut gaps = Vec::new();
        for (provider, outcome) in self.candidates() {
            match outcome {
                Ok(blueprint) => able.push((provider, blueprint)),
                Err(gap) => gaps.push(gap),
            }
        }
        if able.iter().any(|(_, blueprint)| !blueprint.last_resort) {
            able.retain(|(_, blueprint)| !blueprint.last_resort);
        }
        let mut reasons: Vec<String> = able
            .iter()
            .map(|(provider, blueprint)| format!("{} ({})", provider.name(), blueprint.why))
            .collect();
        match (able.pop(), reasons.len()) {
            (Some((_, blueprint)), 1) => Ok(Some(blueprint)),
            (None, _) => Err(self.without(&gaps)),
            (Some(_), _) => {
                reasons.sort();
                let text = format!(
                    "a route can be created for several routers: {}",
                    reasons.join(", ")
                );
                Err(CliError::usage(text, "say which with --router"))
            }
        }
    }

    /// Returns whether a router finds a route that divides the app's traffic.
    fn divides(&self, router: &RouterSpec) -> bool {
        let Some(provider) = traffic::provider(&router.name).filter(|p| !p.yields()) else {
            return false;
        };
        let bound = provider.bind(
            self.cluster,
            &target(self.names),
            &router.options,
            self.survey,
        );
        bound.is_ok_and(|bound| {
            let objects = bound.pick(self.survey);
            let written = bound.written(&objects);
            written.iter().any(|written| !written.pointers.is_empty())
        })
    }

    fn candidates(&self) -> Vec<Candidate> {
        let namespace = self.cluster.namespace();
        let target = target(self.names);
        let all = traffic::PROVIDERS.iter().copied();
        let wanted = all.filter(|p| self.named.is_none_or(|spec| spec.name == p.name()));
        let options = self.named.map_or(&Value::Null, |spec| &spec.options);
        let given = Given {
            options,
            named: self.named.is_some(),
        };
        wanted
            .filter_map(|provider| {
                Some((
                    provider,
                    provider.blueprint(self.survey, namespace, &target, given)?,
                ))
            })
            .collect()
    }

    /// Returns the error of an app for which no route can be made: what is nearest to one is told.
    fn without(&self, gaps: &[Gap]) -> CliError {
        let absent = |gap: &Gap| matches!(gap, Gap::NoRoute(..));
        let near = gaps.iter().find(|gap| !absent(gap));
        if let Some(gap) = near {
            let text = format!("no route can be created: {}: {gap}", gap.place());
            return CliError::usage(text, gap.fix());
        }
        let reasons: Vec<String> = gaps.iter().map(ToString::to_string).collect();
        let Some(gap) = gaps.first() else {
            let named = self.named.map_or("this router", |spec| spec.name.as_str());
            let text = format!("{named} creates no routes");
            return CliError::usage(text, "name another router with --router");
        };
        let text = format!(
            "no route can be created: {}: {}",
            gap.place(),
            reasons.join("; ")
        );
        CliError::usage(text, gap.fix())
    }
}

/// Refuses a strategy that leaves traffic on what is deleted at the end.
pub(super) fn refuse_strategy(strategy: Strategy) -> Result<(), CliError> {
    let why = match strategy {
        Strategy::Template | Strategy::Image => return Ok(()),
        Strategy::Swap => {
            "with strategy swap the canary Deployment becomes stable, and the app's Service does not lead to it"
        }
        Strategy::None => {
            "with strategy none the canary keeps the traffic, and the route to it is deleted at the end"
        }
    };
    Err(CliError::usage(
        format!("--create-route: {why}"),
        "use --strategy template or image",
    ))
}

/// Returns a route as `check` shows it.
pub(super) fn offer(blueprint: &Blueprint) -> RouteOffer {
    let mut offer = RouteOffer {
        router: blueprint.router.name.clone(),
        why: blueprint.why.clone(),
        creates: Vec::new(),
        changes: Vec::new(),
    };
    for piece in &blueprint.route.pieces {
        match &piece.make {
            Make::Create(object) => offer.creates.push(object.clone()),
            Make::Change(fields) => offer.changes.extend(fields.iter().map(|field| Change {
                object: piece.at.named(),
                path: field.pointer.clone(),
                from: field.before.clone().unwrap_or_default(),
                to: field.during.clone(),
            })),
        }
    }
    offer
}

/// Returns what a route is called where it is found, for people.
pub(super) fn found_by(blueprint: &Blueprint) -> String {
    format!(
        "router {}: {}; the route to the canary is created for the release",
        blueprint.router.name, blueprint.why
    )
}
