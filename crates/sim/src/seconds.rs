//! The unit of the simulator's own time.

/// Seconds of the simulator's own time.
pub type Seconds = f64;
