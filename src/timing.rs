//! Every duration, both clocks and chance, in one struct that `main` hands in.
//!
//! Tests with real sockets hand in [`Timing::scaled`], in which a minute passes in a second or less.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::chance::Chance;

/// Durations, each with the rule it comes from, the wall clock, and the source of jitter.
///
/// The monotonic clock is `tokio::time::Instant`, which tests can pause.
#[derive(Clone)]
pub struct Timing {
    /// Until a connection stands.
    pub connect_deadline: Duration,
    /// Until a reading call is answered, all pages apart.
    pub read_deadline: Duration,
    /// Until a changing call is given up (S9).
    pub mutation_deadline: Duration,
    /// How long an unused connection is kept.
    pub connection_idle: Duration,
    /// How long a read waits for others that could travel with it.
    pub share_window: Duration,
    /// A minute, as the cloud counts the calls of a quota.
    pub rate_minute: Duration,
    /// How long an answer that says *too many* stands for the next ones too.
    pub rate_cooldown: Duration,
    /// How far our knowledge of the cloud's clock may be behind: a `Date` has whole seconds.
    pub cloud_clock_error: Duration,
    /// How old an answer that tells the cloud's time may be.
    pub answer_age_max: Duration,
    /// The longest wait that the cloud may ask for.
    pub hint_max: Duration,
    /// The least delay before something that is already due, so that a mistake cannot spin.
    pub soon: Duration,
    /// Until Kubernetes answers a request that is not a watch.
    pub kubernetes_deadline: Duration,
    /// How long before a call that takes members away its last questions may have been asked, at first.
    pub last_answer_max: Duration,
    /// How old a view that permits removals may be (S5).
    pub view_age_max: Duration,
    /// From sending a call without an answer to the first view that counts (S6).
    pub settle_after_send: Duration,
    /// Between the two views that have to agree (S6).
    pub settle_gap: Duration,
    /// How long members of such a call stay in the ledger: a signed call can still land (S6).
    pub linger: Duration,
    /// How long the list of a group may lack an accepted change: until then nothing is sent again (S8).
    pub listing_lag: Duration,
    /// How long after a takeover lists may lack what a predecessor's calls have changed: until then nothing is removed in the
    /// groups that it may have changed.
    pub takeover_lag: Duration,
    /// How long keys that were read from a Secret are used before it is read again.
    pub keys_age_max: Duration,
    /// How long before their end temporary keys are renewed, by the cloud's clock, if they last long enough. Source: the
    /// cloud's credentials library.
    pub keys_early: Duration,
    /// Keys that end sooner than this, by the cloud's clock, count as over: a caller signs with its keys for a while.
    pub keys_left_min: Duration,
    /// How long a token may be sent again (S10).
    pub token_reuse_max: Duration,
    /// Between the two answers that prove a group gone.
    pub gone_gap: Duration,
    /// Between the two views that make a stranger (S7).
    pub stranger_gap: Duration,
    /// How long an object waits for another one to take over, or to let go of, an entry that changes hands (S7).
    pub handover_max: Duration,
    /// How long after our removal a return counts as somebody undoing it (S8).
    pub return_window: Duration,
    /// How long a job may take before it counts as failed, and a scaling activity before status says that it does not end.
    pub job_patience: Duration,
    /// Until a parked member is tried again whose refusal may pass by itself, each time longer (S8).
    pub parked_soon: Vec<Duration>,
    /// Until any other parked member is tried again, and this one after that (S8).
    pub parked_retry: Duration,
    /// How soon a look at an account follows on what it is about: what comes together is looked at together.
    pub account_together: Duration,
    /// How often the number of objects that use an account is brought up to date at most.
    pub account_numbers: Duration,
    /// How often an account that works is looked at.
    pub account_look: Duration,
    /// The quick beat at first.
    pub quick_beat_min: Duration,
    /// The quick beat at last.
    pub quick_beat_max: Duration,
    /// The first delay after a failure.
    pub backoff_min: Duration,
    /// The last delay after failures in a row.
    pub backoff_max: Duration,
    /// How long a lease lasts without renewal (S9).
    pub lease_duration: Duration,
    /// How long the leader tries to renew before it gives up (S9).
    pub lease_renew_deadline: Duration,
    /// Between two looks at the lease (S9).
    pub lease_retry: Duration,
    /// How often something that keeps the operator from starting is said again.
    pub complain_every: Duration,
    /// How long a watch may fail until the replica counts as unready.
    pub watch_failing_max: Duration,
    /// How long one second of a spec takes.
    second: Duration,
    /// The source of jitter, and of everything else that is drawn.
    pub chance: Chance,
    wall: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Timing {
    /// The durations of production.
    #[must_use]
    pub fn production() -> Self {
        Self {
            connect_deadline: Duration::from_secs(3),
            read_deadline: Duration::from_secs(15),
            mutation_deadline: Duration::from_secs(8),
            connection_idle: Duration::from_secs(50),
            share_window: Duration::from_millis(20),
            rate_minute: Duration::from_mins(1),
            rate_cooldown: Duration::from_secs(10),
            cloud_clock_error: Duration::from_secs(1),
            answer_age_max: Duration::from_secs(5),
            hint_max: Duration::from_mins(1),
            soon: Duration::from_millis(5),
            kubernetes_deadline: Duration::from_secs(10),
            last_answer_max: Duration::from_secs(1),
            view_age_max: Duration::from_mins(1),
            settle_after_send: Duration::from_mins(1),
            settle_gap: Duration::from_secs(5),
            linger: Duration::from_mins(15),
            listing_lag: Duration::from_secs(30),
            takeover_lag: Duration::from_secs(30),
            keys_age_max: Duration::from_secs(10),
            keys_early: Duration::from_mins(15),
            keys_left_min: Duration::from_mins(1),
            token_reuse_max: Duration::from_mins(10),
            gone_gap: Duration::from_secs(30),
            stranger_gap: Duration::from_mins(1),
            handover_max: Duration::from_mins(15),
            return_window: Duration::from_hours(1),
            job_patience: Duration::from_mins(15),
            parked_soon: [30, 60, 120, 300, 900].map(Duration::from_secs).to_vec(),
            parked_retry: Duration::from_hours(1),
            account_together: Duration::from_secs(1),
            account_numbers: Duration::from_secs(30),
            account_look: Duration::from_mins(5),
            quick_beat_min: Duration::from_secs(2),
            quick_beat_max: Duration::from_secs(30),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_mins(5),
            lease_duration: Duration::from_secs(15),
            lease_renew_deadline: Duration::from_secs(10),
            lease_retry: Duration::from_secs(2),
            complain_every: Duration::from_mins(1),
            watch_failing_max: Duration::from_mins(1),
            second: Duration::from_secs(1),
            chance: Chance::of_system(),
            wall: Arc::new(Timestamp::now),
        }
    }

    /// The durations of production, `factor` times as fast.
    ///
    /// Deadlines of input and output stay: a slow machine must not look like a broken one. So does the lease,
    /// whose length has to exceed a changing call's deadline.
    #[must_use]
    pub fn scaled(factor: f64) -> Self {
        let whole = Self::production();
        let fast = |duration: Duration| duration.div_f64(factor);
        Self {
            share_window: fast(whole.share_window),
            rate_minute: fast(whole.rate_minute),
            rate_cooldown: fast(whole.rate_cooldown),
            settle_after_send: fast(whole.settle_after_send),
            settle_gap: fast(whole.settle_gap),
            linger: fast(whole.linger),
            listing_lag: fast(whole.listing_lag),
            takeover_lag: fast(whole.takeover_lag),
            keys_age_max: fast(whole.keys_age_max),
            token_reuse_max: fast(whole.token_reuse_max),
            gone_gap: fast(whole.gone_gap),
            stranger_gap: fast(whole.stranger_gap),
            handover_max: fast(whole.handover_max),
            return_window: fast(whole.return_window),
            job_patience: fast(whole.job_patience),
            parked_soon: whole.parked_soon.iter().copied().map(fast).collect(),
            parked_retry: fast(whole.parked_retry),
            account_together: fast(whole.account_together),
            account_numbers: fast(whole.account_numbers),
            account_look: fast(whole.account_look),
            quick_beat_min: fast(whole.quick_beat_min),
            quick_beat_max: fast(whole.quick_beat_max),
            backoff_min: fast(whole.backoff_min),
            backoff_max: fast(whole.backoff_max),
            complain_every: fast(whole.complain_every),
            watch_failing_max: fast(whole.watch_failing_max),
            second: fast(whole.second),
            ..whole
        }
    }

    /// The same with another wall clock.
    #[must_use]
    pub fn with_wall_clock(self, wall: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            wall: Arc::new(wall),
            ..self
        }
    }

