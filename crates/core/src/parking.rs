//! What is left alone because the cloud refused it, or because somebody else brings it back (S8).

use std::fmt;

/// Returns after which an entry is left to whoever brings it.
pub const RETURNS_MAX: u32 = 3;

/// How the reason begins that status gives for an entry that keeps coming back.
const CONTENDED: &str = "Contended";

/// Why an entry is left alone, as status says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftAlone {
    /// The cloud refused it, in these words. It is tried again.
    Refused(String),
    /// It came back after it was removed, again and again.
    Contended,
}

impl LeftAlone {
    /// Reads what status says.
    #[must_use]
    pub fn read(written: &str) -> Self {
        if written.starts_with(CONTENDED) {
            Self::Contended
        } else {
            Self::Refused(written.to_owned())
        }
    }
}

impl fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(words) => f.write_str(words),
            Self::Contended => write!(
                f,
                "{CONTENDED}: removed, and back {RETURNS_MAX} times; it is left to whoever brings it"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_status_says_is_read_back_as_it_was_meant() {
        let refused = LeftAlone::Refused("QuotaExceeded: no room".into());
        for why in [refused, LeftAlone::Contended] {
            assert_eq!(LeftAlone::read(&why.to_string()), why);
        }
    }
}
