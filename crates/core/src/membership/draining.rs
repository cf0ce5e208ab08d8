//! Members at weight 0 that wait to be removed: how long they wait, and the weight to give back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Drain, Wish};
use crate::server::{Rows, ServerKey, Weight};

/// A member that we set to weight 0. `T` is a moment by the cloud's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draining<T> {
    /// When it is to be removed; absent until it was seen at weight 0.
    pub until: Option<T>,
    /// The weight to give back.
    pub weight: Weight,
}

/// One view, as far as it concerns members that drain.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    /// The rows of the group.
    pub rows: &'a Rows,
    /// The members that the object lists.
    pub desired: &'a BTreeMap<ServerKey, Wish>,
    /// Members that were not removed, as far as is known: one view that lacks them proves nothing.
    pub kept: &'a BTreeSet<ServerKey>,
    /// Members that a call under way, or one that may still land, could change.
    pub in_flight: &'a BTreeSet<ServerKey>,
    /// Whether the view may not show yet what the cloud has agreed to.
    pub lags: bool,
    /// When the group was looked at.
    pub now: T,
    /// When a wait that begins now is over.
    pub end: T,
    /// Whether no member waits, as the spec says.
    pub at_once: bool,
}

/// Brings the record of drains up to date with a view. Returns the drains, each with whether its wait is over, and when
/// the next wait ends.
///
/// The wait begins when weight 0 was seen, and its end is written once. An entry leaves when there is no weight to give
/// back. Entries in flight may still change, so they stay, and no wait of theirs begins. So do members that were sent weight
/// 0 and are not shown at it yet, while the view may lag.
pub fn look<T: Copy + Ord>(
    record: &mut BTreeMap<ServerKey, Draining<T>>,
    view: View<'_, T>,
) -> (BTreeMap<ServerKey, Drain>, Option<T>) {
    let (mut drains, mut next) = (BTreeMap::new(), None);
    record.retain(|key, entry| {
        let row = view.rows.get(key);
        let silent = row.is_some_and(|row| row.weight == Some(0));
        let wish = view.desired.get(key);
        let meant = wish.is_some_and(|wish| wish.weight == Some(0));
        let in_flight = view.in_flight.contains(key);
        let shown_late = view.lags && entry.until.is_none() && row.is_some() && !silent;
        if row.is_none() && !in_flight && !meant && view.kept.contains(key) {
            entry.until = None;
            return true;
        }
        if (meant || !silent && !shown_late) && !in_flight {
            return false;
        }
        if !silent {
            // It has its weight for now. Should a late call take that again, it waits from then on.
            entry.until = None;
        } else if entry.until.is_none() && !in_flight {
            entry.until = Some(view.end);
        }
        let due = view.at_once || entry.until.is_some_and(|until| until <= view.now);
        if !due {
            next = next.into_iter().chain(entry.until).min();
        }
        let weight = entry.weight;
        drains.insert(key.clone(), Drain { weight, due });
        true
    });
    (drains, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Row, ServerKind, State};

    fn key() -> ServerKey {
        "i-1:80".parse().unwrap()
    }

    /// An object with one member that was sent weight 0 and had 60 before.
    struct Object {
        record: BTreeMap<ServerKey, Draining<u32>>,
        desired: BTreeMap<ServerKey, Wish>,
        kept: BTreeSet<ServerKey>,
        in_flight: BTreeSet<ServerKey>,
        lags: bool,
        at_once: bool,
    }

    impl Object {
        fn new() -> Self {
            let draining = Draining {
                until: None,
                weight: 60,
            };
            Self {
                record: BTreeMap::from([(key(), draining)]),
                desired: BTreeMap::new(),
                kept: BTreeSet::new(),
                in_flight: BTreeSet::new(),
                lags: false,
                at_once: false,
            }
        }

        /// A view at `now` of the member with this weight, if it is there: whether its drain is over, if it still drains,
        /// and when the next one is. A wait takes 10.
        fn sees(&mut self, now: u32, weight: Option<Weight>) -> (Option<bool>, Option<u32>) {
            let row = weight.map(|weight| Row {
                kind: ServerKind::Ecs,
                weight: Some(weight),
                state: State::Available,
                remote_ip: None,
            });
            let rows: Rows = row.map(|row| (key(), row)).into_iter().collect();
            let view = View {
                rows: &rows,
                desired: &self.desired,
                kept: &self.kept,
                in_flight: &self.in_flight,
                lags: self.lags,
                now,
                end: now + 10,
                at_once: self.at_once,
            };
            let (drains, next) = look(&mut self.record, view);
            let drain = drains.get(&key());
            assert!(drain.is_none_or(|drain| drain.weight == 60));
            (drain.map(|drain| drain.due), next)
        }

        fn wants(&mut self, weight: Weight) {
            let wish = Wish {
                kind: ServerKind::Ecs,
                weight: Some(weight),
                remote_ip: None,
            };
            self.desired = BTreeMap::from([(key(), wish)]);
        }
    }

    #[test]
    fn the_wait_begins_when_weight_0_is_seen_and_begins_once() {
        let mut object = Object::new();
        assert_eq!(object.sees(100, Some(0)), (Some(false), Some(110)));
        assert_eq!(object.sees(109, Some(0)), (Some(false), Some(110)));
        assert_eq!(object.sees(110, Some(0)), (Some(true), None));
    }

    /// A member had its weight back, and status said for as long as a late call might take it again that it drains.
    #[test]
    fn a_member_that_has_its_weight_back_drains_no_longer() {
        let mut object = Object::new();
        assert_eq!(object.sees(100, Some(0)), (Some(false), Some(110)));
        object.in_flight.insert(key());
        assert_eq!(object.sees(111, Some(60)), (Some(false), None));
        assert_eq!(object.record[&key()].until, None);
        object.in_flight.clear();
        assert_eq!(object.sees(112, Some(0)), (Some(false), Some(122)));
    }

    #[test]
    fn a_call_that_may_still_land_keeps_the_weight_to_give_back_and_begins_no_wait() {
        let mut object = Object::new();
        object.in_flight.insert(key());
        assert_eq!(object.sees(100, Some(60)), (Some(false), None));
        assert_eq!(object.sees(101, None), (Some(false), None));
        assert_eq!(object.sees(102, Some(0)), (Some(false), None));
        object.in_flight.clear();
        assert_eq!(object.sees(103, Some(0)), (Some(false), Some(113)));
    }

    /// One list that lagged once had the drain forgotten, and the member was removed at the next look, without a wait.
    #[test]
    fn a_list_that_lags_behind_weight_0_ends_no_drain() {
        let mut object = Object::new();
        object.lags = true;
        assert_eq!(object.sees(100, Some(60)), (Some(false), None));
        assert_eq!(object.sees(102, Some(0)), (Some(false), Some(112)));
        assert_eq!(
            object.sees(103, Some(60)),
            (None, None),
            "it was seen silent"
        );
        let mut shown = Object::new();
        assert_eq!(
            shown.sees(130, Some(60)),
            (None, None),
            "nobody waits for ever"
        );
    }

    /// One list that lacked a member had its weight forgotten, and it stayed at weight 0 for ever.
    #[test]
    fn a_list_that_lacks_a_member_once_does_not_forget_the_weight_to_give_back() {
        let mut object = Object::new();
        object.kept.insert(key());
        assert_eq!(object.sees(100, Some(0)), (Some(false), Some(110)));
        assert_eq!(object.sees(101, None), (None, None));
        assert_eq!(object.sees(102, Some(0)), (Some(false), Some(112)));
        object.kept.clear();
        object.sees(103, None);
        assert!(
            object.record.is_empty(),
            "two views lacked it, or it was removed"
        );
    }

    #[test]
    fn an_entry_leaves_when_there_is_no_weight_to_give_back() {
        let mut back = Object::new();
        assert_eq!(back.sees(100, Some(60)), (None, None));
        let mut gone = Object::new();
        assert_eq!(gone.sees(100, None), (None, None));
        let mut meant = Object::new();
        meant.wants(0);
        assert_eq!(meant.sees(100, Some(0)), (None, None));
        for object in [back, gone, meant] {
            assert!(object.record.is_empty());
        }
        let mut wanted = Object::new();
        wanted.wants(60);
        assert_eq!(wanted.sees(100, Some(0)), (Some(false), Some(110)));
    }

    #[test]
    fn a_spec_that_has_nobody_wait_ends_every_drain() {
        let mut object = Object::new();
        object.sees(100, Some(0));
        object.at_once = true;
        assert_eq!(object.sees(101, Some(0)), (Some(true), None));
    }
}
