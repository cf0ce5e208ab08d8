//! Where keys come from: one source per file. A source that fails is an error; nothing falls back.

mod environment;
mod instance_role;
mod issued;
mod oidc;
mod refresh;
mod role;
mod secret;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use secrecy::{ExposeSecret, SecretString};

use super::{Error, Kind, Network, Transport};
use refresh::{Issuer, Refresher};

pub use environment::Environment;
pub use instance_role::InstanceRole;
pub use oidc::Oidc;
pub use refresh::KeysStand;
pub use role::Role;
pub use secret::{ReadSecret, keys_of_secret};

/// One set of keys. It is neither printed nor compared by its value elsewhere.
#[derive(Clone)]
pub struct Keys {
    /// The access key id; not a secret, and still not for logs. Empty for a caller that has a token alone, and signs
    /// nothing.
    pub id: String,
    /// The access key secret.
    pub secret: SecretString,
    /// The token of temporary keys.
    pub token: Option<SecretString>,
}

impl Keys {
    /// The keys of a caller that carries a token, and no keys that could sign.
    #[must_use]
    pub fn bearer(token: SecretString) -> Self {
        Self {
            id: String::new(),
            secret: SecretString::default(),
            token: Some(token),
        }
    }

    fn same(&self, other: &Self) -> bool {
        let token = |keys: &Self| keys.token.clone().unwrap_or_default();
        self.id == other.id
            && self.secret.expose_secret() == other.secret.expose_secret()
            && token(self).expose_secret() == token(other).expose_secret()
    }
}

/// A source of keys, asked at every use, so that a rotated key is found. Clones share what was found.
#[derive(Clone)]
pub struct Credential(Source);

#[derive(Clone)]
enum Source {
    Environment(Environment),
    Fixed(Keys),
    Pinned(Keys, Arc<Credential>),
    Refreshed(Arc<Refresher>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(***)")
    }
}

/// Where a source asks STS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Part of the host.
    pub region: String,
    /// Which endpoint.
    pub network: Network,
}

/// Keys that could not be had: why, and what it means. Carries no key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unavailable {
    /// The fault, and what to do about it.
    pub message: String,
    /// [`Kind::Transient`] if it passes by itself.
    pub kind: Kind,
}

impl Unavailable {
    /// A person has to do something.
    pub fn because(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            kind: Kind::Credentials,
        }
    }

    /// It passes by itself.
    pub fn passing(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            kind: Kind::Transient,
        }
    }

    /// The call that gets them failed; `advice` is for when that is the account's fault.
    fn after(error: &Error, advice: &str) -> Self {
        let words = error.words();
        match error.kind {
            Kind::Throttled | Kind::Transient | Kind::Busy | Kind::Malformed => {
                Self::passing(words)
            }
            kind @ (Kind::ClockSkew | Kind::WrongEndpoint) => Self {
                message: words,
                kind,
            },
            _ => Self::because(format!("{words}; {advice}")),
        }
    }

    fn passes(&self) -> bool {
        self.kind == Kind::Transient
    }
}

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

    /// A Secret, which `read` reads.
    #[must_use]
    pub fn secret(read: ReadSecret, transport: &Transport) -> Self {
        Self::refreshed(Issuer::Secret(read), transport)
    }

    /// The role of a service account.
    #[must_use]
    pub fn oidc(oidc: Oidc, environment: Environment, transport: &Transport, place: Place) -> Self {
        Self::refreshed(Issuer::Oidc(oidc, environment, place), transport)
    }

    /// The role of the instance.
    #[must_use]
    pub fn instance_role(role: InstanceRole, transport: &Transport) -> Self {
        Self::refreshed(Issuer::InstanceRole(role), transport)
    }

    /// A role that this source may assume.
    #[must_use]
    pub fn assuming(self, role: Role, transport: &Transport, place: Place) -> Self {
        Self::refreshed(Issuer::Role(role, Box::new(self), place), transport)
    }

    fn refreshed(issuer: Issuer, transport: &Transport) -> Self {
        Self(Source::Refreshed(Arc::new(Refresher::new(
            issuer,
            transport.clone(),
        ))))
    }

    /// How it stands; `None` if it has its keys at hand.
    #[must_use]
    pub fn stands(&self) -> Option<KeysStand> {
        match &self.0 {
            Source::Environment(_) | Source::Fixed(_) | Source::Pinned(..) => None,
            Source::Refreshed(refresher) => Some(refresher.stands()),
        }
    }

    /// The keys as they are now.
    ///
    /// # Errors
    ///
    /// [`Unavailable`], which names what is missing.
    pub async fn keys(&self) -> Result<Keys, Unavailable> {
        match &self.0 {
            Source::Environment(environment) => environment.keys(),
            Source::Fixed(keys) | Source::Pinned(keys, _) => Ok(keys.clone()),
            Source::Refreshed(refresher) => refresher.keys().await,
        }
    }

    /// The same with the keys of this moment, whatever the source has later.
    ///
    /// # Errors
    ///
    /// As [`Credential::keys`].
    pub async fn pinned(&self) -> Result<Self, Unavailable> {
        let keys = self.keys().await?;
        Ok(Self(Source::Pinned(keys, Arc::new(self.clone()))))
    }

    /// The cloud does not take these keys: they are not handed out again where others can be had. Returns whether
    /// asking again may give others.
    pub(super) fn refused(&self, keys: &Keys) -> bool {
        match &self.0 {
            Source::Environment(_) => true,
            Source::Fixed(_) => false,
            Source::Pinned(_, source) => {
                source.refused(keys);
                false
            }
            Source::Refreshed(refresher) => {
                refresher.refused(keys);
                true
            }
        }
    }
}
