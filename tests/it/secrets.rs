//! Keys stay secret: whatever operators log at trace level, whatever they send to Kubernetes (status, events, the lease),
//! and their metrics are searched for every key that the simulated cloud knows or gives out.

use std::{collections::BTreeSet, sync::LazyLock};

use parking_lot::Mutex;

/// The keys with which tests begin.
const GIVEN: [&str; 3] = [
    "simulated-secret",
    "other-secret",
    "simulated-metadata-token",
];

/// How keys and tokens begin that the simulated cloud gives out; a number of six digits follows.
const DRAWN: [&str; 2] = ["secret-", "token-"];

/// Texts that tell a key, from all operators of all tests.
static TOLD: LazyLock<Keys> = LazyLock::new(Keys::default);

#[derive(Debug, Default)]
struct Keys(Mutex<BTreeSet<String>>);

impl Keys {
    fn search(&self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        if tells_a_key(&text) {
            self.0.lock().insert(text.into_owned());
        }
    }

    fn complain(&self) {
        let told = self.0.lock();
        let told: Vec<_> = told.iter().take(3).collect();
        assert!(
            told.is_empty() || std::thread::panicking(),
            "a key was told by the operator of this or of another test: {told:#?}"
        );
    }
}

fn tells_a_key(text: &str) -> bool {
    let drawn = |after: &str| {
        let number = after.as_bytes().get(..6);
        number.is_some_and(|number| number.iter().all(u8::is_ascii_digit))
    };
    GIVEN.iter().any(|key| text.contains(key))
        || DRAWN
            .iter()
            .any(|begin| text.split(begin).skip(1).any(drawn))
}

/// Searches a text that people or programs see.
pub fn search(text: &[u8]) {
    TOLD.search(text);
}

/// Makes a test fail if any key was told.
pub fn complain() {
    TOLD.complain();
}

#[test]
fn a_key_is_found_and_what_only_looks_like_one_is_not() {
    for told in [
        r#"{"message":"refused simulated-secret"}"#,
        "{\"note\": \"key secret-000012-0A1B2C3D\"}",
        "token token-000001-FFFFFFFF",
    ] {
        assert!(tells_a_key(told), "{told}");
    }
    for harmless in [
        "Secret server-group-operator-keys",
        "secret-keeper",
        "token-",
        "",
    ] {
        assert!(!tells_a_key(harmless), "{harmless}");
    }
}

#[test]
#[should_panic(expected = "simulated-secret")]
fn a_key_that_is_told_fails_a_test() {
    let keys = Keys::default();
    keys.search(b"nothing");
    keys.complain();
    keys.search(b"it is simulated-secret");
    keys.complain();
}
