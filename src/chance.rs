//! The source of random numbers: `main` hands it in, and a caller that wants the same numbers again hands in a seed.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;

/// A source of random numbers. Clones draw from the same one.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<fastrand::Rng>>);

impl Chance {
    /// Seeded by the system.
    #[must_use]
    pub fn of_system() -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::new())))
    }

    /// The same numbers for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// A number from 0 to just below 1.
    pub fn fraction(&self) -> f64 {
        self.0.lock().f64()
    }

    /// A random part of `most`.
    pub fn part_of(&self, most: Duration) -> Duration {
        most.mul_f64(self.fraction())
    }

    /// `digits` hexadecimal digits, of which up to 32 are random.
    pub fn hexadecimal(&self, digits: usize) -> String {
        let text = format!("{:032x}", self.0.lock().u128(..));
        text[text.len().saturating_sub(digits)..].to_owned()
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers() {
        let drawn = |seed| {
            let chance = Chance::seeded(seed);
            (chance.hexadecimal(32), chance.hexadecimal(8))
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert_eq!(drawn(1).1.len(), 8);
    }
}
