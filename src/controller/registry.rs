//! The registry of all objects of a kind, each as a watch shows it, or as this process wrote it, whichever is newer.
//!
//! An object at rest is kept as text, with a few facts by which it is found: parsed it takes many times the room. The
//! first who looks at an object parses it, and all who look at it meanwhile share that. A version never gives way to an
//! older one: the process's own writes are in here before the watch shows them, so no pass plans on a ledger older than
//! those.

mod derived;
mod ours;
mod tally;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

use derived::{asks, claims, denied, text_of, version, waits_for_a_look};
use kube::{Resource, ResourceExt};
use ours::Ours;
use parking_lot::Mutex;
use tally::{Held, held_by};

use super::{
    known::Known,
    object::{Facts, Object, is_held, name_of},
    open::Open,
    queue::{Level, Name, Takes},
    scope::Scope,
    turns::GroupId,
    unreadable::Unreadable,
    version::number,
};

pub use tally::{Stands, Tally};

/// The objects of one kind.
#[derive(Debug)]
pub struct Registry<M: Object>(Mutex<Inner<M>>);

#[derive(Debug)]
struct Inner<M: Object> {
    objects: BTreeMap<Name, Entry<M>>,
    /// By their own group. Few share one, so a list is enough.
    on: BTreeMap<GroupId, Vec<Name>>,
    /// By the groups that they name besides.
    naming: BTreeMap<GroupId, Vec<Name>>,
    of_account: BTreeMap<Arc<str>, OfAccount>,
    /// The objects that this version cannot read.
    unreadable: BTreeMap<Name, Left>,
    /// One copy of the name of each account, region and namespace.
    names: BTreeSet<Arc<str>>,
    /// The number of the list that was begun last, whatever its scope.
    list: u64,
    /// The number of the list of each scope that is being read, or was read last.
    lists: BTreeMap<Scope, u64>,
    tally: Tally,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may hold without the others"
)]
struct Entry<M: Object> {
    facts: Facts,
    version: u64,
    text: Box<[u8]>,
    takes: Takes,
    naming: Box<[GroupId]>,
    /// A hash of everything that a pass depends on, as far as a person says it.
    asks: u64,
    /// A hash of everything that the objects on the same group depend on.
    claims: u64,
    /// Whether nobody has looked at it since somebody changed it.
    fresh: bool,
    /// Whether it is stalled: a change of its account may be what it waits for.
    denied: bool,
    /// Whether its deletion waits for us.
    finalizer: bool,
    list: u64,
    ours: Ours,
    /// Whether its status speaks of a call that is open or may still land.
    calls: bool,
    stands: Stands,
    held: Held,
    parsed: Weak<Known<M>>,
}

/// An object that claims something, in a form that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its name.
    pub name: Name,
    /// The account that it uses.
    pub account: Arc<str>,
    /// A hash of what it claims.
    pub claims: u64,
}

/// The objects that use one account.
#[derive(Debug, Default)]
struct OfAccount {
    names: BTreeSet<Name>,
    /// How many of them hold our finalizer.
    held: usize,
}

/// Who uses an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// How many objects use it.
    pub objects: usize,
    /// How many of them have something to release, or may have: they hold our finalizer.
    pub held: usize,
    /// The region of one of them that may use it there.
    pub region: Option<Arc<str>>,
}

/// An object that cannot be read, and is left alone.
#[derive(Debug)]
struct Left {
    object: Unreadable,
    list: u64,
    told: bool,
}

impl Left {
    fn uid(&self) -> &str {
        self.object.metadata.uid.as_deref().unwrap_or_default()
    }

    fn version(&self) -> u64 {
        number(self.object.metadata.resource_version.as_deref())
    }
}

/// The last state of an object that cannot be read any more.
#[derive(Debug)]
pub struct Before {
    /// The object as it was when it could be read, if it could: that is gone.
    pub readable: Option<Gone>,
}

/// The effect of a newer version of an object on others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Its name.
    pub name: Name,
    /// The group, account and region that it takes up at work.
    pub takes: Takes,
    /// Whether somebody changed what it asks for, and how soon it is to be looked at then.
    pub asks: Option<Level>,
    /// Whether what it claims from the others on its group changed.
    pub claims: bool,
    /// Whether its account is used by more or fewer objects than before, or held by more or fewer.
    pub uses: bool,
    /// The open calls of an object that had its name before and is gone, or of this one, if somebody else's write took them out of
    /// its status.
    pub orphaned: Vec<(GroupId, Open)>,
}

