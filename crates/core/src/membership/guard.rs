//! The rules about removals, stated a second time on the newest view, right before the call.
//!
//! Written without the planner on purpose: a mistake would have to be made twice. A violation stops the pass.

use std::fmt;

use super::{Row, World};
use crate::{
    claim::{self, Foreigner},
    guard::goes_to_another,
    purpose::Purpose,
    server::{ServerKey, State, Weight},
};

/// A batch that must not be sent, and the first member that would break a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule it would break.
    pub rule: &'static str,
    /// The member, where one can be named.
    pub server: Option<ServerKey>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) => write!(f, "changing {server} would break {}", self.rule),
            None => write!(f, "the change would break {}", self.rule),
        }
    }
}

impl std::error::Error for Violation {}

/// Checks that `batch` may be removed from the group as `world` shows it.
///
/// # Errors
///
/// The first rule that would be broken.
pub fn removal(world: &World, batch: &[ServerKey]) -> Result<(), Violation> {
    let waits = |key: &&ServerKey| {
        let weight = world.rows.get(*key).and_then(|row| row.weight);
        let due = world.draining.get(*key).is_none_or(|drain| drain.due);
        world.drains && (weight.is_some_and(|weight| weight > 0) || !due)
    };
    if let Some(server) = batch.iter().find(waits) {
        return Err(Violation {
            rule: "S6",
            server: Some(server.clone()),
        });
    }
    leaving(world, batch, world.product.members_per_call())
}

/// Checks that `batch` may be set to weight 0 in the group as `world` shows it, to be removed later.
///
/// # Errors
///
/// The first rule that would be broken.
pub fn drain(world: &World, batch: &[ServerKey]) -> Result<(), Violation> {
    leaving(world, batch, world.product.weights_per_call())
}

fn leaving(world: &World, batch: &[ServerKey], limit: usize) -> Result<(), Violation> {
    let violates = |rule, server: &ServerKey| {
        Err(Violation {
            rule,
            server: Some(server.clone()),
        })
    };
    if !world.view_permits_removal {
        return Err(Violation {
            rule: "S5",
            server: None,
        });
    }
    if batch.len() > limit {
        return Err(Violation {
            rule: "S8",
            server: None,
        });
    }
    for server in batch {
        let registered = world.ledger.registered.contains(server);
        let adopted = world.ledger.adopted.contains(server);
        let ours = registered || (adopted && world.purpose == Purpose::Converge);
        let stranger = world.foreigners.get(server) == Some(&Foreigner::Stranger);
        if !(ours || stranger)
            || world.desired.contains_key(server)
            || world
                .brought
                .as_ref()
                .is_some_and(|brought| brought.contains(server))
            || world.keep
        {
            return violates("S1", server);
        }
        let leaving = world.purpose == Purpose::Release;
        let theirs = if ours {
            goes_to_another(server, &world.age, leaving, &world.others)
        } else {
            claim::claimed(server, &world.others).then_some("S7")
        };
        if let Some(rule) = theirs {
            return violates(rule, server);
        }
        if world.contended.contains(server) {
            return violates("S8", server);
        }
        let idle = world
            .rows
            .get(server)
            .is_some_and(|row| row.state == State::Available);
        if world.unsettled.contains(server) || !idle {
            return violates("S6", server);
        }
    }
    floor_stands(world, batch)
}

/// Checks that these weights may be set in the group as `world` shows it: only a weight of 0 takes anything away.
///
/// # Errors
///
/// The first rule that would be broken.
pub fn reweigh(world: &World, weights: &[(ServerKey, Weight)]) -> Result<(), Violation> {
    for (server, weight) in weights {
        let listed = world.ledger.holds(server) && world.desired.contains_key(server);
        // We give back the weight that we took.
        let restored = world
            .draining
            .get(server)
            .is_some_and(|drain| drain.weight == *weight && *weight > 0);
        let ours = listed || restored;
        if !ours || world.unsettled.contains(server) {
            return Err(Violation {
                rule: if ours { "S6" } else { "S1" },
                server: Some(server.clone()),
            });
        }
    }
    let silenced = |key: &ServerKey| {
        weights
            .iter()
            .any(|(server, weight)| server == key && *weight == 0)
    };
    let serving = || {
        world
            .rows
            .iter()
            .filter(|(key, row)| world.serves(key, row))
            .map(|(key, _)| key)
    };
    let mut shown = world
        .rows
        .iter()
        .filter(|(key, row)| world.shows_serving(key, row));
    if !shown.any(|(key, _)| silenced(key)) {
        return Ok(());
    }
    let wanted = world
        .desired
        .values()
        .filter(|wish| wish.weight != Some(0))
        .count();
    let least = world
        .policy
        .min_serving
        .rounded_up(wanted)
        .min(wanted)
        .max(usize::from(!world.policy.allow_empty));
    if !world.view_permits_removal || serving().filter(|key| !silenced(key)).count() < least {
        return Err(Violation {
            rule: "S4",
            server: None,
        });
    }
    Ok(())
}

/// S3 and S4: checks that enough members would still serve afterwards.
fn floor_stands(world: &World, batch: &[ServerKey]) -> Result<(), Violation> {
    let stops = |key: &ServerKey| batch.contains(key);
    let of_rows = |serves: &dyn Fn(&ServerKey, &Row) -> bool| -> Vec<&ServerKey> {
        let rows = world.rows.iter();
        rows.filter(|(key, row)| serves(key, row))
            .map(|(key, _)| key)
            .collect()
    };
    let serving = of_rows(&|key, row| world.serves(key, row));
    // A member that a late call may take does not count as serving, and yet it may be the last one that serves.
    let shown = of_rows(&|key, row| world.shows_serving(key, row));
    if !shown.iter().any(|key| stops(key)) {
        return Ok(());
    }
    let wanted = world
        .desired
        .values()
        .filter(|wish| wish.weight != Some(0))
        .count();
    let asked = world.policy.min_serving.rounded_up(wanted).min(wanted);
    let least = if world.policy.allow_empty {
        asked
    } else {
        asked.max(1)
    };
    let nobody_wanted =
        wanted == 0 && world.purpose == Purpose::Converge && !world.policy.allow_empty;
    if nobody_wanted || serving.iter().filter(|key| !stops(key)).count() < least {
        return Err(Violation {
            rule: "S4",
            server: None,
        });
    }
    // A member that goes to another object stands in for none of ours.
    let leaving = world.purpose == Purpose::Release;
    let stays_ours = |key: &ServerKey| {
        world.ledger.holds(key)
            && goes_to_another(key, &world.age, leaving, &world.others).is_none()
    };
    let counts = |key: &ServerKey| {
        world.desired.contains_key(key)
            || stays_ours(key)
            || world.foreigners.get(key) == Some(&Foreigner::Stranger)
    };
    let dip = if world.quota_reached {
        world.policy.max_unavailable.rounded_down(wanted)
    } else {
        0
    };
    // Whether the late call landed is not known: enough have to serve if it did, and if it did not.
    for serving in [serving, shown] {
        let before = serving.iter().filter(|key| counts(key)).count();
        let after = serving
            .iter()
            .filter(|key| counts(key) && !stops(key))
            .count();
        if after < wanted.saturating_sub(dip).min(before) {
            return Err(Violation {
                rule: "S3",
                server: None,
            });
        }
    }
    Ok(())
}
