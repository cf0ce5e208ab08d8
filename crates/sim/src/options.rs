//! How a simulator is started.

use std::net::SocketAddr;

/// How a simulator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where ids come from.
    pub seed: u64,
    /// Loopback address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many seconds pass in one; 0 = time stands still but for [`World::pass`](crate::world::World::pass).
    pub speed: f64,
    /// Keys that may sign: id, secret, cloud account.
    pub keys: Vec<(String, String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            speed: 1.0,
            keys: vec![(
                "simulated-key".into(),
                "simulated-secret".into(),
                "1000000000000001".into(),
            )],
        }
    }
}
