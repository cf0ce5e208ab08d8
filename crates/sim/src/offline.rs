//! A simulator without a network: calls come by a function, time by a clock that is handed in.

use std::sync::Arc;

use axum::body::Body;
use parking_lot::MutexGuard;

use crate::{clock::Clock, http, options::Options, shared::Shared, world::World};

/// The longest answer that is taken: longer than any client reads.
const ANSWER_MAX: usize = 64 << 20;

/// A simulator without a network. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Offline(Arc<Shared>);

impl Offline {
    /// One that goes by `clock`; where `options` say to listen is not looked at.
    #[must_use]
    pub fn new(options: Options, clock: Clock) -> Self {
        Self(Arc::new(Shared::new(options, clock)))
    }

    /// The world as it is now.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.world();
        world.disturb();
        world
    }

    /// The world as it is now, for who only looks.
    pub fn look(&self) -> MutexGuard<'_, World> {
        self.0.world()
    }

    /// Answers one request; `None` if the connection breaks. It waits for nothing but a fault that hangs.
    pub async fn call(
        &self,
        request: axum::http::Request<Vec<u8>>,
    ) -> Option<axum::http::Response<Vec<u8>>> {
        let response = http::handle(&self.0, request.map(Body::from)).await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, ANSWER_MAX).await.ok()?;
        Some(axum::http::Response::from_parts(parts, body.to_vec()))
    }
}
