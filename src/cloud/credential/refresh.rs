//! Keys that are asked for: once, not once a caller; anew before they end; and no oftener than a failure allows.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::{
    Credential, Environment, InstanceRole, Keys, Oidc, Place, ReadSecret, Role, Unavailable,
    issued::Issued,
};
use crate::{cloud::Transport, timing::Timing};

/// The source that is asked for keys.
pub(super) enum Issuer {
    Secret(ReadSecret),
    Oidc(Oidc, Environment, Place),
    InstanceRole(InstanceRole),
    Role(Role, Box<Credential>, Place),
}

impl Issuer {
    /// Boxed, because a source that assumes a role asks another source first.
    fn issue<'a>(
        &'a self,
        transport: &'a Transport,
    ) -> BoxFuture<'a, Result<Current, Unavailable>> {
        async move {
            let issued = match self {
                Self::Secret(read) => {
                    return Ok(Current::looked_up(read().await?, transport.timing()));
                }
                Self::Oidc(oidc, environment, place) => {
                    oidc.issue(environment, transport, place).await
                }
                Self::InstanceRole(role) => role.issue(transport).await,
                Self::Role(role, base, place) => role.issue(base, transport, place).await,
            };
            Current::temporary(issued?, transport.cloud_now(), transport.timing())
        }
        .boxed()
    }
}

/// Keys, and until when they are good.
struct Current {
    keys: Keys,
    lasts: Lasts,
    since: Instant,
}

enum Lasts {
    /// Somebody may replace them at any time: they are read again before a use after this moment.
    Looked(Instant),
    /// They end by themselves, by the cloud's clock, and are renewed before.
    Until {
        renew: Timestamp,
        expires: Timestamp,
    },
}

impl Current {
    fn looked_up(keys: Keys, timing: &Timing) -> Self {
        let now = Instant::now();
        Self {
            keys,
            lasts: Lasts::Looked(now + timing.keys_age_max),
            since: now,
        }
    }

    /// The service of an instance gives the same keys until it renews them: the closer their end, the oftener it is asked.
    fn temporary(issued: Issued, now: Timestamp, timing: &Timing) -> Result<Self, Unavailable> {
        let Issued { keys, expires } = issued;
        let left = left(expires, now);
        if left <= timing.keys_left_min {
            return Err(Unavailable::passing(
                "temporary keys were given that are over, or nearly; see whether the clock of this machine is right",
            ));
        }
        let early = (left / 3).min(timing.keys_early);
        let early = early + timing.chance.part_of(early / 3);
        Ok(Self {
            keys,
            lasts: Lasts::Until {
                renew: expires.saturating_sub(early).unwrap_or(now),
                expires,
            },
            since: Instant::now(),
        })
    }
}

/// How long keys last that end at `expires`.
fn left(expires: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(expires.duration_since(now)).unwrap_or_default()
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    failed: Option<Failed>,
    /// Failures in a row.
    failures: u32,
    /// Whether the last of them was that the cloud did not take new keys.
    refused: bool,
}

struct Failed {
    error: Unavailable,
    until: Instant,
}

impl State {
    fn fail(&mut self, error: Unavailable, longest: Duration, timing: &Timing) {
        self.failures = self.failures.saturating_add(1);
        let grown = timing
            .backoff_min
            .saturating_mul(1 << self.failures.min(16));
        let wait = grown.min(longest);
        let wait = wait / 2 + timing.chance.part_of(wait / 2);
        let until = Instant::now() + wait;
        self.failed = Some(Failed { error, until });
    }
}

/// How a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysStand {
    /// The kind of source.
    pub source: &'static str,
    /// How long ago the keys in use were had from it.
    pub age: Option<Duration>,
    /// How long they last yet, if they end by themselves.
    pub left: Option<Duration>,
    /// Whether it gave none when it was last asked.
    pub failing: bool,
}

/// The result that can be had without asking.
enum Look {
    Have(Keys),
    /// Good still, and it is time to ask for others.
    Renew(Keys),
    Fail(Unavailable),
    Lack,
}

