//! Names of operations and tokens of batches (S10).

use std::fmt::{Display, Write};

use sha2::{Digest, Sha256};

use crate::chance::Chance;

/// Draws the id of a new operation: 32 hexadecimal digits.
#[must_use]
pub fn draw_id(chance: &Chance) -> String {
    chance.hexadecimal(32)
}

/// The `ClientToken` of one batch: 64 hexadecimal digits, the most that ESS takes.
///
/// It derives from the operation's random id, so that no two operations share one, and from what is done to
/// whom, so that it never stands for anything else.
#[must_use]
pub fn token<K: Display>(operation: &str, action: &str, sorted: &[K]) -> String {
    let mut hash = Sha256::new();
    for part in [operation, action] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    for key in sorted {
        hash.update(key.to_string().as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_for_one_content_of_one_operation() {
        let token_of = |operation, action, keys: &[&str]| token(operation, action, keys);
        let one = token_of("op", "Add", &["a", "b"]);
        assert_eq!(one, token_of("op", "Add", &["a", "b"]));
        for other in [
            token_of("op2", "Add", &["a", "b"]),
            token_of("op", "Remove", &["a", "b"]),
            token_of("op", "Add", &["ab"]),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one.len(), 64);
        assert!(one.is_ascii());
    }

    #[test]
    fn no_two_operations_share_an_id() {
        let chance = Chance::seeded(1);
        assert_ne!(draw_id(&chance), draw_id(&chance));
    }
}
