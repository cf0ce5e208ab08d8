//! Where keys come from: one source per file. A source that fails is an error; nothing falls back.

mod environment;

use std::fmt;

use secrecy::SecretString;

/// One set of keys.
#[derive(Clone)]
pub struct Keys {
    /// The access key id; not a secret, and still not for logs.
    pub id: String,
    /// The access key secret.
    pub secret: SecretString,
    /// The token of temporary keys.
    pub token: Option<SecretString>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(***)")
    }
}

/// A source of keys, asked at every use, so that a rotated key is found.
#[derive(Clone, Debug)]
pub struct Credential(Source);

#[derive(Clone, Debug)]
enum Source {
    Environment,
    Fixed(Keys),
}

/// Keys that could not be had: from where, and why. Carries no key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

impl Credential {
    /// The operator's own environment.
    #[must_use]
    pub const fn environment() -> Self {
        Self(Source::Environment)
    }

    /// Keys that never change.
    #[must_use]
    pub const fn fixed(keys: Keys) -> Self {
        Self(Source::Fixed(keys))
    }

    /// The keys as they are now.
    ///
    /// # Errors
    ///
    /// [`Unavailable`], which names what is missing.
    #[expect(
        clippy::unused_async,
        reason = "the sources to come ask over the network"
    )]
    pub async fn keys(&self) -> Result<Keys, Unavailable> {
        match &self.0 {
            Source::Environment => environment::keys(|name| std::env::var(name).ok()),
            Source::Fixed(keys) => Ok(keys.clone()),
        }
    }
}
