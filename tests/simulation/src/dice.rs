//! What a seed decides. What is drawn for one thing does not depend on what was drawn before for others, so that a schedule
//! from which something is left out stays the same in all else.

use std::time::Duration;

/// Draws by name.
#[derive(Clone, Copy, Debug)]
pub struct Dice {
    seed: u64,
}

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Numbers for the thing that is called so.
    #[must_use]
    pub fn of(self, name: &str, nth: u64) -> fastrand::Rng {
        // FNV-1a: the same in every process and on every machine.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let bytes = name.bytes().chain(nth.to_le_bytes());
        for byte in bytes.chain(self.seed.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        fastrand::Rng::with_seed(hash)
    }

    /// How long one leg of a way takes: mostly some milliseconds, now and then much longer.
    #[must_use]
    pub fn leg(self, name: &str, nth: u64, usual: Duration, long: Duration) -> Duration {
        let mut random = self.of(name, nth);
        let most = match random.u32(0..20) {
            0 => long,
            _ => usual,
        };
        Duration::from_millis(1) + most.mul_f64(random.f64())
    }
}
