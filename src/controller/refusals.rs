//! Actions that the cloud refused and would refuse again: not permitted, no room, not in this state.
//!
//! Trying costs an intent and a verdict, two writes for nothing each time. So it is tried again after an hour, when the
//! spec changes, when a person asks for it, or when the group looks otherwise than it did.

use server_group_core::{
    reason::{Outlook, Reason},
    verdict::Verdict,
};

use super::{managed::Managed, memory::Refusal, pass::Pass, stop::Stop};

impl<M: Managed> Pass<'_, M> {
    /// Notes that `action` was refused with what `stop` says.
    pub fn remember_refusal(&self, action: &'static str, stop: &Stop) {
        let Stop::Verdict { verdict, message } = stop else {
            return;
        };
        let refusal = Refusal {
            until: self.ctx.now() + self.ctx.timing.parked_retry,
            verdict: *verdict,
            message: message.clone(),
            sight: None,
        };
        self.memory.lock().refusals.insert(action, refusal);
    }

    /// Notes that a quota refused `actions`, if it did and nothing at all was accepted, which would have made room.
    pub fn remember_quota(
        &self,
        actions: impl IntoIterator<Item = &'static str>,
        accepted: usize,
    ) -> Option<Stop> {
        let words = self.quota_reached.clone().filter(|_| accepted == 0)?;
        let stop = Stop::because(Reason::QuotaExceeded, words);
        for action in actions {
            self.remember_refusal(action, &stop);
        }
        Some(stop)
    }

    /// What `action` was refused with, as long as there is no reason to try again.
    pub fn still_refused(&mut self, action: &'static str) -> Option<Stop> {
        let now = self.ctx.now();
        let mut memory = self.memory.lock();
        let refusal = memory.refusals.get_mut(action)?;
        let before = refusal.sight.get_or_insert_with(|| self.sight.clone());
        let verdict = refusal.verdict;
        let by_state = verdict.reason.backs_off();
        let verdict = match by_state && self.unusable {
            // Seen to be so: it takes a person to start, unlock or enable it.
            true => Verdict {
                outlook: Outlook::Stalled,
                ..verdict
            },
            false => verdict,
        };
        let (until, stop) = (
            refusal.until,
            Stop::Verdict {
                verdict,
                message: refusal.message.clone(),
            },
        );
        // Of a wrong state it is said when it is seen; where none is seen, the delays between passes have to do.
        let over = by_state && !self.unusable;
        if now >= until || over || *before != self.sight {
            memory.refusals.remove(action);
            return None;
        }
        drop(memory);
        self.wake_at(until);
        Some(stop)
    }

    /// Whether anything was refused because the group, or what it belongs to, was in no state for it.
    #[must_use]
    pub fn state_was_in_the_way(&self) -> bool {
        let memory = self.memory.lock();
        let by_state = |refusal: &Refusal| refusal.verdict.reason.backs_off();
        memory.refusals.values().any(by_state)
    }
}
