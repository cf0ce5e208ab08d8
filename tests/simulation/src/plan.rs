//! What happens in a schedule besides what the operator does: troubles and deeds, and when. It can be written down, read by a
//! person, and played again.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that happens, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happening {
    /// When.
    pub when: When,
    /// What.
    pub what: What,
}

/// When something happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// So many milliseconds after the beginning.
    At(u64),
    /// When this effect arrives at its server.
    Effect(Name),
}

/// An effect, by what it is and not by its place in the whole, so that a plan outlives changes of the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, PartialOrd, Ord)]
pub struct Name {
    /// Which replica's.
    pub replica: usize,
    /// What it asks.
    pub asks: String,
    /// The how manieth of these, from 1.
    pub nth: u64,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// The request is lost.
    LoseRequest {
        /// Whether nobody notices that, so that it is waited for in vain.
        hangs: bool,
    },
    /// The request is carried out and its answer lost.
    LoseAnswer {
        /// Whether nobody notices that.
        hangs: bool,
    },
    /// The connection breaks, and the request is carried out so many milliseconds later.
    Late(u64),
    /// Kubernetes refuses it with this code.
    Refuse(u16),
    /// The cloud refuses it as too many.
    Throttle,
    /// The job or scaling activity that it starts fails.
    Fail,
    /// The scaling activities that there are by now, or that it starts, are listed so many milliseconds late.
    Unlisted(u64),
    /// For so many milliseconds the cloud answers each call with an error of its own, and does nothing.
    Outage(u64),
    /// A list is as it was before.
    Stale,
    /// A list lacks its last row.
    Torn,
    /// For so many milliseconds the members of the groups that it changes are listed as they were before.
    Trail(u64),
    /// The replica ends before the request is carried out; another one starts so many milliseconds later.
    CrashBefore(u64),
    /// The same after it was carried out.
    CrashAfter(u64),
    /// The replica stands still for so many milliseconds.
    Pause(u64),
    /// The replica's watch of these objects shows nothing new for so many milliseconds.
    Stall(String, u64),
    /// From now on nobody answers what is asked about this group.
    Silence(String),
    /// All watches end, and have to list anew.
    Compact,
    /// The replica's wall clock jumps by so many milliseconds.
    ClockJump(i64),
    /// Somebody does something.
    Deed(Deed),
}

/// What people, and what else lives in the cloud, do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Deed {
    /// Edits the spec: a merge patch.
    Edit(Object, Value),
    /// Creates an object.
    Create(Object, Value),
    /// Deletes it.
    Delete(Object),
    /// Gives it a label.
    Label(Object, String),
    /// Gives it an annotation.
    Annotate(Object, String, String),
    /// Replaces it by its plain manifest, without finalizers.
    Strip(Object),
    /// Adds a finalizer of somebody else's.
    Hold(Object),
    /// Takes it away.
    LetGo(Object),
    /// Empties its status.
    Wipe(Object),
    /// Gives it the status back that it had so many versions ago.
    Restore(Object, usize),
    /// Deletes a namespace and all in it.
    DeleteNamespace(String),
    /// Puts a member into a server group.
    PutMember(String, String),
    /// Takes a member out.
    TakeMember(String, String),
    /// A server stops: no group takes it any more.
    Stop(String),
    /// It runs again.
    Run(String),
    /// An instance starts.
    ScaleOut(String, String),
    /// An instance ends.
    ScaleIn(String, String),
}

/// An object, by kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object {
    /// The kind, in the plural as paths have it.
    pub resource: String,
    /// Empty for accounts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replica {} {} #{}", self.replica, self.asks, self.nth)
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = serde_json::to_string(&self.what).map_err(|_| fmt::Error)?;
        match &self.when {
            When::At(millis) => write!(f, "at {}.{:03} s: {what}", millis / 1000, millis % 1000),
            When::Effect(name) => write!(f, "at {name}: {what}"),
        }
    }
}