/// An object that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its name.
    pub name: Name,
    /// Its uid.
    pub uid: String,
    /// The group, account and region that it took up at work.
    pub takes: Takes,
    /// The calls that it had open.
    pub open: Vec<(GroupId, Open)>,
}

/// An object that was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: Name,
    /// The group, account and region that it takes up at work.
    pub takes: Takes,
    /// Whether somebody waits for a look at it, as far as is known.
    pub waits: bool,
}

impl<M: Object> Default for Registry<M> {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            objects: BTreeMap::new(),
            on: BTreeMap::new(),
            naming: BTreeMap::new(),
            of_account: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            names: BTreeSet::new(),
            list: 0,
            lists: BTreeMap::new(),
            tally: Tally::default(),
        }))
    }
}

impl<M: Object> Registry<M> {
    /// Takes in a version of an object. `None` if it is no newer than what is known.
    pub fn learn(&self, object: M) -> Option<News> {
        self.0.lock().learn(object)
    }

    /// Takes in `object`, which a write of this process made of `before`, unless it is gone by now.
    pub fn wrote(&self, before: &M, object: M) -> Option<News> {
        let mut inner = self.0.lock();
        let name = name_of(&object);
        let known = inner.objects.get(&name)?;
        if known.facts.uid != object.uid().unwrap_or_default() {
            return None;
        }
        let operation = object.written_claims().1;
        let carries_on = operation == before.written_claims().1;
        let operation: Option<Box<str>> = operation.map(Box::from);
        let operation = operation.as_deref();
        inner.objects.get_mut(&name)?.ours.writes(operation);
        let news = inner.learn(object);
        let entry = inner.objects.get_mut(&name)?;
        entry.ours.wrote(operation, carries_on);
        news
    }

    /// Notes that a write of this process is under way that leaves this open operation in the status of an object: a watch may
    /// show it before it is answered.
    pub fn writes(&self, name: &Name, operation: Option<&str>) {
        if let Some(entry) = self.0.lock().objects.get_mut(name) {
            entry.ours.writes(operation);
        }
    }

    /// The groups that objects have for their own, or name.
    pub fn groups(&self) -> BTreeSet<GroupId> {
        let inner = self.0.lock();
        inner
            .on
            .keys()
            .chain(inner.naming.keys())
            .cloned()
            .collect()
    }

    /// Takes over the calls of which the statuses of objects with our finalizer speak, from whoever led before.
    pub fn carry_on(&self) {
        let mut inner = self.0.lock();
        let calls = inner.objects.values_mut();
        for entry in calls.filter(|entry| entry.calls && entry.finalizer) {
            let known = entry.parsed();
            let operation = known.as_ref().and_then(|known| known.written_claims().1);
            entry.ours.carries_on(operation);
        }
    }

    /// How many objects stand how, and what they leave alone; and how many cannot be read.
    pub fn tally(&self) -> (Tally, usize) {
        let inner = self.0.lock();
        (inner.tally.clone(), inner.unreadable.len())
    }

    /// Whether this process began that operation and wrote it into the status of the object.
    pub fn began_operation(&self, name: &Name, id: &str) -> bool {
        let inner = self.0.lock();
        let entry = inner.objects.get(name);
        entry.is_some_and(|entry| entry.ours.began(id))
    }

    /// Takes in a version of an object that cannot be read. `None` if it is no newer than what is known.
    pub fn learn_unreadable(&self, object: Unreadable) -> Option<Before> {
        self.0.lock().learn_unreadable(object)
    }

    /// The objects that cannot be read and that nobody was told of yet.
    pub fn untold(&self) -> Vec<Unreadable> {
        let mut inner = self.0.lock();
        let untold = inner.unreadable.values_mut().filter(|left| !left.told);
        let untold = untold.map(|left| {
            left.told = true;
            left.object.clone()
        });
        untold.collect()
    }

    /// The objects that cannot be read and mention this id.
    pub fn unreadable_about(&self, id: &str) -> Vec<Unreadable> {
        let inner = self.0.lock();
        let left = inner.unreadable.values().map(|left| &left.object);
        left.filter(|object| object.mentions(id)).cloned().collect()
    }

