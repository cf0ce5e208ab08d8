//! Tells the queue and the objects concerned that an object changed.

use kube::ResourceExt;

use super::{
    Context,
    managed::{Managed, key},
    queue::{Level, Name, Takes},
    registry::{Found, Gone, News},
    signals::Signal,
    turns::GroupId,
};

impl Context {
    /// Takes in a version of an object that a watch shows.
    pub fn saw<M: Managed>(&self, object: M) {
        if let Some(news) = M::registry(self).learn(object) {
            self.tell::<M>(news);
        }
    }

    /// Takes in `object`, which a write of this process made of `before`.
    pub fn wrote<M: Managed>(&self, before: &M, object: M) {
        if let Some(news) = M::registry(self).wrote(before, object) {
            self.tell::<M>(news);
        }
    }

    fn tell<M: Managed>(&self, news: News) {
        self.orphans.take(news.orphaned);
        if news.uses {
            self.upkeep.ring();
        }
        if news.claims {
            self.wake_others::<M>(&news.takes, &news.name);
        }
        if let Some(level) = news.asks {
            let signal = Signal::Asked(key::<M>(news.name), news.takes, level);
            self.signals.send(signal);
        }
    }

    /// Forgets an object that is gone, and its group with the last one on it.
    pub fn gone<M: Managed>(&self, gone: Gone) {
        let Gone {
            name,
            uid,
            takes,
            open,
        } = gone;
        // Before its group may be forgotten.
        self.orphans.take(open);
        self.forget::<M>(&uid, &takes.group);
        self.wake_others::<M>(&takes, &name);
        self.upkeep.ring();
        self.signals.send(Signal::Gone(key::<M>(name)));
    }

    /// Forgets an object that a pass found to be gone, or let go of.
    pub fn let_go_of<M: Managed>(&self, object: &M) {
        self.forget::<M>(&object.uid().unwrap_or_default(), &object.group());
    }

    fn forget<M: Managed>(&self, uid: &str, group: &GroupId) {
        M::memories(self).forget(uid);
        if !M::registry(self).others_on(group, uid) {
            self.turns.forget(group);
        }
    }

    /// Has every object looked at that uses an account: those that may not act by now soon, the others in their turn.
    pub fn account_changed<M: Managed>(&self, account: &str) {
        for found in M::registry(self).found_of_account(account) {
            self.look::<M>(found, Level::Sweep);
        }
    }

    fn wake_others<M: Managed>(&self, takes: &Takes, but: &Name) {
        for found in M::registry(self).found_on(&takes.group, but) {
            self.look::<M>(found, Level::Asked);
        }
    }

    fn look<M: Managed>(&self, found: Found, level: Level) {
        let level = if found.waits { Level::Asked } else { level };
        let signal = Signal::Look(key::<M>(found.name), found.takes, level);
        self.signals.send(signal);
    }
}
