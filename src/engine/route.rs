//! The route that a run makes for itself: reading it, making it, taking it away.
//!
//! Owns: the writes of its pieces, and binding the router anew where it came or went. Must not: decide the
//! order.

use serde_json::Value;

use super::{Engine, EngineError};
use crate::{
    cluster::{
        Cluster,
        objects::Survey,
        routing::{Kind, Place, field_patch},
    },
    domain::{
        change::{Act, Change},
        release::Release,
        route::{Field, Make, Piece, Spot, Standing},
    },
    journal,
    traffic::{self, Router, Target, TrafficError},
};

/// Returns how the pieces of a run's own route stand as surveyed; none where it makes no route.
pub(super) fn standings_in(survey: &Survey, release: &Release) -> Vec<Standing> {
    let Some(route) = &release.route else {
        return Vec::new();
    };
    let services = survey.services.iter();
    let services: Vec<Value> = services
        .filter_map(|service| serde_json::to_value(service).ok())
        .collect();
    let routing = survey.routing.iter();
    let routing = routing.flat_map(|family| family.objects.iter().flatten());
    let routing: Vec<&Value> = routing.collect();
    let find = |at: &Spot| {
        let named = |object: &&Value| object["metadata"]["name"] == at.name.as_str();
        if at.group.is_empty() {
            return services.iter().find(named);
        }
        let place = place(at);
        routing.iter().copied().find(|object| place.holds(object))
    };
    route.standings(find)
}

/// Binds the router of a run. Where the object of its own route that holds the weights is not there, nobody
/// reaches the canary.
pub(super) fn bind_router(
    cluster: &Cluster,
    release: &Release,
    survey: &Survey,
    standings: &[Standing],
) -> Result<Box<dyn Router>, EngineError> {
    let target = Target {
        stable: release.stable.clone(),
        canary: release.canary.clone(),
        service: release.service.clone(),
        total: release.origin.total,
    };
    let provider = traffic::provider(&release.router.name).ok_or_else(|| {
        let known: Vec<&str> = traffic::PROVIDERS.iter().map(|p| p.name()).collect();
        TrafficError::Unknown {
            name: release.router.name.clone(),
            known: known.join(", "),
        }
    })?;
    match provider.bind(cluster, &target, &release.router.options, survey) {
        Err(TrafficError::Refused(why)) if standings.last().is_some_and(is_missing) => {
            Ok(traffic::without(cluster, &target, survey, why))
        }
        bound => Ok(bound?),
    }
}

fn is_missing(standing: &Standing) -> bool {
    match standing {
        Standing::Missing | Standing::Gone => true,
        Standing::Made | Standing::Foreign(_) => false,
    }
}

fn place(at: &Spot) -> Place {
    Place {
        kind: Kind::new(&at.group, &[&at.version], &at.kind, &at.plural),
        version: at.version.clone(),
        namespace: at.namespace.clone(),
        name: at.name.clone(),
    }
}

impl Engine {
    /// Reads how the pieces of the run's own route stand; none where it makes no route.
    pub(super) async fn read_route(&self) -> Result<Vec<Standing>, EngineError> {
        let Some(route) = &self.saved.release.route else {
            return Ok(Vec::new());
        };
        let places: Vec<Place> = route.pieces.iter().map(|piece| place(&piece.at)).collect();
        let objects = self.cluster.objects_at(&places).await?;
        Ok(route.standings(|at| {
            let place = place(at);
            objects.iter().find(|object| place.holds(object))
        }))
    }

    /// Binds the router anew where the pieces of the run's own route stand otherwise than when it was bound.
    /// Returns whether it did.
    pub(super) async fn follow_route(&mut self, now: &[Standing]) -> Result<bool, EngineError> {
        if self.bound_at == *now {
            return Ok(false);
        }
        let release = &self.saved.release;
        let (wanted, knowledge) = traffic::wanted(Some(&release.router));
        let record = journal::config_map(&release.app);
        let survey = self.cluster.survey(&record, &wanted, knowledge).await?;
        match bind_router(&self.cluster, release, &survey, now) {
            Ok(router) => self.router = router,
            // What holds the weights is there: it is moved as before, until the rest is re-applied.
            Err(EngineError::Traffic(TrafficError::Refused(_))) => {}
            Err(error) => return Err(error),
        }
        self.bound_at = now.to_vec();
        Ok(true)
    }

