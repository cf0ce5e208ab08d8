//! When to come back: quickly while anything moves, slowly once it rests, ever later while it fails.

use std::time::Duration;

use server_group_core::{
    reason::{Outlook, Reason},
    verdict::Verdict,
};

use super::{memory::Memory, queue::Level};
use crate::timing::Timing;

/// The facts that the time of the next pass depends on.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// How this pass ended.
    pub verdict: Verdict,
    /// Whether it changed what status says.
    pub changed: bool,
    /// Whether anything moves, though a person is waited for as well.
    pub moving: bool,
    /// When something that is waited for is due, from now.
    pub due: Option<Duration>,
    /// How long ago the last look was asked for.
    pub ago: Duration,
    /// `spec.intervalSeconds`
    pub interval: Duration,
}

/// The delay until the next pass, and how soon it is wanted then: an object with something under way goes before the
/// regular look for drift, an object that fails does not.
#[must_use]
pub fn pace<K>(seen: Seen, memory: &mut Memory<K>, timing: &Timing) -> (Duration, Level) {
    let Seen {
        verdict,
        changed,
        moving,
        due,
        ago,
        interval,
    } = seen;
    let failing = verdict.reason.backs_off();
    memory.failures = if failing {
        memory.failures.saturating_add(1)
    } else {
        0
    };
    let moving = match verdict.outlook {
        Outlook::Ready => false,
        Outlook::Moving => !failing && verdict.reason != Reason::PartlyApplied,
        Outlook::Stalled => moving,
    };
    let beat = match memory.quick_beat {
        Some(beat) if !changed => (beat * 3 / 2).min(timing.quick_beat_max),
        _ => timing.quick_beat_min,
    };
    memory.quick_beat = moving.then_some(beat);
    let regular = if failing {
        backoff(memory.failures, timing)
    } else if moving {
        beat
    } else {
        slow_beat(interval, timing)
            .saturating_sub(ago)
            .max(timing.soon)
    };
    let waits = moving || due.is_some();
    let level = if waits { Level::Asked } else { Level::Sweep };
    let delay = due.map_or(regular, |due| regular.min(due.max(timing.soon)));
    (delay, level)
}

/// The delay from one look to the next at rest. It is spread, so that objects made together do not stay together, but
/// by less than the tenth of the interval that a shared look may be old. It is short enough that drift is seen within
/// the interval all the same.
fn slow_beat(interval: Duration, timing: &Timing) -> Duration {
    interval.mul_f64(0.8 + 0.08 * timing.chance.fraction())
}

/// A delay that doubles with each failure in a row, with full jitter above the least.
#[must_use]
pub fn backoff(failures: u32, timing: &Timing) -> Duration {
    let doubled = timing
        .backoff_min
        .saturating_mul(1 << failures.saturating_sub(1).min(16));
    let most = doubled.min(timing.backoff_max);
    let spread = most.saturating_sub(timing.backoff_min);
    timing.backoff_min + timing.chance.part_of(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_rest(ago: u64) -> Duration {
        let seen = Seen {
            verdict: Reason::Converged.into(),
            changed: false,
            moving: false,
            due: None,
            ago: Duration::from_secs(ago),
            interval: Duration::from_mins(5),
        };
        pace(seen, &mut Memory::<u8>::default(), &Timing::production()).0
    }

    #[test]
    fn drift_is_looked_for_within_the_interval_also_with_a_shared_look() {
        for _ in 0..1000 {
            let next = at_rest(0).as_secs_f64();
            assert!((240.0..=264.0).contains(&next), "{next}");
        }
    }

    #[test]
    fn what_moves_is_looked_after_quickly_though_a_person_is_waited_for() {
        let seen = Seen {
            verdict: Reason::Conflict.into(),
            changed: false,
            moving: true,
            due: None,
            ago: Duration::ZERO,
            interval: Duration::from_mins(5),
        };
        let next = pace(seen, &mut Memory::<u8>::default(), &Timing::production());
        assert_eq!(next, (Duration::from_secs(2), Level::Asked));
    }

    #[test]
    fn what_was_just_changed_and_seen_to_match_is_at_rest() {
        let seen = Seen {
            verdict: Reason::Converged.into(),
            changed: true,
            moving: true,
            due: None,
            ago: Duration::ZERO,
            interval: Duration::from_mins(5),
        };
        let (next, _) = pace(seen, &mut Memory::<u8>::default(), &Timing::production());
        assert!(next >= Duration::from_mins(4), "{next:?}");
    }

    #[test]
    fn who_shares_a_look_shares_the_next_one_too() {
        for _ in 0..1000 {
            let next = 25.0 + at_rest(25).as_secs_f64();
            assert!((240.0..=264.0).contains(&next), "{next}");
        }
    }
}
