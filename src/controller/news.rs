//! Tells the queue and the objects concerned that an object changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::{
    Context,
    managed::{Managed, key},
    queue::{Level, Name, Takes},
    registry::{Found, Gone, News},
    signals::Signal,
    turns::GroupId,
    unreadable::Sent,
    version::number,
};
use crate::api::{CloudAccount, ScalingGroupAttachment, ServerGroupMembership};

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
        if !M::registry(self).others_on(group, uid) && self.turns.forget(group) {
            // Objects of the other kind may count on who is there.
            self.lag.moved(group.clone(), self.now());
        }
    }

    /// Has every object looked at that uses an account: those that may not act by now soon, the others in their turn.
    fn account_changed<M: Managed>(&self, account: &str) {
        for found in M::registry(self).found_of_account(account) {
            self.look::<M>(found, Level::Sweep);
        }
    }

    /// Takes in a version of an account, whether or not it can be read, and wakes the objects that use it if it changed.
    pub fn saw_account(&self, sent: Sent<CloudAccount>) {
        let name = match sent {
            Sent::Readable(account) => match self.accounts.learn(&account) {
                true => account.name_any(),
                false => return,
            },
            // Nobody acts as an account whose grants are not known.
            Sent::Unreadable(account) => {
                let (name, why) = (account.name().name, account.why);
                tracing::warn!(account = %name, why, "an account cannot be read by this version: nobody may use it");
                self.accounts.cannot_read(&name);
                name.to_string()
            }
        };
        self.grants_changed([name]);
    }

    /// Takes in a version of a namespace, and wakes the objects for which its labels grant something else now.
    pub fn saw_namespace(&self, namespace: &ObjectMeta) {
        let name = namespace.name.as_deref().unwrap_or_default();
        let labels = namespace.labels.clone().unwrap_or_default();
        let version = number(namespace.resource_version.as_deref());
        self.grants_changed(self.accounts.learn_namespace(name, version, labels));
    }

    /// Forgets an account that is gone, and wakes the objects that use it.
    pub fn lost_account(&self, name: &str) {
        self.accounts.forget(name);
        self.grants_changed([name.to_owned()]);
    }

    /// Forgets a namespace that is gone, and wakes the objects for which its labels granted something.
    pub fn lost_namespace(&self, name: &str) {
        self.grants_changed(self.accounts.forget_namespace(name));
    }

    /// Has every object looked at that uses one of these accounts.
    pub fn grants_changed(&self, accounts: impl IntoIterator<Item = String>) {
        for account in accounts {
            self.account_changed::<ServerGroupMembership>(&account);
            self.account_changed::<ScalingGroupAttachment>(&account);
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