    /// The same with other random numbers.
    #[must_use]
    pub fn with_chance(self, chance: Chance) -> Self {
        Self { chance, ..self }
    }

    /// The time by the wall clock.
    #[must_use]
    pub fn wall_now(&self) -> Timestamp {
        (self.wall)()
    }

    /// How long a duration in a spec takes, given in seconds; a negative one takes none.
    #[must_use]
    pub fn interval(&self, seconds: i64) -> Duration {
        self.second
            .saturating_mul(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX))
    }
}

impl fmt::Debug for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timing")
            .field("second", &self.second)
            .finish_non_exhaustive()
    }
}

/// The first whole second no earlier than `wait` after `now`: status can only write whole seconds.
#[must_use]
pub fn whole_second_after(now: Timestamp, wait: Duration) -> Timestamp {
    let end = now.saturating_add(wait).unwrap_or(now);
    let up = i64::from(end.subsec_nanosecond() > 0);
    Timestamp::from_second(end.as_second() + up).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_never_ends_early_for_being_written_in_whole_seconds() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-01-01T00:00:00.2Z");
        let end = whole_second_after(now, Duration::from_mins(1));
        assert_eq!(end, at("2026-01-01T00:01:01Z"));
        let end = whole_second_after(at("2026-01-01T00:00:00Z"), Duration::from_mins(1));
        assert_eq!(end, at("2026-01-01T00:01:00Z"));
    }
}
