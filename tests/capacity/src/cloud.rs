//! The simulated cloud with a server group an object, and who calls it.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use server_group_sim::{Held, Options, Simulator, When, audit::Entry, world::Product};
use tokio::time::timeout;

use crate::fleet::{MEMBERS, PORT, WEIGHT, group, server};

/// What a replica signs with.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub secret: String,
}

/// More replicas than one run starts.
const KEYS: usize = 8;

/// The cloud account that all keys belong to.
const ACCOUNT: &str = "1000000000000001";

/// A simulated cloud, in this process, that takes as many calls as come.
pub struct Cloud {
    simulator: Simulator,
    calls: Arc<Mutex<Calls>>,
    keys: std::vec::IntoIter<Key>,
}

/// The calls that were made, those apart that ask who one is: once a key and region.
#[derive(Debug, Default)]
struct Calls {
    reads: usize,
    changes: usize,
    refused: usize,
    /// Groups that were named since the last [`Cloud::look_afresh`].
    named: HashSet<String>,
}

/// How many calls there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub reads: usize,
    pub changes: usize,
    /// Of either kind, those that were refused, or in which something was wrong.
    pub refused: usize,
}

impl Counts {
    /// Those since `earlier`.
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            reads: self.reads - earlier.reads,
            changes: self.changes - earlier.changes,
            refused: self.refused - earlier.refused,
        }
    }
}

impl Cloud {
    /// Starts it with so many groups, in which all members serve already.
    ///
    /// # Errors
    ///
    /// It cannot listen.
    pub async fn start(groups: usize) -> Result<Self> {
        let keys: Vec<_> = (0..KEYS)
            .map(|number| Key {
                id: format!("key-{number}"),
                secret: format!("secret-{number}"),
            })
            .collect();
        let known = keys
            .iter()
            .map(|key| (key.id.clone(), key.secret.clone(), ACCOUNT.to_owned()))
            .collect();
        let options = Options {
            keys: known,
            ..Options::default()
        };
        let simulator = Simulator::start(options)
            .await
            .context("no simulated cloud")?;
        {
            let mut world = simulator.world();
            // How long the cloud takes is not what is measured.
            world.durations.adding = 0.0;
            world.durations.removing = 0.0;
            world.durations.processing = 0.0;
            for number in 0..groups {
                let id = group(number);
                world.create_group(Product::Clb, &id);
                for member in 0..MEMBERS {
                    world.put_member(&id, &server(number, member), "", PORT, WEIGHT);
                }
            }
        }
        let calls = Arc::new(Mutex::new(Calls::default()));
        let counted = Arc::clone(&calls);
        // A hold that never fits sees every call: its log need not be searched, for which the cloud would stand still.
        let watch = simulator.hold(When::After, move |call| {
            counted.lock().count(call);
            false
        });
        // It lasts as long as the simulator, which lets go of a hold only when a call fits.
        drop(watch);
        Ok(Self {
            simulator,
            calls,
            keys: keys.into_iter(),
        })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        self.simulator.url()
    }

    /// A key that nobody has.
    ///
    /// # Errors
    ///
    /// None is left.
    pub fn key(&mut self) -> Result<Key> {
        self.keys.next().context("more replicas than keys")
    }

    /// How many calls were made so far.
    pub fn counts(&self) -> Counts {
        let calls = self.calls.lock();
        Counts {
            reads: calls.reads,
            changes: calls.changes,
            refused: calls.refused,
        }
    }

    /// Forgets which groups were named.
    pub fn look_afresh(&self) {
        self.calls.lock().named.clear();
    }

    /// How many groups were named since.
    pub fn named(&self) -> usize {
        self.calls.lock().named.len()
    }

    /// Waits for the first call that is signed with `key` and is about the group of this object; of any when none is given.
    pub fn first_call(&self, object: Option<usize>, key: &Key) -> FirstCall {
        let (group, key) = (object.map(group), key.id.clone());
        let held = self.simulator.hold(When::Before, move |call| {
            let about = group.as_ref().is_none_or(|group| call.resource == *group);
            about && call.service == "slb" && call.key == key
        });
        FirstCall(held)
    }
}

impl Calls {
    fn count(&mut self, call: &Entry) {
        if call.action == "GetCallerIdentity" {
            return;
        }
        match call.changes {
            true => self.changes += 1,
            false => self.reads += 1,
        }
        // What the cloud passes over is as wrong as what it refuses.
        self.refused += usize::from(call.code.is_some() || !call.notes.is_empty());
        if !self.named.contains(&call.resource) {
            self.named.insert(call.resource.clone());
        }
    }
}

/// A call that is waited for.
pub struct FirstCall(Held);

impl FirstCall {
    /// Waits until it arrives, lets it go on, and returns the moment.
    ///
    /// # Errors
    ///
    /// It does not within `patience`.
    pub async fn arrived(mut self, patience: Duration) -> Result<Instant> {
        timeout(patience, self.0.arrived())
            .await
            .with_context(|| format!("no call within {patience:?}"))?;
        let at = Instant::now();
        self.0.release();
        Ok(at)
    }
}
