//! How old a look may be that a pass begins with, what makes looks too old, and from when on a look shows everything.

use std::{collections::BTreeMap, time::Duration};

use server_group_core::{
    freshness::Situation,
    reason::{Hold, Reason},
};
use tokio::time::Instant;

use super::{ended::Judged, managed::Managed, pass::Pass, sight::Sight, turns::GroupId};
use crate::cloud::Freshness;

impl<M: Managed> Pass<'_, M> {
    /// How old the look may be that this pass begins with, so that objects can share it.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        let (now, timing) = (self.ctx.now(), &self.ctx.timing);
        let memory = &self.memory;
        let situation = Situation {
            asked: self.asked,
            failing: memory.failures > 0,
            quick_beat: memory.quick_beat,
            interval: timing.interval(self.object.interval_seconds()),
            view_age_max: timing.view_age_max,
            due: memory.due,
            resumes_from: self.resumes_from,
            changed_at: self.turn.changed_at,
        };
        let fresh = situation.freshness(now);
        Freshness {
            since: self.ctx.started + fresh.since,
            keep: fresh.keep,
        }
    }

    /// Whether anything is under way that a look has to be newer than.
    #[must_use]
    pub fn in_motion(&self) -> bool {
        self.record.operation.is_some()
            || !self.record.draining.is_empty()
            || !self.turn.unsettled.is_empty()
            || self.memory.quick_beat.is_some()
    }

    /// Notes that the group was changed, so that no look from before counts any more (S5).
    pub fn group_changed(&mut self) {
        self.turn.changed_at = Some(self.ctx.now());
        self.turn.view = None;
    }

    /// The first moment from which a look at one of these groups shows everything that nobody here remembers.
    pub fn shown_from<'g>(&self, groups: impl IntoIterator<Item = &'g GroupId>) -> Duration {
        let (now, timing) = (self.ctx.now(), &self.ctx.timing);
        let groups = groups.into_iter();
        let from = groups.map(|group| self.ctx.lag.shown_from(group, now, timing));
        from.max().unwrap_or_default()
    }

    /// Whether a look at these groups that was asked for at `begun` may lack what was changed lately; says so in `sight`.
    /// A plan that is only shown removes nobody.
    pub fn may_lag<'g>(
        &self,
        groups: impl IntoIterator<Item = &'g GroupId>,
        begun: Duration,
        sight: &mut Sight,
    ) -> bool {
        let lags = !self.only_plans() && begun < self.shown_from(groups);
        if lags {
            let message = "lists may lag what was changed before this replica took over, or by a scaling group: nothing is removed for some seconds";
            let waits = || Judged::because(Reason::Changing, message);
            sight.unread.get_or_insert_with(waits);
        }
        lags
    }

    /// Looks again once lists show everything, if something is held until then.
    pub fn wake_when_all_is_shown(&mut self, held: &BTreeMap<M::Key, Hold>) {
        let from = self.shown_from([&self.object.group()]);
        let waits = held.values().any(|hold| *hold == Hold::ViewIncomplete);
        if waits && from > self.ctx.now() {
            self.wake_at(from);
        }
    }

    /// Leaves the look at the group to those who may use it: this object, if it `waits` in the middle of a pass, or for
    /// a while the others on the group.
    pub fn leave_view(&mut self, waits: bool) {
        if waits || self.turn.view.is_none() {
            return;
        }
        if self.alone() {
            self.turn.view = None;
            return;
        }
        let until = self.ctx.now() + self.ctx.timing.view_age_max;
        self.ctx.turns.keep_view(self.object.group(), until);
    }

    /// A moment of the cloud client as time since the start of the process.
    #[must_use]
    pub fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.ctx.started)
    }
}
