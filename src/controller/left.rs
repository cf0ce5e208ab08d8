//! What stays in the cloud when an object goes. It is told before: afterwards nobody would.

use std::collections::BTreeSet;

use kube::ResourceExt;
use server_group_core::reason::Outlook;

use super::{
    change::Change,
    converge::Pipeline,
    ended::Judged,
    events,
    object::name_of,
    pass::{ECHO_MAX, Pass},
    record::texts,
    report::{NAMED, first_of},
};
use crate::api::{ABANDON, DeletionPolicy};

/// Why entries of a ledger stay when the object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// A person had the object go without a call.
    Abandoned,
    /// The spec asks for it.
    Retained,
    /// It was suspended, or in `Plan` mode.
    AtRest,
    /// They were there before the object listed them.
    Adopted,
    /// Somebody puts them back.
    ComesBack,
}

impl Stays {
    const fn because(self) -> &'static str {
        match self {
            Self::Abandoned => {
                "the annotation servergroup.alicloud.dev/abandon lets the object go without a call"
            }
            Self::Retained => "spec.deletionPolicy is Retain",
            Self::AtRest => "the object was suspended or in Plan mode when it was deleted",
            Self::Adopted => "they were there before the object listed them",
            Self::ComesBack => "they came back however often they were removed",
        }
    }
}

/// How to have entries removed after all that a deletion left behind.
pub const REMOVE_LATER: &str = "list them in a new object with the annotation servergroup.alicloud.dev/take-over, and delete that one";

/// How to have an object go whose release is blocked.
pub const ABANDON_IT: &str = "the annotation servergroup.alicloud.dev/abandon=true lets the object go and leaves in the cloud what it registered";

impl<M: Pipeline> Pass<'_, M> {
    /// A judgement of a deleted object that cannot go names the way out.
    pub fn with_the_way_out(&self, judged: Judged) -> Judged {
        let blocked = judged.verdict.outlook == Outlook::Stalled || !self.record.parked.is_empty();
        if !self.deleting() || !blocked {
            return judged;
        }
        Judged {
            verdict: judged.verdict,
            message: format!("{}; the deletion waits: {ABANDON_IT}", judged.message),
        }
    }

    /// Tells once that the annotation `abandon` has a value that lets nothing go.
    pub async fn tell_strange_abandon(&mut self) {
        let value = self.object.annotations().get(ABANDON).cloned();
        let Some(value) = value.filter(|value| self.deleting() && value != "true") else {
            return;
        };
        if self.memory.told_abandon.as_ref() == Some(&value) {
            return;
        }
        let shown: String = value.chars().take(ECHO_MAX).collect();
        let note = format!(
            "{ABANDON}={shown} means nothing: the value that lets the object go is \"true\""
        );
        self.memory.told_abandon = Some(value);
        events::publish(self, Change::NotUnderstood, note).await;
    }

    /// Why everything stays whatever the ledger says, if it does.
    pub fn why_everything_stays(&self) -> Option<Stays> {
        if self.at_rest_by_wish() {
            return Some(Stays::AtRest);
        }
        let retained = self.object.deletion_policy() == DeletionPolicy::Retain;
        retained.then_some(Stays::Retained)
    }

    /// Tells once that these entries stay, but for those that another object has or lists.
    async fn tell_left(&mut self, stays: Stays, mut left: BTreeSet<M::Key>) {
        let told = &self.memory.told_what_stays;
        left.retain(|key| !told.contains(key));
        // Each pass of a release asks, and most have nothing to tell: the specs of others are read only for something.
        if left.is_empty() {
            return;
        }
        let others = M::claimants(self);
        left.retain(|key| !others.iter().any(|other| other.keeps_or_lists(key)));
        if left.is_empty() {
            return;
        }
        self.memory.told_what_stays.extend(left.iter().cloned());
        let (group, because) = (self.object.group(), stays.because());
        tracing::warn!(
            kind = M::KIND.name(),
            object = %name_of(&self.object),
            %group,
            left = texts(&left).join(", "),
            "the object goes, and entries of its ledger stay: {because}"
        );
        let note = format!(
            "{} stay at {}, because {because}. To have them removed, {REMOVE_LATER}. They are: {}",
            left.len(),
            group.id(),
            first_of(&left, NAMED)
        );
        events::publish(self, Change::Left, note).await;
    }

    /// Tells what stays of the entries that a look `shows`. What was adopted leaves the ledger as the release begins, so it is
    /// told by then; the rest when the object `goes`.
    pub async fn tell_what_stays(&mut self, goes: bool, shows: impl Fn(&M::Key) -> bool) {
        let ledger = &self.record.ledger;
        let stays = match (self.why_everything_stays(), goes) {
            (Some(stays), true) => vec![(stays, ledger.keys())],
            (Some(_), false) => Vec::new(),
            (None, false) => vec![(Stays::Adopted, ledger.adopted.clone())],
            (None, true) => vec![
                (Stays::Adopted, ledger.adopted.clone()),
                (Stays::ComesBack, ledger.registered.clone()),
            ],
        };
        for (stays, mut left) in stays {
            left.retain(&shows);
            self.tell_left(stays, left).await;
        }
    }

    /// Tells that the whole ledger stays, and what calls without an answer name.
    pub async fn tell_all_left(&mut self, stays: Stays) {
        let mut left = self.record.ledger.keys();
        left.extend(self.record.open_names());
        self.tell_left(stays, left).await;
    }

    /// Tells that what the object adopted stays.
    pub async fn tell_adopted_left(&mut self) {
        let left = self.record.ledger.adopted.clone();
        self.tell_left(Stays::Adopted, left).await;
    }

    /// Publishes that everything stays because nobody would serve.
    pub async fn tell_retained(&mut self, note: String) {
        self.memory
            .told_what_stays
            .extend(self.record.ledger.keys());
        if !std::mem::replace(&mut self.memory.told_retained, true) {
            events::publish(self, Change::Retained, note).await;
        }
    }
}
