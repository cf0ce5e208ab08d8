//! Entries that come back after we removed them, and strangers that are to be seen twice: what a pass makes of either.

use std::{collections::BTreeSet, time::Duration};

use server_group_core::{
    contention::{Presence, Waits},
    parking::{LeftAlone, tell_contended},
    view::View,
};

use super::{managed::Managed, pass::Pass};

impl<M: Managed> Pass<'_, M> {
    /// Notes that the cloud agreed to remove `keys`.
    pub fn note_removed(&mut self, keys: &[M::Key]) {
        let now = self.ctx.now();
        self.memory.returns.removed(keys, now);
    }

    /// Takes in a view that was asked for at `begun`. Returns the entries that are left alone because they keep coming
    /// back, and those that are still there so soon after their removal that the list may lag.
    pub fn notice_returns(
        &mut self,
        begun: Duration,
        idle: bool,
        presence: impl Fn(&M::Key) -> Presence,
    ) -> (BTreeSet<M::Key>, BTreeSet<M::Key>) {
        let view = View {
            begun,
            now: self.ctx.now(),
            idle,
        };
        let waits = Waits {
            listing_lag: self.ctx.timing.listing_lag,
            return_window: self.ctx.timing.return_window,
        };
        let returned = self.memory.returns.look(view, waits, presence);
        for key in &returned.contended {
            if tell_contended(key.clone(), &mut self.record.parked) {
                let why = LeftAlone::Contended.to_string();
                self.memory.newly_parked.insert(key.clone(), why);
            }
        }
        if let Some(due) = returned.due {
            self.wake_at(due);
        }
        let mut contended = returned.contended;
        let parked = self.record.parked.iter();
        let parked = parked.filter(|(_, why)| **why == LeftAlone::Contended);
        contended.extend(parked.map(|(key, _)| key.clone()));
        (contended, returned.lagging)
    }

    /// The `strangers`, in the view that was asked for at `begun`, that were strangers long enough ago, and ever since.
    pub fn confirmed_strangers(
        &mut self,
        strangers: &BTreeSet<M::Key>,
        begun: Duration,
    ) -> BTreeSet<M::Key> {
        let (now, gap) = (self.ctx.now(), self.ctx.timing.stranger_gap);
        let removed = &self.turn.removed;
        let lag = self.ctx.timing.listing_lag;
        let shown_from = |key: &M::Key| Some(*removed.get(&key.to_string())? + lag);
        let known = &mut self.memory.strangers;
        let (confirmed, due) = known.look(strangers, shown_from, begun, now, gap);
        if let Some(due) = due {
            self.wake_at(due);
        }
        confirmed
    }
}