    /// Forgets an object that is gone. One that was made anew under its name stays.
    pub fn forget(&self, object: &impl Resource) -> Option<Gone> {
        let mut inner = self.0.lock();
        let (name, uid) = (name_of(object), object.meta().uid.as_deref());
        let uid = uid.unwrap_or_default();
        if inner
            .unreadable
            .get(&name)
            .is_some_and(|left| left.uid() == uid)
        {
            inner.unreadable.remove(&name);
        }
        let known = inner.objects.get(&name)?;
        let same = known.facts.uid == uid;
        same.then(|| inner.forget(&name)).flatten()
    }

    /// Begins a list of a scope: objects of the scope that it lacks at its end are gone.
    pub fn begin_list(&self, scope: &Scope) {
        let mut inner = self.0.lock();
        inner.list += 1;
        let number = inner.list;
        inner.lists.insert(scope.clone(), number);
    }

    /// Ends the list. Returns the objects that it lacks, which are forgotten.
    pub fn end_list(&self, scope: &Scope) -> Vec<Gone> {
        let mut inner = self.0.lock();
        let list = inner.lists.get(scope).copied().unwrap_or_default();
        inner
            .unreadable
            .retain(|name, left| left.list >= list || !scope.holds(name));
        let objects = inner.objects.iter();
        let lacks = objects.filter(|(name, entry)| entry.list < list && scope.holds(name));
        let lacks: Vec<_> = lacks.map(|(name, _)| name.clone()).collect();
        lacks.iter().filter_map(|name| inner.forget(name)).collect()
    }

    /// Whether the registry knows this version of an object, or a newer one.
    pub fn knows(&self, name: &Name, uid: &str, version: u64) -> bool {
        let inner = self.0.lock();
        if let Some(left) = inner.unreadable.get(name) {
            return left.uid() == uid && left.version() >= version;
        }
        let entry = inner.objects.get(name);
        entry.is_some_and(|entry| entry.facts.uid == uid && entry.version >= version)
    }

    /// Forgets the objects of a scope that a whole list of this version lacks: those that are not among `uids` and no
    /// newer than the list.
    pub fn forget_but(&self, scope: &Scope, uids: &BTreeSet<String>, version: u64) -> Vec<Gone> {
        let mut inner = self.0.lock();
        inner.unreadable.retain(|name, left| {
            left.version() > version || uids.contains(left.uid()) || !scope.holds(name)
        });
        let names = inner.objects.keys().filter(|name| scope.holds(name));
        let names: Vec<_> = names.cloned().collect();
        inner.forget_lacking(&names, uids, version)
    }

    /// As [`Registry::forget_but`], with a list of the objects whose own group this is.
    pub fn forget_on(
        &self,
        scope: &Scope,
        group: &GroupId,
        uids: &BTreeSet<String>,
        version: u64,
    ) -> Vec<Gone> {
        let mut inner = self.0.lock();
        let mut names = inner.on.get(group).cloned().unwrap_or_default();
        names.retain(|name| scope.holds(name));
        inner.forget_lacking(&names, uids, version)
    }

    /// The claims of the objects on this group, or naming it, in a form that can be compared: of all but the one with
    /// this uid.
    pub fn claims(&self, group: &GroupId, but: &str) -> Vec<Claimed> {
        let inner = self.0.lock();
        let names = [&inner.on, &inner.naming].map(|index| index.get(group));
        let names = names.into_iter().flatten().flatten();
        let entries = names.filter_map(|name| Some((name, inner.objects.get(name)?)));
        let others = entries.filter(|(_, entry)| entry.facts.uid != but);
        let claimed = others.map(|(name, entry)| Claimed {
            name: name.clone(),
            account: Arc::clone(&entry.takes.account),
            claims: entry.claims,
        });
        claimed.collect()
    }

    /// The newest version of one object.
    pub fn get(&self, name: &Name) -> Option<Arc<Known<M>>> {
        let mut inner = self.0.lock();
        inner.objects.get_mut(name).and_then(Entry::parsed)
    }

    /// The newest version of this object, if it is another one: only then is it parsed.
    pub fn another_version(&self, object: &M) -> Option<Arc<Known<M>>> {
        let mut inner = self.0.lock();
        let entry = inner.objects.get_mut(&name_of(object))?;
        let same = entry.version != 0 && entry.version == version(object);
        (!same).then(|| entry.parsed()).flatten()
    }

