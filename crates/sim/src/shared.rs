//! What the server and its owner share: the world, the time that passes in it, and calls that are stopped.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::{
    audit::Entry,
    carry_out,
    clock::Clock,
    hold::{GoOn, Hold, When},
    options::Options,
    signature::Key,
    world::World,
};

/// What the server and its owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) world: Mutex<World>,
    holds: Mutex<Vec<Hold>>,
    hangs: Notify,
    clock: Clock,
    speed: f64,
}

impl Shared {
    pub(crate) fn new(options: Options, clock: Clock) -> Self {
        let keys = options
            .keys
            .into_iter()
            .map(|(id, secret, account)| (id, Key::lasting(secret, account)))
            .collect();
        Self {
            world: Mutex::new(World::new(options.seed, keys, clock.clone())),
            holds: Mutex::default(),
            hangs: Notify::new(),
            clock,
            speed: options.speed,
        }
    }

    /// The world at the present moment.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock();
        self.bring_up_to_date(&mut world);
        world
    }

    /// Lets pass the time that has passed since, and what came about in it.
    pub(crate) fn bring_up_to_date(&self, world: &mut World) {
        let now = self.clock.elapsed().as_secs_f64() * self.speed + world.skipped;
        while let Some(late) = world.take_late(now) {
            world.advance(late.due);
            carry_out::land(world, late);
        }
        world.advance(now);
    }

    /// Stops a call that fits.
    pub(crate) fn hold(&self, hold: Hold) {
        self.holds.lock().push(hold);
    }

    /// Waits if somebody wants to stop this call here.
    pub(crate) async fn gate(&self, when: When, entry: &Entry) -> GoOn {
        let found = {
            let mut holds = self.holds.lock();
            let found = holds
                .iter_mut()
                .position(|hold| hold.when == when && (hold.fits)(entry));
            found.map(|index| holds.remove(index))
        };
        let Some(hold) = found else {
            return GoOn::Yes;
        };
        // If nobody waits for it, it is not worth stopping.
        match hold.arrived.send(()) {
            Ok(()) => hold.released.await.unwrap_or(GoOn::Yes),
            Err(()) => GoOn::Yes,
        }
    }

    pub(crate) fn release_hanging(&self) {
        self.hangs.notify_waiters();
    }

    /// Waits longer than any client, or until hanging calls are released.
    pub(crate) async fn hang(&self) {
        tokio::select! {
            () = self.hangs.notified() => {}
            () = tokio::time::sleep(Duration::from_mins(2)) => {}
        }
    }
}
