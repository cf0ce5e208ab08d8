//! A dead leader is replaced (L5).

use std::time::Duration;

use super::Oracles;

/// A lease and 5 s, and two looks at it that take their time.
const REPLACED: Duration = Duration::from_secs(23);

impl Oracles {
    /// Something happened to a replica, or it has just begun: from now on it may be expected to take over.
    pub fn replica_is_well(&mut self, replica: usize, now: Duration) {
        self.well.insert(replica, now);
    }

    /// A replica ended, or stands still.
    pub fn replica_is_away(&mut self, replica: usize) {
        self.well.remove(&replica);
    }

    /// L5: when the lease is not renewed, a replica that is well takes it.
    pub fn somebody_leads(&mut self, now: Duration) {
        let since = match &self.lease {
            Some((_, renewed)) => *renewed,
            None => self.given_up,
        };
        if !self.elects || now < since + REPLACED {
            return;
        }
        self.ask("L5");
        // It may have waited for caches first.
        let able = self.well.iter().find(|(_, well)| **well + REPLACED < now);
        if let Some((replica, well)) = able {
            let text = format!(
                "L5: nobody leads at {now:?} since {since:?}, though replica {replica} is well since {well:?}"
            );
            self.breaks(text);
        }
    }
}
