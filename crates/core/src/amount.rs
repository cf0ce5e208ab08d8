//! A number that may be written as a count or as a percentage.

use std::str::FromStr;

/// A count, or a share of the desired members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many members.
    Count(usize),
    /// So many in a hundred of the desired members, `0..=100`.
    Percent(usize),
}

/// The text is neither a whole number nor a percentage between `0%` and `100%`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnAmount;

impl Amount {
    /// The count this stands for among `total`, rounded up: the safe side for a minimum.
    #[must_use]
    pub fn rounded_up(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (total * percent).div_ceil(100),
        }
    }

    /// The count this stands for among `total`, rounded down, but at least 1 unless 0 was written:
    /// the safe side for a maximum that must still allow progress.
    #[must_use]
    pub fn rounded_down(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(0) => 0,
            Self::Percent(percent) => (total * percent / 100).max(1),
        }
    }
}

impl FromStr for Amount {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Self, NotAnAmount> {
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotAnAmount);
        }
        let number = digits.parse().map_err(|_| NotAnAmount)?;
        match percent {
            true if number > 100 => Err(NotAnAmount),
            true => Ok(Self::Percent(number)),
            false => Ok(Self::Count(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_the_safe_side() {
        let quarter: Amount = "25%".parse().unwrap();
        assert_eq!((quarter.rounded_up(10), quarter.rounded_down(10)), (3, 2));
        assert_eq!((quarter.rounded_up(1), quarter.rounded_down(1)), (1, 1));
        let none: Amount = "0%".parse().unwrap();
        assert_eq!((none.rounded_up(10), none.rounded_down(10)), (0, 0));
        assert_eq!("7".parse(), Ok(Amount::Count(7)));
    }

    #[test]
    fn refuses_what_is_not_an_amount() {
        for text in ["", "%", "101%", "-1", "+1", "1.5", "10 %", "x"] {
            assert_eq!(text.parse::<Amount>(), Err(NotAnAmount), "{text:?}");
        }
    }
}
