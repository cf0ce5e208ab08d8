//! Scripted faults: what goes wrong, with which calls.

use serde::Deserialize;

/// A fault, and the calls it befalls.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The service, such as `slb`; absent = any.
    #[serde(default)]
    pub service: Option<String>,
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
    /// The same, and the answer says after how many seconds to call again.
    ThrottleFor {
        /// Seconds.
        seconds: f64,
    },
    /// Refused with this status, code and message; nothing is done.
    RefuseWith {
        /// HTTP status.
        status: u16,
        /// Code.
        code: String,
        /// Message.
        message: String,
    },
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
    /// Done and answered, and the network delivers it once more so many seconds of simulated time later.
    Again {
        /// Seconds.
        seconds: f64,
    },
    /// Done for so many of what it names, and answered with an internal error. Its token is not used up.
    Partly {
        /// How many, from the front.
        first: usize,
    },
    /// A list lacks its last row, though the total counts it. One that has no total lacks all of them.
    Truncate,
    /// A list has its first row twice.
    Repeat,
    /// A list says that there is one row more than there is.
    WrongTotal,
    /// A page names itself as the next one.
    RepeatToken,
    /// A read is answered as the same read was last answered without this fault.
    Stale,
    /// The body ends in the middle.
    Cut,
    /// The body is this text.
    Body {
        /// The text.
        text: String,
    },
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
            service: None,
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

    /// Of one service only.
    #[must_use]
    pub fn of(self, service: &str) -> Self {
        Self {
            service: Some(service.to_owned()),
            ..self
        }
    }

    /// About one group or scaling group only.
    #[must_use]
    pub fn about(self, resource: &str) -> Self {
        Self {
            resource: Some(resource.to_owned()),
            ..self
        }
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
    pub(crate) fn befalls(&mut self, service: &str, action: &str, resource: &str) -> bool {
        let fits = [
            (&self.service, service),
            (&self.action, action),
            (&self.resource, resource),
        ]
        .iter()
        .all(|(wanted, is)| wanted.as_ref().is_none_or(|wanted| wanted == is));
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
