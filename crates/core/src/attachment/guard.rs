//! The rules about detaching, stated a second time on the newest view, right before the call.
//!
//! Written without the planner on purpose: a mistake would have to be made twice. A violation stops the pass.

use std::fmt;

use super::{AttachmentKey, World};
use crate::{
    claim::{self, Foreigner},
    guard::goes_to_another,
    product::ATTACHMENTS_PER_CALL,
    purpose::Purpose,
};

/// Whether the instances of the scaling group stay or leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detach {
    /// They stay in the server group.
    Unforced,
    /// They leave with the attachment.
    Forced,
}

/// A call that must not be sent, and the attachment that would break a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule it would break.
    pub rule: &'static str,
    /// The attachment, where one can be named.
    pub attachment: Option<AttachmentKey>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.attachment {
            Some(attachment) => write!(f, "detaching {attachment} would break {}", self.rule),
            None => write!(f, "the detach would break {}", self.rule),
        }
    }
}

impl std::error::Error for Violation {}

/// Checks that `batch` may be detached from the scaling group as `world` shows it.
///
/// A listed attachment may be detached only without force, to be attached again at another weight.
///
/// # Errors
///
/// The first rule that would be broken.
pub fn detach(world: &World, batch: &[AttachmentKey], how: Detach) -> Result<(), Violation> {
    let broken = |rule| {
        Err(Violation {
            rule,
            attachment: None,
        })
    };
    if !world.view_permits_removal {
        return broken("S5");
    }
    if batch.len() > ATTACHMENTS_PER_CALL {
        return broken("S8");
    }
    for key in batch {
        if let Some(rule) = objection(world, key, how) {
            return Err(Violation {
                rule,
                attachment: Some(key.clone()),
            });
        }
    }
    if how == Detach::Forced {
        instances_may_leave(world, batch)?;
    }
    match shortage(world, batch) {
        Some(rule) => broken(rule),
        None => Ok(()),
    }
}

/// The rule that detaching `key` would break, whatever else is in the batch.
fn objection(world: &World, key: &AttachmentKey, how: Detach) -> Option<&'static str> {
    let ours = owned(world, key);
    if !ours && !stranger(world, key) {
        return Some("S1");
    }
    if !ours && claim::claimed(key, &world.others) {
        return Some("S7");
    }
    let listed = world.desired.contains_key(key);
    if world.contended.contains(key) && !listed {
        return Some("S8");
    }
    if listed && how == Detach::Forced {
        return Some("S1");
    }
    let leaving = world.purpose == Purpose::Release;
    let theirs = if listed {
        let owner = claim::owner(key, &world.age, true, &world.others);
        (owner != claim::Owner::Us).then_some("S7")
    } else {
        goes_to_another(key, &world.age, leaving, &world.others)
    };
    theirs
        .filter(|_| ours)
        .or_else(|| world.unsettled.contains(key).then_some("S6"))
}

/// S4 and S1 for the instances that a forced detach of `batch` takes out of the server groups.
///
/// One group may be attached at several ports, and each attachment counts the members at the others as staying: here the
/// whole batch is taken out of the group at once, in no order.
fn instances_may_leave(world: &World, batch: &[AttachmentKey]) -> Result<(), Violation> {
    let violates = |rule, key: &AttachmentKey| Violation {
        rule,
        attachment: Some(key.clone()),
    };
    for key in batch {
        // A group that was not read counts as one that nobody serves in.
        let unread = || violates(if world.allow_empty { "S1" } else { "S4" }, key);
        let feed = world.feeds.get(key).ok_or_else(unread)?;
        let group = key.fed_group();
        let same_group = batch.iter().filter(|other| other.fed_group() == group);
        let (mut leaving, mut serving_and_leaving) = (0, 0);
        for feed in same_group.filter_map(|other| world.feeds.get(other)) {
            leaving += feed.ours;
            serving_and_leaving += feed.serving;
        }
        let serving = feed.elsewhere + feed.serving;
        if leaving > 0 && serving <= serving_and_leaving && !world.allow_empty {
            return Err(violates("S4", key));
        }
        if feed.claimed_by.is_some() || feed.missing {
            return Err(violates("S1", key));
        }
    }
    Ok(())
}

/// The rule about how many attachments have to stay that would be broken without `batch`.
fn shortage(world: &World, batch: &[AttachmentKey]) -> Option<&'static str> {
    let attached = || world.attached.keys();
    let left = attached()
        .filter(|key| world.ledger.holds(key) || stranger(world, key))
        .filter(|key| !batch.contains(key));
    if left.count() == 0 && world.purpose == Purpose::Converge && !world.allow_empty {
        return Some("S4");
    }
    // S3 is about attachments that go for good: one that gets another weight is its own replacement.
    let listed = |key: &AttachmentKey| world.desired.contains_key(key);
    if batch.iter().all(listed) {
        return None;
    }
    let counted = || {
        attached().filter(|key| {
            let spoken_of =
                world.purpose == Purpose::Release || world.spoken_of.contains(&key.family());
            listed(key) || (owned(world, key) && spoken_of) || stranger(world, key)
        })
    };
    let after = counted().filter(|key| !batch.contains(key) || listed(key));
    (after.count() < world.desired.len().min(counted().count())).then_some("S3")
}

/// Whether this object may detach `key`: on release only attachments that it registered.
fn owned(world: &World, key: &AttachmentKey) -> bool {
    let adopted = world.ledger.adopted.contains(key) && world.purpose == Purpose::Converge;
    world.ledger.registered.contains(key) || adopted
}

fn stranger(world: &World, key: &AttachmentKey) -> bool {
    world.foreigners.get(key) == Some(&Foreigner::Stranger)
}
