//! Finds, starts and ends a real etcd and kube-apiserver.
//!
//! Tests and the demo talk to what users run: no home-made API server stands in for it. Where the
//! programs come from is the business of `install.sh` beside this crate; nothing here downloads or
//! builds.
//!
//! ```no_run
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! let control_plane = control_plane::ControlPlane::shared().await;
//! let namespace = control_plane.namespace("drift").await?;
//! let client = control_plane.admin().client().await?;
//! # Ok(())
//! # }
//! ```

mod access;
mod busy;
mod control_plane;
mod credentials;
mod directory;
mod error;
mod patience;
mod ports;
mod programs;
mod ready;
mod servers;
mod service_account;
mod signing_key;
mod supervisor;

pub use access::Access;
pub use control_plane::{ControlPlane, Options};
pub use error::Error;
pub use patience::Patience;
pub use programs::{Program, cache_directory, find};
