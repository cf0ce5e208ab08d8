//! Which share of a quota to use, learnt from where the cloud said *too many*.
//!
//! The cloud counts the calls of a sliding window, so what others leave shows as a sharp edge, but late: the window
//! has to fill first. The share therefore returns to where it was last too many along a cubic curve, as TCP CUBIC does:
//! quickly while far below, hardly moving at the edge where most of the time is spent, and ever faster beyond it,
//! since an edge that is not there any more has moved far. One refusal tells the edge to within a tenth; another one soon
//! after it tells that others have come, and how many is unknown.
//!
//! ```text
//!  share                                            ╭ most
//!                                                  ╱
//!   edge ┈┈┈┈┈╮┈┈┈┈┈┈┈┈╭──────────╯┈┈┈┈┈┈
//!             │    ╭───╯
//!             ╰───╯             time ─▶
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// The share at first: half of the quota.
pub(super) const FIRST: f64 = 0.5;

/// The share that is never exceeded.
pub(super) const MOST: f64 = 0.9;

/// The share that it never comes below: only calls find out how much others leave.
pub(super) const LEAST: f64 = 0.025;

/// The part by which the share comes down when it was too much.
const STEP: f64 = 0.1;

/// The part by which it comes down when it was too much soon after it had come down.
const PLUNGE: f64 = 0.5;

/// The number of lags until it is back at the edge.
const RETURN: f64 = 4.0;

/// The number of lags that count as soon: the window is still full of calls that left before the share came down, and
/// another such time passes until it is not.
const SOON: u32 = 2;

/// A share of a quota as time passes.
pub(super) struct Share {
    /// The share that was last too much; half of the quota at first.
    edge: f64,
    /// The part by which the share came down from the edge.
    depth: f64,
    /// Where on its way the share was at `since`: -1 where it comes down, 0 at the edge.
    from: f64,
    since: Instant,
    /// When it last came down.
    came_down: Option<Instant>,
    /// How late it shows that the share was too much, and how long the effect of coming down takes to show.
    lag: Duration,
    /// How long a refusal stands for the next ones too.
    cooldown: Duration,
}

impl Share {
    /// Half of a quota that counts the calls of `window`.
    pub(super) fn new(window: Duration, cooldown: Duration, now: Instant) -> Self {
        let lag = window.max(cooldown);
        Self {
            // As if it had just come back to an edge that nobody has seen.
            edge: FIRST,
            depth: PLUNGE,
            from: 0.0,
            since: now,
            came_down: None,
            lag,
            cooldown,
        }
    }

    /// The share at a moment, between [`LEAST`] and [`MOST`].
    pub(super) fn at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        let way = self.from + passed / (self.lag.as_secs_f64() * RETURN);
        (self.edge * (1.0 + self.depth * way.powi(3))).clamp(LEAST, MOST)
    }

    /// Takes in that it was too much: it comes down, once for all refusals of a cooldown.
    pub(super) fn too_much(&mut self, now: Instant) {
        let within = |time| self.came_down.is_some_and(|at| now < at + time);
        if within(self.cooldown) {
            return;
        }
        let soon = within(self.lag * SOON);
        self.edge = self.at(now);
        self.depth = if soon { PLUNGE } else { STEP };
        (self.from, self.since, self.came_down) = (-1.0, now, Some(now));
    }
}
