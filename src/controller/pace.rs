//! When to come back: quickly while anything moves, slowly once it rests, ever later while it fails.

use std::time::Duration;

use server_group_core::{reason::Outlook, reason::Reason, verdict::Verdict};

use super::memory::Memory;
use crate::timing::Timing;

/// How long until the next pass over an object that ended with `verdict`.
///
/// `changed` says that this pass changed what status says; `due` is when something that is waited for is due, from now.
#[must_use]
pub fn pace<K>(
    verdict: Verdict,
    changed: bool,
    due: Option<Duration>,
    interval_seconds: i64,
    memory: &mut Memory<K>,
    timing: &Timing,
) -> Duration {
    let failing = verdict.reason == Reason::Retrying;
    memory.failures = if failing {
        memory.failures.saturating_add(1)
    } else {
        0
    };
    let moving =
        verdict.outlook == Outlook::Moving && !failing && verdict.reason != Reason::PartlyApplied;
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
        jittered(timing.interval(interval_seconds), 0.1)
    };
    due.map_or(regular, |due| regular.min(due.max(SOON)))
}

/// A delay that doubles with each failure in a row, with full jitter above the least.
#[must_use]
pub fn backoff(failures: u32, timing: &Timing) -> Duration {
    let doubled = timing
        .backoff_min
        .saturating_mul(1 << failures.saturating_sub(1).min(16));
    let most = doubled.min(timing.backoff_max);
    timing.backoff_min
        + most
            .saturating_sub(timing.backoff_min)
            .mul_f64(fastrand::f64())
}

/// `duration`, more or less by up to `share`, so that objects made together do not stay together.
fn jittered(duration: Duration, share: f64) -> Duration {
    duration.mul_f64(1.0 - share + 2.0 * share * fastrand::f64())
}

/// The least delay before something that is already due, so that a mistake cannot spin.
const SOON: Duration = Duration::from_millis(5);
