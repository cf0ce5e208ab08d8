//! Member lists lag. What changed lately may not be in a look yet, although nothing that is remembered about the group says
//! so: this process has begun to lead and does not know the calls that were answered before, or a scaling group took its
//! instances out, which are known by no name.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use parking_lot::Mutex;

use super::turns::GroupId;
use crate::timing::Timing;

/// Changes that no memory of a group has, and when they were over. Times are since the start of the process.
#[derive(Debug, Default)]
pub struct Lag(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    leads_since: Duration,
    led_before: BTreeSet<GroupId>,
    moves: BTreeMap<GroupId, Duration>,
}

impl Lag {
    /// Notes that this process leads from `now` on, and the groups that another one may have changed before: those that
    /// objects are about by now.
    pub fn leads(&self, now: Duration, groups: BTreeSet<GroupId>) {
        let mut inner = self.0.lock();
        (inner.leads_since, inner.led_before) = (now, groups);
    }

    /// Notes that a call which moved instances out of a group is over, as found at `now`.
    pub fn moved(&self, group: GroupId, now: Duration) {
        self.0.lock().moves.insert(group, now);
    }

    /// The first moment from which a look shows all that was changed so.
    pub fn shown_from(&self, group: &GroupId, now: Duration, timing: &Timing) -> Duration {
        let mut inner = self.0.lock();
        inner
            .moves
            .retain(|_, over| *over + timing.listing_lag > now);
        let led = inner.leads_since + timing.takeover_lag;
        if led <= now {
            inner.led_before.clear();
        }
        let led = inner.led_before.contains(group).then_some(led);
        let moved = inner.moves.get(group);
        let moved = moved.map(|moved| *moved + timing.listing_lag);
        led.max(moved).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_counts_once_it_shows_what_was_changed_before_this_process_led_or_by_a_scaling_group()
    {
        let at = Duration::from_secs;
        let (lag, group) = (Lag::default(), GroupId::new("cn-hangzhou", "CLB", "rsp-1"));
        let other = GroupId::new("cn-hangzhou", "CLB", "rsp-2");
        let timing = Timing::production();
        let from = |group, now| lag.shown_from(group, at(now), &timing).as_secs();
        lag.leads(at(100), [group.clone()].into());
        assert_eq!((from(&group, 101), from(&other, 101)), (130, 0));
        lag.moved(group.clone(), at(120));
        assert_eq!(from(&group, 121), 150);
        assert_eq!(from(&group, 150), 0, "what every look shows is forgotten");
        let inner = lag.0.lock();
        assert!(inner.moves.is_empty() && inner.led_before.is_empty());
    }
}
