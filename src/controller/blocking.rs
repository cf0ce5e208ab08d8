//! Actions that the cloud refused and would refuse again: what a pass makes of them.

use server_group_core::{
    blocked::{self, Block},
    reason::Reason,
};

use super::{ended::Judged, managed::Managed, pass::Pass, sight::Sight};

impl<M: Managed> Pass<'_, M> {
    /// Notes that `action` was refused, and what that means.
    pub fn block(&mut self, action: &'static str, refused: &Judged) {
        let Judged { verdict, message } = refused;
        let until = self.ctx.now() + self.ctx.timing.parked_retry;
        let blocked = &mut self.memory.blocked;
        blocked.refused(action, *verdict, message.clone(), until);
    }

    /// Notes that a quota refused `actions` with these words.
    pub fn block_for_quota(
        &mut self,
        actions: impl IntoIterator<Item = &'static str>,
        words: &str,
    ) -> Judged {
        let refused = Judged::because(Reason::QuotaExceeded, words);
        for action in actions {
            self.block(action, &refused);
        }
        refused
    }

    /// The refusal of `action`, as long as there is no reason to try again.
    pub fn still_blocked(&mut self, action: &'static str, sight: &Sight) -> Option<Judged> {
        let now = self.ctx.now();
        let sight = blocked::Sight {
            looks: &sight.looks,
            unusable: sight.unusable,
        };
        let block = self.memory.blocked.still(action, sight, now);
        let Block {
            verdict,
            message,
            until,
        } = block?;
        self.wake_at(until);
        Some(Judged { verdict, message })
    }

    /// Whether anything was refused because the group, or what it belongs to, was in no state for it.
    #[must_use]
    pub fn state_was_in_the_way(&self) -> bool {
        self.memory.blocked.by_state()
    }
}
