//! Actions that the cloud refused and would refuse again: not permitted, no room, not in this state.
//!
//! Trying costs an intent and a verdict, two writes for nothing each time. So an action is tried again only after a
//! while, when the spec changes, when a person asks for it, or when the group looks otherwise than it did.
//!
//! Times are durations since one moment that the caller chose; only differences count.

use std::{collections::BTreeMap, time::Duration};

use crate::{reason::Outlook, verdict::Verdict};

/// The look of a group, as far as a refusal may depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// A text that differs when the group looks otherwise.
    pub looks: &'a str,
    /// Whether the group, or what it belongs to, is seen in a state in which it takes no change.
    pub unusable: bool,
}

/// Actions that were refused, by name.
#[derive(Clone, Debug, Default)]
pub struct Blocked(BTreeMap<&'static str, Refusal>);

/// An action that was refused.
#[derive(Clone, Debug)]
struct Refusal {
    /// When it is tried again, whatever the group looks like.
    until: Duration,
    verdict: Verdict,
    message: String,
    /// The look of the group in the first pass after the refusal.
    looked: Option<String>,
}

/// Why an action is not tried at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The verdict that follows from the refusal.
    pub verdict: Verdict,
    /// For a person.
    pub message: String,
    /// When it is tried again at the latest.
    pub until: Duration,
}

impl Blocked {
    /// Notes that `action` was refused, and is tried again at `until` at the latest.
    pub fn refused(
        &mut self,
        action: &'static str,
        verdict: Verdict,
        message: String,
        until: Duration,
    ) {
        let refusal = Refusal {
            until,
            verdict,
            message,
            looked: None,
        };
        self.0.insert(action, refusal);
    }

    /// The refusal of `action`, as long as there is no reason to try it again.
    ///
    /// A refusal because of a state ends when that state is not seen: then the delays between passes have to be enough.
    pub fn still(
        &mut self,
        action: &'static str,
        sight: Sight<'_>,
        now: Duration,
    ) -> Option<Block> {
        let refusal = self.0.get_mut(action)?;
        let looked = refusal.looked.get_or_insert_with(|| sight.looks.to_owned());
        let by_state = refusal.verdict.reason.backs_off();
        let over = by_state && !sight.unusable;
        if now >= refusal.until || over || *looked != sight.looks {
            self.0.remove(action);
            return None;
        }
        let verdict = match by_state {
            // The state is seen: it takes a person to start, unlock or enable it.
            true => Verdict {
                outlook: Outlook::Stalled,
                ..refusal.verdict
            },
            false => refusal.verdict,
        };
        Some(Block {
            verdict,
            message: refusal.message.clone(),
            until: refusal.until,
        })
    }

    /// Whether anything was refused because the group, or what it belongs to, was in no state for it.
    #[must_use]
    pub fn by_state(&self) -> bool {
        let mut refusals = self.0.values();
        refusals.any(|refusal| refusal.verdict.reason.backs_off())
    }

    /// Forgets every refusal, so that everything is tried again.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn refused(reason: Reason) -> Blocked {
        let mut blocked = Blocked::default();
        blocked.refused("Add", reason.into(), "no".into(), at(3600));
        blocked
    }

    fn seen(looks: &str) -> Sight<'_> {
        Sight {
            looks,
            unusable: false,
        }
    }

    #[test]
    fn what_was_refused_is_not_tried_before_its_time() {
        let mut blocked = refused(Reason::Denied);
        let block = blocked.still("Add", seen("3 members"), at(3599)).unwrap();
        let expected = Block {
            verdict: Reason::Denied.into(),
            message: "no".into(),
            until: at(3600),
        };
        assert_eq!(block, expected);
        assert!(
            blocked
                .still("Remove", seen("3 members"), at(3599))
                .is_none()
        );
        assert!(blocked.still("Add", seen("3 members"), at(3600)).is_none());
        assert!(
            blocked.still("Add", seen("3 members"), at(0)).is_none(),
            "it is forgotten"
        );
    }

    #[test]
    fn what_was_refused_is_tried_again_when_the_group_looks_otherwise() {
        let mut blocked = refused(Reason::QuotaExceeded);
        assert!(blocked.still("Add", seen("3 members"), at(1)).is_some());
        assert!(blocked.still("Add", seen("3 members"), at(2)).is_some());
        assert!(blocked.still("Add", seen("2 members"), at(3)).is_none());
    }

    #[test]
    fn a_state_that_is_seen_takes_a_person_and_one_that_is_not_seen_blocks_nothing() {
        let stopped = Sight {
            looks: "3 members, stopped",
            unusable: true,
        };
        let mut blocked = refused(Reason::LoadBalancerUnusable);
        assert!(blocked.by_state());
        let block = blocked.still("Add", stopped, at(1)).unwrap();
        assert_eq!(block.verdict.outlook, Outlook::Stalled);
        let started = Sight {
            unusable: false,
            ..stopped
        };
        assert!(blocked.still("Add", started, at(2)).is_none());
        assert!(!blocked.by_state());
        let mut denied = refused(Reason::Denied);
        assert!(
            denied.still("Add", started, at(2)).is_some(),
            "no state was in the way"
        );
        assert!(!denied.by_state());
    }

    #[test]
    fn whoever_asks_has_everything_tried_again() {
        let mut blocked = refused(Reason::Denied);
        blocked.clear();
        assert!(blocked.still("Add", seen("3 members"), at(1)).is_none());
    }
}
