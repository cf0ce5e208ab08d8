//! Many objects of one kind, and one operator.

use std::time::Duration;

use serde_json::Value;
use server_group_sim::audit::Entry;
use simulation::{lab::Lab, plan::What, workload::builders::ground};

/// A kind, by its plural.
pub type Kind = &'static str;

pub const MEMBERSHIPS: Kind = "servergroupmemberships";
pub const ATTACHMENTS: Kind = "scalinggroupattachments";

/// Long enough that nobody looks a second time meanwhile, in seconds.
pub const SELDOM: u32 = 86_400;

/// More than is asked in a second when all of ten thousand are looked at.
const MANY: usize = 100_000;

/// Many objects of one kind, and one operator.
pub struct Crowd {
    pub lab: Lab,
    kind: Kind,
}

impl Crowd {
    /// An empty world, in which every way takes the same short time.
    pub fn of(kind: Kind) -> Self {
        let mut lab = Lab::new(1, false, true);
        lab.spins = MANY;
        ground(&mut lab);
        Self { lab, kind }
    }

    /// Starts the operator, and waits until all objects have converged.
    pub fn converge(&mut self, within: Duration) {
        self.lab.look_at_setup();
        self.lab.start_in(Duration::from_millis(10));
        while let Some(conditions) = self.waits() {
            let now = self.lab.now();
            assert!(now < within, "one has not converged: {conditions}");
            self.pass(Duration::from_secs(1));
        }
    }

    /// The conditions of an object that has not converged.
    fn waits(&self) -> Option<Value> {
        let mut all = self.lab.cluster.objects(self.kind);
        let waits = all.find(|object| {
            let conditions = object["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            !conditions
                .any(|condition| condition["type"] == "Ready" && condition["reason"] == "Converged")
        });
        waits.map(|object| object["status"]["conditions"].clone())
    }

    /// The operator ends as by a crash, and another one takes its place.
    pub fn restart(&mut self) {
        self.lab.happen(&What::CrashBefore(10), None);
    }

    /// Lets so much time pass.
    pub fn pass(&mut self, time: Duration) {
        self.lab.run_until(self.lab.now() + time);
        assert_eq!(self.lab.oracles.broken(), None);
    }

    /// How many calls fit. Who one is, is asked once by each operator, and counts nowhere.
    pub fn calls(&self, fits: impl Fn(&Entry) -> bool) -> usize {
        let world = self.lab.cloud.look();
        let calls = world.audit.iter().filter(|call| call.service != "time");
        let calls = calls.filter(|call| call.action != "GetCallerIdentity");
        calls.filter(|call| fits(call)).count()
    }

    /// How often the operator wrote an object.
    pub fn writes(&self) -> usize {
        let changes = self.lab.cluster.history().iter();
        let ours = changes.filter(|change| change.by.starts_with("replica"));
        ours.filter(|change| change.resource == self.kind).count()
    }
}
