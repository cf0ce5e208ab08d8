//! Scripted faults: what goes wrong, with which calls.

use serde::Deserialize;

/// A fault, and the calls it befalls.
#[derive(Clone, Debug, Deserialize)]
pub struct Fault {
    /// The action; absent = any.
    #[serde(default)]
    pub action: Option<String>,
    /// The group or scaling group; absent = any.
    #[serde(default)]
    pub resource: Option<String>,
    /// How many calls that fit go well first.
    #[serde(default)]
    pub skip: u32,
    /// How many calls it befalls.
    #[serde(default = "once")]
    pub times: u32,
    /// After one that it befalls, so many that fit go well before the next.
    #[serde(default)]
    pub every: u32,
    /// What goes wrong.
    pub what: What,
}

const fn once() -> u32 {
    1
}

/// What goes wrong.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// Refused as too many; nothing is done.
    Throttle,
    /// Refused with this status and code; nothing is done.
    Refuse {
        /// HTTP status.
        status: u16,
        /// Code.
        code: String,
    },
    /// No answer and nothing done: the connection stays open until the client gives up.
    Hang,
    /// Done, and the answer is lost.
    LoseAnswerAfter,
    /// Not done, and the connection breaks.
    LoseAnswerBefore,
    /// The connection breaks, and the call is carried out so many seconds of simulated time later.
    Late {
        /// Seconds.
        seconds: f64,
    },
    /// A list lacks its last row, though the total counts it.
    Truncate,
    /// A list has its first row twice.
    Repeat,
    /// A list shows what it showed when the fault was made.
    Stale,
    /// The body is not JSON.
    Html,
    /// The body goes on for 16 MiB.
    Huge,
    /// Another address is named.
    Redirect,
}

impl Fault {
    /// Every call of `action`, so many times.
    #[must_use]
    pub fn on(action: &str, what: What) -> Self {
        Self {
            action: Some(action.to_owned()),
            resource: None,
            skip: 0,
            times: 1,
            every: 0,
            what,
        }
    }

    /// So many times.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// After so many that go well.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// With so many that go well between two.
    #[must_use]
    pub fn every(self, every: u32) -> Self {
        Self { every, ..self }
    }

    /// Whether it befalls this call; counts it if it fits.
    pub(crate) fn befalls(&mut self, action: &str, resource: &str) -> bool {
        let fits = self.action.as_ref().is_none_or(|wanted| wanted == action)
            && self
                .resource
                .as_ref()
                .is_none_or(|wanted| wanted == resource);
        if !fits || self.times == 0 {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        self.skip = self.every;
        true
    }
}
