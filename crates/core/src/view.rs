//! A whole view of a group, as far as earlier calls are judged by it.

use std::time::Duration;

/// When a whole view was had, and whether its group was idle. Times are durations since one moment that the caller
/// chose.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// When it was asked for.
    pub begun: Duration,
    /// When it is taken in.
    pub now: Duration,
    /// Whether nothing runs on the group.
    pub idle: bool,
}
