//! Why there is no control plane.

use std::io;
use std::iter;
use std::path::PathBuf;

/// Why a control plane could not be started or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is neither in `KUBEBUILDER_ASSETS` nor in the cache.
    #[error(
        "{program} is not installed: run `make control-plane` (looked in {})",
        looked_in.iter().map(|directory| directory.display().to_string()).collect::<Vec<_>>().join(" and ")
    )]
    Missing {
        /// The program's file name.
        program: &'static str,
        /// The directories that should have held it.
        looked_in: Vec<PathBuf>,
    },
    /// A server ended by itself, or does not get any closer to being ready.
    #[error("{what}\n{logs}")]
    NotReady {
        /// What happened.
        what: String,
        /// The last lines that each server wrote.
        logs: String,
    },
    /// The machine refused something: a file, a port, a process.
    #[error("could not {action}")]
    Io {
        /// What was tried.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
    /// kubectl ended with an error.
    #[error("kubectl refused: {words}")]
    Kubectl {
        /// What it wrote.
        words: String,
    },
    /// The machine gave no random numbers for a key or a token.
    #[error("could not draw a key or a token")]
    Random,
    /// A binding was made and has no effect.
    #[error("the binding to cluster role {role} has no effect")]
    NotBound {
        /// The role.
        role: String,
    },
    /// The kubeconfig that this crate wrote was not understood.
    #[error("could not read our own kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The API server refused a request.
    #[error("the API server refused a request")]
    Kubernetes(#[from] kube::Error),
}

impl Error {
    /// The error and everything that caused it, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let causes = iter::successors(Some(self as &dyn std::error::Error), |error| error.source());
        causes
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    }

    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        |source| Self::Io { action, source }
    }
}
