//! The rules about detaching, stated a second time on the newest view, right before the call.

use std::fmt;

use super::{AttachmentKey, Taken, World};
use crate::{
    claim,
    guard::goes_to_another,
    membership::{Foreigner, Purpose},
    product::ATTACHMENTS_PER_CALL,
};

/// How the instances of the scaling group fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detach {
    /// They stay in the server group.
    Unforced,
    /// They leave with the attachment.
    Forced,
}

/// A call that must not be sent, and the attachment that says why.
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
    let violates = |rule, key: &AttachmentKey| {
        Err(Violation {
            rule,
            attachment: Some(key.clone()),
        })
    };
    if !world.view_permits_removal {
        return Err(Violation {
            rule: "S5",
            attachment: None,
        });
    }
    if batch.len() > ATTACHMENTS_PER_CALL {
        return Err(Violation {
            rule: "S8",
            attachment: None,
        });
    }
    for key in batch {
        let adopted = world.ledger.adopted.contains(key) && world.purpose == Purpose::Converge;
        let ours = world.ledger.registered.contains(key) || adopted;
        let stranger = world.foreigners.get(key) == Some(&Foreigner::Stranger);
        if !ours && !stranger {
            return violates("S1", key);
        }
        if !ours && claim::claimed(key, &world.others) {
            return violates("S7", key);
        }
        if world.contended.contains(key) && !world.desired.contains_key(key) {
            return violates("S8", key);
        }
        let listed = world.desired.contains_key(key);
        if listed && how == Detach::Forced {
            return violates("S1", key);
        }
        let leaving = world.purpose == Purpose::Release;
        let theirs = if listed {
            let owner = claim::owner(key, &world.age, true, &world.others);
            (owner != claim::Owner::Us).then_some("S7")
        } else {
            goes_to_another(key, &world.age, leaving, &world.others)
        };
        if let (true, Some(rule)) = (ours, theirs) {
            return violates(rule, key);
        }
        if world.unsettled.contains(key) {
            return violates("S6", key);
        }
        let nobody_left = world
            .feeds
            .get(key)
            .is_none_or(|feed| feed.ours > 0 && feed.elsewhere == 0);
        if how == Detach::Forced && !world.allow_empty && nobody_left {
            return violates("S4", key);
        }
        let claimed = world
            .feeds
            .get(key)
            .is_none_or(|feed| feed.claimed_by.is_some() || feed.missing);
        if how == Detach::Forced && claimed {
            return violates("S1", key);
        }
    }
    if how == Detach::Forced && !world.allow_empty {
        let mut taken = Taken::default();
        for key in batch {
            if let Some(feed) = world.feeds.get(key) {
                if taken.leaves_nobody(key, feed) {
                    return violates("S4", key);
                }
                taken.take(key, feed);
            }
        }
    }
    let left = world
        .attached
        .keys()
        .filter(|key| {
            let stranger = world.foreigners.get(*key) == Some(&Foreigner::Stranger);
            (world.ledger.holds(key) || stranger) && !batch.contains(key)
        })
        .count();
    if left == 0 && world.purpose == Purpose::Converge && !world.allow_empty {
        return Err(Violation {
            rule: "S4",
            attachment: None,
        });
    }
    Ok(())
}