    /// The facts that have to be known of one object before a call for it is sent.
    pub fn facts(&self, name: &Name) -> Option<Facts> {
        let inner = self.0.lock();
        inner.objects.get(name).map(|entry| entry.facts.clone())
    }

    /// The objects whose own group this is, other than that with this uid, in order of their names.
    pub fn on(&self, group: &GroupId, but: &str) -> Vec<Arc<Known<M>>> {
        let mut inner = self.0.lock();
        let names = inner.on.get(group).cloned().unwrap_or_default();
        inner.parse(&names, but)
    }

    /// The objects that name this group besides their own, in their spec or their status, other than that with this uid.
    pub fn naming(&self, group: &GroupId, but: &str) -> Vec<Arc<Known<M>>> {
        let mut inner = self.0.lock();
        let names = inner.naming.get(group).cloned().unwrap_or_default();
        inner.parse(&names, but)
    }

    /// Whether any object other than that with this uid has this group for its own.
    pub fn others_on(&self, group: &GroupId, uid: &str) -> bool {
        let inner = self.0.lock();
        let names = inner.on.get(group).into_iter().flatten();
        names
            .filter_map(|name| inner.objects.get(name))
            .any(|entry| entry.facts.uid != uid)
    }

    /// The other objects on a group.
    pub fn found_on(&self, group: &GroupId, but: &Name) -> Vec<Found> {
        let inner = self.0.lock();
        let names = inner.on.get(group).into_iter().flatten();
        inner.found(names.filter(|name| *name != but))
    }

    /// The objects that use an account.
    pub fn found_of_account(&self, account: &str) -> Vec<Found> {
        let inner = self.0.lock();
        let users = inner.of_account.get(account).into_iter();
        inner.found(users.flat_map(|users| &users.names))
    }

    /// Who uses an account. `may`: whether objects of a namespace may use it in a region.
    pub fn users_of(&self, account: &str, may: impl Fn(&str, &str) -> bool) -> Users {
        let inner = self.0.lock();
        let unreadable = inner.unreadable.values().map(|left| &left.object);
        let unreadable = unreadable.filter(|object| object.account() == account);
        let unreadable: Vec<_> = unreadable.map(Unreadable::is_held).collect();
        let users = inner.of_account.get(account);
        let names = users.into_iter().flat_map(|users| &users.names);
        let mut regions = names.filter_map(|name| {
            let region = &inner.objects.get(name)?.takes.region;
            may(&name.namespace, region).then_some(region)
        });
        Users {
            objects: unreadable.len() + users.map_or(0, |users| users.names.len()),
            held: unreadable.iter().filter(|held| **held).count()
                + users.map_or(0, |users| users.held),
            region: regions.next().map(Arc::clone),
        }
    }

    /// The first of the objects that use an account and hold our finalizer, at most so many.
    pub fn holding(&self, account: &str, most: usize) -> Vec<Name> {
        let inner = self.0.lock();
        let users = inner.of_account.get(account).into_iter();
        let names = users.flat_map(|users| &users.names);
        let holding =
            names.filter(|name| inner.objects.get(*name).is_some_and(|one| one.finalizer));
        holding.take(most).cloned().collect()
    }

    /// Every object.
    pub fn found(&self) -> Vec<Found> {
        let inner = self.0.lock();
        inner.found(inner.objects.keys())
    }
}

