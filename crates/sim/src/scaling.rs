//! Scaling groups, what they feed, and their activities.

use std::collections::{BTreeMap, BTreeSet};

use crate::seconds::Seconds;

/// An attachment of a scaling group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// `ALB`, `NLB`, `GWLB`, `CLB` for a vServer group, `LB` for the default group of a CLB.
    pub kind: String,
    /// The server group; for `LB` the load balancer.
    pub group: String,
    /// Absent for GWLB and default groups.
    pub port: Option<u16>,
    /// Absent for GWLB.
    pub weight: Option<u8>,
    /// The load balancer of a vServer group.
    pub load_balancer: String,
    /// Made by the older, ALB-only operation.
    pub older: bool,
}

impl Attachment {
    /// Whether both are about the same group and port: a scaling group has at most one of these.
    ///
    /// A vServer group under another load balancer is another one.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let balancer = self.kind != "CLB" || self.load_balancer == other.load_balancer;
        balancer && (&self.kind, &self.group, self.port) == (&other.kind, &other.group, other.port)
    }

    /// The port with which instances join.
    pub(crate) fn member_port(&self) -> u16 {
        match self.kind.as_str() {
            "LB" => 0,
            _ => self.port.unwrap_or(6081),
        }
    }

    /// As the audit log names it.
    pub(crate) fn name(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        match self.kind.as_str() {
            "CLB" => format!("CLB/{}/{}{port}", self.load_balancer, self.group),
            kind => format!("{kind}/{}{port}", self.group),
        }
    }
}

/// A scaling group.
#[derive(Clone, Debug, Default)]
pub struct ScalingGroup {
    /// What it feeds.
    pub attachments: Vec<Attachment>,
    /// Its instances.
    pub instances: BTreeSet<String>,
    /// Lifecycle states of instances that are not `InService`.
    pub states: BTreeMap<String, String>,
    /// Left out of lists, and refuses forced calls.
    pub inactive: bool,
    /// Its automatic activities were stopped by the system.
    pub suspended: bool,
    /// The cloud account that sees it; absent = every account.
    pub account: Option<String>,
}

/// A scaling activity.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Whose it is.
    pub group: String,
    /// `InProgress` and the four ends.
    pub status: String,
    /// When it ends.
    pub until: Seconds,
    /// How it will end.
    pub end: Ending,
    /// What it does: `(join or leave, attachment)`.
    pub moves: Vec<(bool, Attachment)>,
}

/// How a scaling activity ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub enum Ending {
    /// Everything is done.
    Successful,
    /// The first instance stays as it was.
    Warning,
    /// Nothing is done, and the attachment is as before.
    Failed,
    /// It was not started, and the attachment is as before.
    Rejected,
    /// Everything is done, and nobody remembers the activity.
    Vanished,
}

impl Ending {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Successful | Self::Vanished => "Successful",
            Self::Warning => "Warning",
            Self::Failed => "Failed",
            Self::Rejected => "Rejected",
        }
    }
}
