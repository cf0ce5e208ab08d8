//! How many members may stop serving (S3, S4): plain arithmetic, used by the planner and by no one else.

use crate::amount::Amount;

/// How many members serve in a group at one moment. Health is not part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Listed members whose weight is not 0, serving or not.
    pub wanted: usize,
    /// Listed members that serve.
    pub desired: usize,
    /// Members that have to go, ours or confirmed strangers, and still serve.
    pub surplus: usize,
    /// All members that serve, other people's included.
    pub total: usize,
}

/// The number of serving members below which no call of ours may bring a group (S4).
///
/// `wanted` is 0 at deletion.
#[must_use]
pub fn floor(min_serving: Amount, wanted: usize, allow_empty: bool) -> usize {
    min_serving
        .rounded_up(wanted)
        .min(wanted)
        .max(usize::from(!allow_empty))
}

impl Serving {
    /// How many surplus members may go without the swap dipping (S3).
    ///
    /// `dip` is the number by which the swap may dip where the group has no room for the new members.
    #[must_use]
    pub fn replaced(&self, dip: usize) -> usize {
        (self.desired + self.surplus).saturating_sub(self.wanted.saturating_sub(dip))
    }

    /// How many members may stop serving before `floor` is reached (S4).
    #[must_use]
    pub fn above(&self, floor: usize) -> usize {
        self.total.saturating_sub(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_one_unless_empty_is_allowed() {
        let one = Amount::Count(1);
        assert_eq!(floor(one, 0, false), 1);
        assert_eq!(floor(one, 0, true), 0);
        assert_eq!(floor(Amount::Count(5), 3, false), 3);
        assert_eq!(floor(Amount::Percent(50), 5, false), 3);
        assert_eq!(floor(Amount::Count(0), 5, true), 0);
    }

    #[test]
    fn one_bad_new_server_holds_back_one_old_one() {
        let swap = Serving {
            wanted: 10,
            desired: 9,
            surplus: 10,
            total: 19,
        };
        assert_eq!(swap.replaced(0), 9);
        let started = Serving {
            wanted: 10,
            desired: 0,
            surplus: 10,
            total: 10,
        };
        assert_eq!(started.replaced(0), 0);
        assert_eq!(started.replaced(2), 2);
    }
}
