//! An experiment, and no rule: what one record of each group would have known, where processes and statuses know nothing
//! any more.
//!
//! Such a record would have every call that was ever sent to the group, until it cannot land any more. A call that is on
//! its way for minutes is what tells the two apart: it is noticed whenever another one leaves meanwhile, whether or not harm
//! comes of it.

use std::time::Duration;

use super::{Oracles, SETTLES};
use crate::effect::Effect;

/// What is noticed when neither a process nor a status can know of the other call.
pub const BLIND: &str = "while a call was on its way that nobody remembers";

/// A call that is on its way, though nobody waits for it any more.
#[derive(Clone, Debug)]
pub(super) struct Late {
    pub(super) effect: Effect,
    sent: Duration,
    lands: Duration,
}

impl Oracles {
    /// The connection broke, and the call is carried out later.
    pub fn lands_late(&mut self, effect: &Effect, sent: Duration, lands: Duration) {
        if !effect.occupies().is_empty() {
            let effect = effect.clone();
            self.late.push(Late {
                effect,
                sent,
                lands,
            });
        }
    }

    /// A changing call leaves: is another one on its way to the same group, and who knows of that?
    pub(super) fn notice(&mut self, effect: &Effect, left: Duration) {
        *self.noticed.entry("calls sent").or_default() += 1;
        self.late.retain(|late| late.lands > left);
        let groups = effect.occupies();
        let others = self.late.iter().filter(|late| {
            late.effect.content != effect.content
                && late
                    .effect
                    .occupies()
                    .iter()
                    .any(|group| groups.contains(group))
        });
        let others: Vec<_> = others.cloned().collect();
        for late in others {
            let known = self.facts.values().any(|fact| fact.remembers(&late.effect));
            let how = match () {
                () if left < late.sent + SETTLES => {
                    "while a call was on its way that had not settled"
                }
                () if known => "while a call was on its way that a status remembers",
                () if self.left_behind || !self.spoilt.is_empty() => {
                    "while a call was on its way whose object is gone or was spoilt"
                }
                () => BLIND,
            };
            *self.noticed.entry(how).or_default() += 1;
        }
    }
}
