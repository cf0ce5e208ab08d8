//! The directory that servers run in.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, process};

use crate::Error;

/// Makes a lasting directory, or clears what an earlier run left of data and certificates.
pub(crate) fn prepare(directory: &Path) -> Result<PathBuf, Error> {
    let action = || format!("prepare {}", directory.display());
    fs::create_dir_all(directory).map_err(Error::io(action()))?;
    for stale in ["etcd", "certs"] {
        match fs::remove_dir_all(directory.join(stale)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(action())(error));
            }
            _ => {}
        }
    }
    directory.canonicalize().map_err(Error::io(action()))
}

/// Makes a directory for one run, under the system's directory for such things.
pub(crate) fn temporary() -> Result<PathBuf, Error> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = env::temp_dir().join(format!("control-plane-{}-{count}", process::id()));
    // Fails when it exists, so nobody else's files are ever used or removed.
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&directory)
        .map_err(Error::io(format!("make {}", directory.display())))?;
    Ok(directory)
}