impl<M: Object> Inner<M> {
    fn learn(&mut self, object: M) -> Option<News> {
        let version = version(&object);
        let facts = Facts::of(&object);
        let name = self.shared_name(&object);
        if !self.is_newer_than_unreadable(&name, &facts.uid, version) {
            return None;
        }
        self.unreadable.remove(&name);
        let (mut ours, mut lost) = (Ours::default(), Vec::new());
        let before = match self.objects.get_mut(&name) {
            Some(entry) if entry.facts.uid == facts.uid => {
                entry.list = self.list;
                // Versions of one kind are decimal numbers that grow; should one not be a number, the last word is
                // believed.
                if version != 0 && version <= entry.version {
                    return None;
                }
                lost = entry.lost_by(&object);
                ours = std::mem::take(&mut entry.ours);
                if !lost.is_empty() {
                    ours.forget();
                }
                Some((entry.asks, entry.claims, entry.finalizer))
            }
            _ => None,
        };
        let gone = match before {
            Some(_) => None,
            None => self.forget(&name),
        };
        let mut entry = self.entry(object, facts, version);
        entry.ours = ours;
        let level = if entry.fresh {
            Level::Asked
        } else {
            Level::Sweep
        };
        let news = News {
            name: name.clone(),
            takes: entry.takes.clone(),
            asks: match before {
                Some((before, ..)) if before == entry.asks => None,
                Some(_) => Some(Level::Asked),
                None => Some(level),
            },
            claims: before.is_none_or(|(_, before, _)| before != entry.claims),
            uses: before.is_none_or(|(.., before)| before != entry.finalizer),
            orphaned: gone.map_or(lost, |gone| gone.open),
        };
        self.index(&name, &entry);
        self.tally.comes(entry.stands, &entry.held);
        if let Some(before) = self.objects.insert(name, entry) {
            self.tally.goes(before.stands, &before.held);
        }
        Some(news)
    }

    /// The entry that is kept of a version of an object.
    fn entry(&mut self, mut object: M, facts: Facts, version: u64) -> Entry<M> {
        let text = text_of(&mut object);
        let takes = Takes {
            group: object.group(),
            account: self.shared(object.account_name()),
            region: self.shared(object.region()),
        };
        Entry {
            facts,
            version,
            text: text.into(),
            takes,
            naming: object.other_groups().into_iter().collect(),
            asks: asks(&object),
            claims: claims(&object),
            fresh: waits_for_a_look(&object),
            denied: denied(&object),
            finalizer: is_held(&object),
            list: self.list,
            ours: Ours::default(),
            calls: object.speaks_of_calls(),
            stands: Stands::of(&object),
            held: held_by(&object),
            parsed: Weak::new(),
        }
    }

    /// Whether this version of an object is news beside one that could not be read.
    fn is_newer_than_unreadable(&self, name: &Name, uid: &str, version: u64) -> bool {
        let left = self.unreadable.get(name);
        let left = left.filter(|left| left.uid() == uid && version != 0);
        left.is_none_or(|left| version > left.version())
    }

    fn learn_unreadable(&mut self, object: Unreadable) -> Option<Before> {
        let name = object.name();
        let left = Left {
            object,
            list: self.list,
            told: false,
        };
        if let Some(known) = self.objects.get_mut(&name)
            && known.facts.uid == left.uid()
            && left.version() <= known.version
        {
            known.list = left.list;
            return None;
        }
        if let Some(known) = self.unreadable.get_mut(&name)
            && known.uid() == left.uid()
            && left.version() <= known.version()
        {
            known.list = left.list;
            return None;
        }
        let readable = self.forget(&name);
        self.unreadable.insert(name, left);
        Some(Before { readable })
    }

    /// Enters an object into the indexes, and takes it out of those of groups that it no longer names.
    fn index(&mut self, name: &Name, entry: &Entry<M>) {
        let before = self.objects.get(name);
        let mut left = before.map_or_else(BTreeSet::new, |before| {
            before.naming.iter().cloned().collect::<BTreeSet<_>>()
        });
        for group in &entry.naming {
            if !left.remove(group) {
                enter(&mut self.naming, group, name);
            }
        }
        for group in &left {
            leave(&mut self.naming, group, name);
        }
        let held_before = before.is_some_and(|before| before.finalizer);
        if before.is_none() {
            enter(&mut self.on, &entry.takes.group, name);
        }
        let of_account = self.of_account.entry(entry.takes.account.clone());
        let of_account = of_account.or_default();
        of_account.names.insert(name.clone());
        of_account.held += usize::from(entry.finalizer);
        of_account.held -= usize::from(held_before);
    }

    fn forget(&mut self, name: &Name) -> Option<Gone> {
        let (name, mut entry) = self.objects.remove_entry(name)?;
        self.tally.goes(entry.stands, &entry.held);
        let open = match entry.calls {
            true => entry.open(),
            false => Vec::new(),
        };
        for group in &entry.naming {
            leave(&mut self.naming, group, &name);
        }
        leave(&mut self.on, &entry.takes.group, &name);
        if let Some(users) = self.of_account.get_mut(&entry.takes.account) {
            users.names.remove(&name);
            users.held -= usize::from(entry.finalizer);
            if users.names.is_empty() {
                self.of_account.remove(&entry.takes.account);
            }
        }
        Some(Gone {
            name,
            uid: entry.facts.uid,
            takes: entry.takes,
            open,
        })
    }

