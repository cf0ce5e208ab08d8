//! Where keys come from: one source per file. A source that fails is an error; nothing falls back.

mod environment;

use std::{fmt, sync::Arc};

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
    Environment(Environment),
    Fixed(Keys),
}

/// Variables by name: the operator's own, or others that a test hands in.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// The variables of this process, as they are when they are asked for.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// Variables from `get`.
    #[must_use]
    pub fn new(get: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(get))
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}

impl fmt::Debug for Environment {
    /// Names nothing: a value may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// Keys that could not be had: from where, and why. Carries no key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

impl Credential {
    /// The variables of an environment.
    #[must_use]
    pub const fn environment(environment: Environment) -> Self {
        Self(Source::Environment(environment))
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
            Source::Environment(environment) => environment::keys(|name| environment.get(name)),
            Source::Fixed(keys) => Ok(keys.clone()),
        }
    }
}
