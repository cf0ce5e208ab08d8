//! A call that is open on a group, and calls whose object is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    record::Reference,
    turns::{CallId, GroupId, GroupMemory},
};
use crate::api::status::Phase;

/// A call on a group that may be under way, or may still land.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// The id of its operation.
    pub id: String,
    /// The object whose status says so, as `namespace/name`.
    pub by: String,
    /// The API action.
    pub action: String,
    /// How much is known about it.
    pub phase: Phase,
    /// Until when it may land although it has settled, by the cloud's clock.
    pub until: Option<Timestamp>,
    /// The members or attachments that it names there, as status writes them.
    pub names: BTreeSet<String>,
    /// The job or scaling activity that carries it out.
    pub reference: Option<Reference>,
    /// The scaling group whose instances it moves in or out; `None` if it is a call on the group itself.
    pub moved_by: Option<String>,
    /// What a grant has to cover for a status to say this.
    pub needs: Needs,
    /// Whether this process began it: then it is open, whatever the grants say by now.
    pub began_here: bool,
}

/// What a grant has to cover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The account that has to grant it.
    pub account: String,
    /// The namespace that it has to be granted to.
    pub namespace: String,
    /// The region.
    pub region: String,
    /// Scaling groups.
    pub scaling_groups: Vec<String>,
    /// Server groups.
    pub server_groups: Vec<String>,
    /// Load balancers.
    pub load_balancers: Vec<String>,
}

impl Open {
    /// Its name in the memory of the group: calls of attachments are told from the group's own ones.
    #[must_use]
    pub fn local_id(&self) -> CallId {
        match self.moved_by {
            Some(_) => CallId::Moves(self.id.clone()),
            None => CallId::Own(self.id.clone()),
        }
    }

    /// The call as this process knows it: the write that records its answer may have been refused.
    #[must_use]
    pub fn with_answer(self, turn: &GroupMemory) -> Self {
        match turn.unwritten_answer(&self.local_id(), self.phase) {
            Some(answer) => Self {
                phase: Phase::Accepted,
                names: answer
                    .names
                    .iter()
                    .filter(|name| self.names.contains(*name))
                    .cloned()
                    .collect(),
                reference: Some(answer.reference.clone()),
                ..self
            },
            None => self,
        }
    }
}

/// Calls whose object is gone, group by group.
#[derive(Debug, Default)]
pub struct Orphans(Mutex<BTreeMap<GroupId, Vec<(Instant, Open)>>>);

impl Orphans {
    /// Takes in the calls that were open when their object went.
    pub fn take(&self, open: Vec<(GroupId, Open)>) {
        let mut groups = self.0.lock();
        for (group, open) in open {
            groups
                .entry(group)
                .or_default()
                .push((Instant::now(), open));
        }
    }

    /// The calls on a group. A call that was not answered cannot land any more after `linger`, and is forgotten then.
    pub fn on(&self, group: &GroupId, linger: Duration) -> Vec<Open> {
        self.retain(group, |gone, open| {
            open.phase == Phase::Accepted || gone < linger
        });
        let groups = self.0.lock();
        let on = groups.get(group).into_iter().flatten();
        on.map(|(_, open)| open.clone()).collect()
    }

    /// Forgets the calls that are over: nobody else tells that they are.
    pub fn close(&self, group: &GroupId, is_over: impl Fn(&Open) -> bool) {
        self.retain(group, |_, open| !is_over(open));
    }

    fn retain(&self, group: &GroupId, stays: impl Fn(Duration, &Open) -> bool) {
        let mut groups = self.0.lock();
        let Some(on) = groups.get_mut(group) else {
            return;
        };
        on.retain(|(gone, open)| stays(gone.elapsed(), open));
        if on.is_empty() {
            groups.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::turns::UnwrittenAnswer;

    fn open(id: &str, phase: Phase) -> Open {
        Open {
            id: id.into(),
            phase,
            ..Open::default()
        }
    }

    #[test]
    fn an_answer_whose_write_was_refused_is_known_whoever_asks() {
        let answer = UnwrittenAnswer {
            reference: Reference::Id("job-1".into()),
            request_id: None,
            names: vec!["i-1:80".into()],
        };
        let turn = GroupMemory {
            references: BTreeMap::from([(CallId::Own("sent".into()), answer)]),
            ..GroupMemory::default()
        };
        let names = ["i-1:80", "i-2:80"].map(String::from).into();
        let sent = Open {
            names,
            ..open("sent", Phase::Intended)
        };
        let known = sent.clone().with_answer(&turn);
        assert_eq!(known.phase, Phase::Accepted);
        assert_eq!(known.reference, Some(Reference::Id("job-1".into())));
        assert_eq!(known.names, ["i-1:80".to_owned()].into());
        let moved_by = Some("asg-1".to_owned());
        let moved = Open { moved_by, ..sent };
        assert_eq!(moved.clone().with_answer(&turn), moved, "another call");
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_object_that_is_gone_left_open_stays_open_until_it_is_over() {
        let (orphans, group) = (
            Orphans::default(),
            GroupId::new("cn-hangzhou", "CLB", "rsp-1"),
        );
        let (almost, second) = (Duration::from_secs(899), Duration::from_secs(1));
        let linger = almost + second;
        let calls = [
            open("sent", Phase::Unsettled),
            open("runs", Phase::Accepted),
        ];
        orphans.take(
            calls
                .into_iter()
                .map(|open| (group.clone(), open))
                .collect(),
        );
        let ids = || -> Vec<_> {
            let on = orphans.on(&group, linger);
            on.into_iter().map(|open| open.id).collect()
        };
        tokio::time::advance(almost).await;
        assert_eq!(ids(), ["sent", "runs"]);
        tokio::time::advance(second).await;
        assert_eq!(ids(), ["runs"], "the other one cannot land any more");
        orphans.close(&group, |open| open.id == "runs");
        assert!(ids().is_empty());
        assert!(orphans.0.lock().is_empty());
    }
}