    fn forget_lacking(
        &mut self,
        names: &[Name],
        uids: &BTreeSet<String>,
        version: u64,
    ) -> Vec<Gone> {
        let lacks = names.iter().filter(|name| {
            let entry = self.objects.get(*name);
            entry.is_some_and(|entry| entry.version <= version && !uids.contains(&entry.facts.uid))
        });
        let lacks: Vec<_> = lacks.collect();
        lacks
            .into_iter()
            .filter_map(|name| self.forget(name))
            .collect()
    }

    /// Parses the named objects, except the one that asks: it knows itself better, as it wrote a version that nobody
    /// has parsed yet.
    fn parse(&mut self, names: &[Name], but: &str) -> Vec<Arc<Known<M>>> {
        let other = |name| {
            let entry = self.objects.get_mut(name)?;
            (entry.facts.uid != but).then(|| entry.parsed()).flatten()
        };
        names.iter().filter_map(other).collect()
    }

    fn found<'n>(&self, names: impl Iterator<Item = &'n Name>) -> Vec<Found> {
        let found = names.filter_map(|name| {
            let entry = self.objects.get(name)?;
            Some(Found {
                name: name.clone(),
                takes: entry.takes.clone(),
                waits: entry.fresh || entry.denied,
            })
        });
        found.collect()
    }

    /// One copy of a name that many objects have in common.
    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = name.into();
        self.names.insert(Arc::clone(&shared));
        shared
    }

    fn shared_name(&mut self, object: &M) -> Name {
        let name = name_of(object);
        match self.objects.get_key_value(&name) {
            Some((known, _)) => known.clone(),
            None => Name {
                namespace: self.shared(&name.namespace),
                ..name
            },
        }
    }
}

impl<M: Object> Entry<M> {
    /// The calls that it has open, or that may still land.
    fn open(&mut self) -> Vec<(GroupId, Open)> {
        let mut open = self.parsed().map_or_else(Vec::new, |known| known.open());
        for (_, open) in &mut open {
            open.began_here = self.ours.began(&open.id);
        }
        open
    }

    /// The calls that this process has open for the object, or has carried on, and of which a newer version that somebody
    /// else wrote does not speak any more: what this process did it never un-knows.
    fn lost_by(&mut self, newer: &M) -> Vec<(GroupId, Open)> {
        let (ledger, says) = newer.written_claims();
        // A status without a ledger of this very object says nothing.
        let says = says.filter(|_| ledger.is_some_and(|ledger| ledger.uid == self.facts.uid));
        let Some(lost) = self.ours.lost_by(says).map(ToOwned::to_owned) else {
            return Vec::new();
        };
        let mut open = self.open();
        open.retain(|(_, open)| open.id == lost);
        open
    }

    fn parsed(&mut self) -> Option<Arc<Known<M>>> {
        if let Some(known) = self.parsed.upgrade() {
            return Some(known);
        }
        #[cfg(test)]
        super::parses::count(super::parses::What::Text, &self.facts.uid);
        let object = serde_json::from_slice(&self.text);
        let object =
            object.inspect_err(|error| tracing::error!(%error, "what was written cannot be read"));
        let known = Arc::new(Known::new(object.ok()?));
        self.parsed = Arc::downgrade(&known);
        Some(known)
    }
}

fn enter(index: &mut BTreeMap<GroupId, Vec<Name>>, group: &GroupId, name: &Name) {
    let names = index
        .entry(group.clone())
        .or_insert_with(|| Vec::with_capacity(1));
    if let Err(place) = names.binary_search(name) {
        names.insert(place, name.clone());
    }
}

fn leave(index: &mut BTreeMap<GroupId, Vec<Name>>, group: &GroupId, name: &Name) {
    let Some(names) = index.get_mut(group) else {
        return;
    };
    if let Ok(place) = names.binary_search(name) {
        names.remove(place);
    }
    if names.is_empty() {
        index.remove(group);
    }
}

#[cfg(test)]
mod tests;
