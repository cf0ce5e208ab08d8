//! Where the programs are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// A program of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The store behind the API server.
    Etcd,
    /// The API server.
    ApiServer,
    /// Garbage collection, deletion of namespaces, default service accounts.
    ControllerManager,
    /// The command line client.
    Kubectl,
}

impl Program {
    /// The name of its file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
        }
    }
}

/// The path of an installed program: in `KUBEBUILDER_ASSETS`, else in the cache.
///
/// # Errors
///
/// [`Error::Missing`] when it is in neither, [`Error::Io`] when `install.sh` cannot be asked.
pub fn find(program: Program) -> Result<PathBuf, Error> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").filter(|path| !path.is_empty());
    let looked_in: Vec<PathBuf> = assets
        .map(PathBuf::from)
        .into_iter()
        .chain([cache_directory()?])
        .collect();
    looked_in
        .iter()
        .map(|directory| directory.join(program.name()))
        .find(|path| path.is_file())
        .ok_or(Error::Missing {
            program: program.name(),
            looked_in,
        })
}

/// The directory that `install.sh` installs into. It need not exist.
///
/// The script is asked, because the name depends on every pin and belongs in one place.
///
/// # Errors
///
/// [`Error::Io`] when the script cannot be run.
pub fn cache_directory() -> Result<PathBuf, Error> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh");
    let action = format!("run {} --print", script.display());
    let output = Command::new(&script)
        .arg("--print")
        .output()
        .map_err(Error::io(action))?;
    Ok(PathBuf::from(
        String::from_utf8_lossy(&output.stdout).trim(),
    ))
}