/// One source that is asked, for all who use it.
pub(super) struct Refresher {
    issuer: Issuer,
    transport: Transport,
    state: Mutex<State>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Refresher {
    pub(super) fn new(issuer: Issuer, transport: Transport) -> Self {
        Self {
            issuer,
            transport,
            state: Mutex::default(),
            turn: Arc::default(),
        }
    }

    /// The keys in use. Only a caller that has none waits for new ones.
    pub(super) async fn keys(self: &Arc<Self>) -> Result<Keys, Unavailable> {
        match self.look() {
            Look::Have(keys) => return Ok(keys),
            Look::Fail(error) => return Err(error),
            Look::Renew(keys) => {
                if let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() {
                    let this = Arc::clone(self);
                    tokio::spawn(async move { this.refresh(turn).await });
                }
                return Ok(keys);
            }
            Look::Lack => {}
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        match self.look() {
            Look::Have(keys) | Look::Renew(keys) => return Ok(keys),
            Look::Fail(error) => return Err(error),
            Look::Lack => self.refresh(turn).await,
        }
        match self.look() {
            Look::Have(keys) | Look::Renew(keys) => Ok(keys),
            Look::Fail(error) => Err(error),
            // The delay after a failure, or the new keys, are over already.
            Look::Lack => Err(self.state.lock().failed.as_ref().map_or_else(
                || Unavailable::passing("the keys are out of date; trying again"),
                |failed| failed.error.clone(),
            )),
        }
    }

    pub(super) fn stands(&self) -> KeysStand {
        let state = self.state.lock();
        let current = state.current.as_ref();
        KeysStand {
            source: match &self.issuer {
                Issuer::Secret(_) => "Secret",
                Issuer::Oidc(..) => "OIDC",
                Issuer::InstanceRole(_) => "InstanceRole",
                Issuer::Role(..) => "AssumeRole",
            },
            age: current.map(|current| current.since.elapsed()),
            left: current.and_then(|current| match current.lasts {
                Lasts::Looked(_) => None,
                Lasts::Until { expires, .. } => Some(left(expires, self.transport.cloud_now())),
            }),
            failing: state.failed.is_some(),
        }
    }

    fn look(&self) -> Look {
        let state = self.state.lock();
        let now = Instant::now();
        let failed = state.failed.as_ref().filter(|failed| now < failed.until);
        let lack = || failed.map_or(Look::Lack, |failed| Look::Fail(failed.error.clone()));
        let Some(Current { keys, lasts, .. }) = &state.current else {
            return lack();
        };
        match lasts {
            Lasts::Looked(again) if now < *again || failed.is_some() => Look::Have(keys.clone()),
            Lasts::Looked(_) => Look::Lack,
            Lasts::Until { renew, expires } => {
                let now = self.transport.cloud_now();
                match left(*expires, now) > self.transport.timing().keys_left_min {
                    true if now < *renew || failed.is_some() => Look::Have(keys.clone()),
                    true => Look::Renew(keys.clone()),
                    false => lack(),
                }
            }
        }
    }

    async fn refresh(&self, _turn: OwnedMutexGuard<()>) {
        let issued = self.issuer.issue(&self.transport).await;
        let timing = self.transport.timing();
        let mut state = self.state.lock();
        match issued {
            Ok(current) => {
                // Keys that replace others say nothing yet about whether the cloud takes them.
                if state.current.is_some() || !state.refused {
                    (state.failures, state.refused) = (0, false);
                }
                (state.current, state.failed) = (Some(current), None);
            }
            Err(error) => {
                tracing::warn!(%error, "keys cannot be had");
                let longest = match &self.issuer {
                    Issuer::Secret(_) => timing.keys_age_max,
                    _ => timing.backoff_max,
                };
                // Keys that somebody took away are used no longer. Temporary keys were given for a time, and that is
                // not over.
                if matches!(self.issuer, Issuer::Secret(_)) && !error.passes() {
                    state.current = None;
                }
                state.fail(error, longest, timing);
            }
        }
    }

    /// The cloud does not take `keys`.
    pub(super) fn refused(&self, keys: &Keys) {
        let timing = self.transport.timing();
        let mut state = self.state.lock();
        let Some(current) = state.current.as_mut().filter(|had| had.keys.same(keys)) else {
            return;
        };
        if let Lasts::Looked(again) = &mut current.lasts {
            *again = Instant::now();
            return;
        }
        let young = current.since.elapsed() < timing.backoff_max;
        (state.current, state.refused) = (None, young);
        if young {
            let error = Unavailable::passing(
                "the cloud does not take the temporary keys that it just gave; trying again",
            );
            state.fail(error, timing.backoff_max, timing);
        }
    }
}
