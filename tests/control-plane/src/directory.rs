//! The directory that servers run in.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, process};

use crate::{Error, Program};

/// Makes a lasting directory, or clears what an earlier run left there: only names of ours.
pub(crate) fn prepare(directory: &Path) -> Result<PathBuf, Error> {
    let action = || format!("prepare {}", directory.display());
    fs::create_dir_all(directory).map_err(Error::io(action()))?;
    for name in ["etcd", "certs"] {
        unless_missing(fs::remove_dir_all(directory.join(name))).map_err(Error::io(action()))?;
    }
    for program in [
        Program::Etcd,
        Program::ApiServer,
        Program::ControllerManager,
    ] {
        // The log of an earlier server, or the mark of its end, would be taken for this one's.
        for ending in ["log", "ended"] {
            let path = directory.join(format!("{}.{ending}", program.name()));
            unless_missing(fs::remove_file(path)).map_err(Error::io(action()))?;
        }
    }
    directory.canonicalize().map_err(Error::io(action()))
}

fn unless_missing(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
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