    /// Makes a piece of the run's own route; on a dry connection also all that follow.
    pub(super) async fn make_route(&self, at: usize) -> Result<Vec<Act>, EngineError> {
        let pieces = self.saved.release.route.as_ref();
        let pieces = pieces.map_or(0, |route| route.pieces.len());
        let last = if self.cluster.is_dry() {
            pieces
        } else {
            at + 1
        };
        let mut acts = Vec::new();
        for at in at..last {
            acts.extend(self.make_piece(at).await?);
        }
        Ok(acts)
    }

    /// Makes a piece of the run's own route.
    async fn make_piece(&self, at: usize) -> Result<Vec<Act>, EngineError> {
        let Some(piece) = self.piece(at) else {
            return Ok(Vec::new());
        };
        let place = place(&piece.at);
        match &piece.make {
            Make::Create(object) => self.cluster.create_at(&place, object).await?,
            Make::Change(fields) => return self.change(piece, fields, &Standing::Missing).await,
        }
        Ok(vec![Act::in_words(piece.words.clone())])
    }

    /// Takes a piece of the run's own route away: what was created is deleted, what was changed gets back what
    /// it was.
    pub(super) async fn take_piece(&self, at: usize) -> Result<Vec<Act>, EngineError> {
        let Some(piece) = self.piece(at) else {
            return Ok(Vec::new());
        };
        let place = place(&piece.at);
        if let Make::Change(fields) = &piece.make {
            return self.change(piece, fields, &Standing::Made).await;
        }
        // As it is now: what somebody put in its place meanwhile is not deleted.
        let objects = self
            .cluster
            .objects_at(std::slice::from_ref(&place))
            .await?;
        let mark = self
            .saved
            .release
            .route
            .as_ref()
            .map(|route| route.mark.as_str());
        let ours = objects.first().filter(|object| {
            piece.standing(Some(object), mark.unwrap_or_default()) == Standing::Made
        });
        if let Some(object) = ours {
            self.cluster.delete_at(&place, object).await?;
        }
        Ok(vec![Act::in_words(format!("delete {}", piece.at.named()))])
    }

    fn piece(&self, at: usize) -> Option<&Piece> {
        self.saved.release.route.as_ref()?.pieces.get(at)
    }

    /// Writes fields of an object that stand so far: those that are missing get what they are during the run,
    /// those that are made what they were before. Nothing is written where they stand otherwise by now, or change
    /// meanwhile.
    async fn change(
        &self,
        piece: &Piece,
        fields: &[Field],
        from: &Standing,
    ) -> Result<Vec<Act>, EngineError> {
        let undoes = *from == Standing::Made;
        let place = place(&piece.at);
        let objects = self
            .cluster
            .objects_at(std::slice::from_ref(&place))
            .await?;
        let known = objects.first();
        let known = known.filter(|object| piece.standing(Some(object), "") == *from);
        let Some(object) = known else {
            return Ok(Vec::new());
        };
        let mut operations = Vec::new();
        let mut changes = Vec::new();
        for field in fields {
            let now = object.pointer(&field.pointer);
            let to = if undoes {
                field.before.clone()
            } else {
                Some(field.during.clone())
            };
            if now == to.as_ref() {
                continue;
            }
            operations.push(field_patch(&field.pointer, now, to.as_ref()));
            changes.push(Change {
                object: piece.at.named(),
                path: field.pointer.clone(),
                from: now.cloned().unwrap_or_default(),
                to: to.unwrap_or_default(),
            });
        }
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let version = object["metadata"]["resourceVersion"].as_str();
        let version = version.unwrap_or_default();
        self.cluster
            .change_fields(&place, version, operations)
            .await?;
        let what = if undoes {
            format!("undo: {}", piece.words)
        } else {
            piece.words.clone()
        };
        Ok(vec![Act { what, changes }])
    }
}
