//! The line of calls before a bucket: the more urgent go first; among equals, first come, first served.
//!
//! Urgent calls could come without end, and the regular look for drift must not wait for that. So less urgent calls are
//! passed over four times in a row, and then one of them goes next: of five calls, one.

use std::{collections::BTreeMap, task::Waker};

/// How soon a call is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// The regular look for drift.
    #[default]
    Sweep,
    /// Somebody waits: an edit, a deletion, a request, or something that moves.
    Asked,
    /// A call that continues an operation that has begun.
    Begun,
}

/// How often in a row calls of one urgency are passed over before one of them goes.
const PASSED_OVER: u32 = 4;

/// A place in a line: places of one urgency go in the order of their numbers.
pub(super) type Place = (Urgency, u64);

/// The calls that wait, by urgency.
#[derive(Default)]
pub(super) struct Line {
    waiting: BTreeMap<Urgency, Waiting>,
    /// Places given out so far.
    given: u64,
}

/// The calls of one urgency that wait.
#[derive(Default)]
struct Waiting {
    /// The waker by which each is told that it may be first now, once it has looked.
    places: BTreeMap<u64, Option<Waker>>,
    /// How often in a row a more urgent call went before them.
    passed_over: u32,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        let waiting = self.waiting.values();
        waiting.map(|waiting| waiting.places.len()).sum()
    }

    /// Takes a place behind all calls of this urgency.
    pub(super) fn join(&mut self, urgency: Urgency) -> Place {
        self.given += 1;
        let waiting = self.waiting.entry(urgency).or_default();
        waiting.places.insert(self.given, None);
        (urgency, self.given)
    }

    /// The place that goes next.
    pub(super) fn first(&self) -> Option<Place> {
        let mut from_the_top = self.waiting.iter().rev();
        let next = from_the_top
            .clone()
            .find(|(_, waiting)| waiting.passed_over >= PASSED_OVER)
            .or_else(|| from_the_top.next());
        next.and_then(|(urgency, waiting)| {
            let (number, _) = waiting.places.first_key_value()?;
            Some((*urgency, *number))
        })
    }

    /// Takes out a call that gave up.
    pub(super) fn leave(&mut self, (urgency, number): Place) {
        if let Some(waiting) = self.waiting.get_mut(&urgency) {
            waiting.places.remove(&number);
            if waiting.places.is_empty() {
                self.waiting.remove(&urgency);
            }
        }
    }

    /// Takes out a call that goes, past those that are less urgent.
    pub(super) fn go(&mut self, place: Place) {
        for waiting in self.waiting.range_mut(..place.0) {
            waiting.1.passed_over += 1;
        }
        if let Some(waiting) = self.waiting.get_mut(&place.0) {
            waiting.passed_over = 0;
        }
        self.leave(place);
    }

    /// Notes the waker by which a call is told that it may be first now.
    pub(super) fn await_turn(&mut self, (urgency, number): Place, waker: &Waker) {
        let waiting = self.waiting.get_mut(&urgency);
        if let Some(known) = waiting.and_then(|waiting| waiting.places.get_mut(&number)) {
            *known = Some(waker.clone());
        }
    }

    /// The waker of the call that goes next; to be woken when nothing is locked.
    pub(super) fn waker(&mut self) -> Option<Waker> {
        let (urgency, number) = self.first()?;
        let waiting = self.waiting.get_mut(&urgency)?;
        waiting.places.get_mut(&number)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::{Urgency::*, *};

    /// In which order those go who wait, as many more of `coming` joining as go.
    fn order(line: &mut Line, coming: Option<Urgency>, count: usize) -> Vec<Urgency> {
        let go = |_| {
            let first = line.first()?;
            line.go(first);
            if let Some(urgency) = coming {
                line.join(urgency);
            }
            Some(first.0)
        };
        (0..count).map_while(go).collect()
    }

    #[test]
    fn the_more_urgent_go_first_and_equals_in_the_order_they_came() {
        let mut line = Line::default();
        let places = [Sweep, Asked, Begun, Asked, Sweep].map(|urgency| line.join(urgency));
        let mut gone = Vec::new();
        while let Some(first) = line.first() {
            line.go(first);
            gone.push(first);
        }
        let expected = [2, 1, 3, 0, 4].map(|index| places[index]);
        assert_eq!(gone, expected);
        assert!(line.is_empty());
    }

    #[test]
    fn of_five_calls_one_is_of_the_less_urgent_however_many_urgent_ones_come() {
        let mut line = Line::default();
        for urgency in [Begun, Sweep, Sweep, Sweep] {
            line.join(urgency);
        }
        let gone = order(&mut line, Some(Begun), 15);
        let round = [Begun, Begun, Begun, Begun, Sweep];
        assert_eq!(gone, [round, round, round].concat());
    }

    #[test]
    fn both_lesser_urgencies_get_their_call_and_the_more_urgent_of_them_first() {
        let mut line = Line::default();
        for urgency in [Begun, Asked, Sweep] {
            line.join(urgency);
        }
        let gone = order(&mut line, Some(Begun), 6);
        assert_eq!(gone, [Begun, Begun, Begun, Begun, Asked, Sweep]);
    }

    #[test]
    fn whoever_comes_after_the_last_of_its_urgency_left_has_not_been_passed_over() {
        let mut line = Line::default();
        line.join(Begun);
        let sweep = line.join(Sweep);
        assert_eq!(order(&mut line, Some(Begun), 3), [Begun, Begun, Begun]);
        line.leave(sweep);
        line.join(Sweep);
        let gone = order(&mut line, Some(Begun), 5);
        assert_eq!(gone, [Begun, Begun, Begun, Begun, Sweep]);
    }
}
