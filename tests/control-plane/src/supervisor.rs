//! The process that ends the servers when this one ends.
//!
//! A destructor does not run on `SIGKILL`, nor for a static. The kernel closes our end of a pipe in
//! every case, so `supervise.sh` holds the other end and waits for that.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::{Error, Program};

/// What becomes of the directory once the servers have ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Keep,
    Remove,
}

/// Runs servers until it is dropped or this process ends.
#[derive(Debug)]
pub(crate) struct Supervisor {
    process: Child,
    // `None` only while dropping.
    lifeline: Option<ChildStdin>,
    directory: PathBuf,
}

impl Supervisor {
    pub(crate) fn start(directory: &Path, fate: Fate) -> Result<Self, Error> {
        let mut process = Command::new("bash")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("supervise.sh"))
            .arg(match fate {
                Fate::Keep => "keep",
                Fate::Remove => "remove",
            })
            .arg(directory)
            .stdin(Stdio::piped())
            // Whoever reads our output must not wait for the supervisor to end.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C reaches the whole foreground group, and the supervisor has to outlive us.
            .process_group(0)
            .spawn()
            .map_err(Error::io("start the supervisor"))?;
        let lifeline = process.stdin.take();
        Ok(Self {
            process,
            lifeline,
            directory: directory.to_owned(),
        })
    }

    pub(crate) fn run(
        &mut self,
        path: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<(), Error> {
        let mut line = path.as_os_str().to_owned();
        for argument in arguments {
            line.push(OsString::from("\x1f"));
            line.push(argument);
        }
        line.push("\n");
        let lifeline = self.lifeline.as_mut().expect("taken by drop alone");
        lifeline
            .write_all(line.as_bytes())
            .map_err(Error::io(format!("start {}", path.display())))
    }

    /// Whether the program ended by itself.
    pub(crate) fn ended(&self, program: Program) -> bool {
        self.directory
            .join(format!("{}.ended", program.name()))
            .exists()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // It only kills and removes: milliseconds. Afterwards ports and files are free.
        _ = self.process.wait();
    }
}
