//! The operator as a process: started from its binary, asked whether it is ready, ended by its id.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use control_plane::Access;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{cloud::Key, fleet::OPERATOR_NAMESPACE, usage::Usage};

/// How replicas are started.
pub struct Program {
    binary: PathBuf,
    /// Where kubeconfigs and logs go; the logs stay for whoever wonders.
    directory: PathBuf,
}

/// A running replica. Dropping it kills it, so none outlives a failure.
pub struct Replica {
    child: Child,
    /// Its id, also once it has ended.
    id: u32,
    /// What it signs with: no two replicas have the same, so that their calls can be told apart.
    pub key: Key,
    probes: SocketAddr,
    log: PathBuf,
}

impl Program {
    /// The binary, which has to be there, and the directory, which is made.
    ///
    /// # Errors
    ///
    /// One of them cannot be had.
    pub fn new(binary: &Path, directory: &Path) -> Result<Self> {
        let binary = fs::canonicalize(binary).with_context(|| {
            format!(
                "there is no operator at {}: cargo build --release --locked",
                binary.display()
            )
        })?;
        fs::create_dir_all(directory).context("no directory for logs")?;
        Ok(Self {
            binary,
            directory: directory.to_owned(),
        })
    }

    /// Starts a replica that talks to this API server and this cloud.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(&self, name: &str, access: &Access, endpoint: &str, key: Key) -> Result<Replica> {
        let file = |ending: &str| self.directory.join(format!("{name}.{ending}"));
        let (kubeconfig, log) = (file("kubeconfig"), file("log"));
        access.write_kubeconfig(&kubeconfig)?;
        let probes = free_address()?;
        let output = File::create(&log).context("no log")?;
        let child = Command::new(&self.binary)
            .arg("run")
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(["--endpoint", &format!("*={endpoint}")])
            .args(["--listen", &probes.to_string()])
            .args(["--operator-namespace", OPERATOR_NAMESPACE])
            // Flags have variables, and so has what it logs.
            .env_clear()
            .env("HOSTNAME", name)
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", &key.id)
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", &key.secret)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("no log")?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        let id = child.id().context("it ended at once")?;
        Ok(Replica {
            child,
            id,
            key,
            probes,
            log,
        })
    }
}

impl Replica {
    /// What it has used so far.
    ///
    /// # Errors
    ///
    /// It has ended by itself; then with the last it said.
    pub fn usage(&mut self) -> Result<Usage> {
        self.still_runs()?;
        Usage::of(self.id)
    }

    /// Fails if it has ended by itself.
    ///
    /// # Errors
    ///
    /// Then, with the last it said.
    pub fn still_runs(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait().context("cannot ask after it")? else {
            return Ok(());
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().last().unwrap_or("nothing");
        bail!("the operator ended by itself, {status}; it said last: {last}")
    }

    /// Waits until its caches are filled.
    ///
    /// # Errors
    ///
    /// They are not within [`PATIENCE`].
    pub async fn ready(&mut self) -> Result<()> {
        let filled = async {
            while !is_ready(self.probes).await {
                self.still_runs()?;
                sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        timeout(PATIENCE, filled)
            .await
            .context("the operator did not become ready")?
    }

    /// Sends it a signal, and returns at once.
    ///
    /// # Errors
    ///
    /// The signal cannot be sent, or it has ended by itself.
    pub async fn signal(&mut self, signal: Signal) -> Result<()> {
        self.still_runs()?;
        if matches!(signal, Signal::Kill) {
            return self.child.start_kill().context("cannot kill it");
        }
        // To its id and to nobody else: it is our child and was not waited for, so the id is still its own.
        let sent = Command::new("kill")
            .args(["-TERM", &self.id.to_string()])
            .status()
            .await
            .context("cannot run kill")?;
        ensure!(sent.success(), "the signal was not sent: {sent}");
        Ok(())
    }

    /// Waits until it has ended after it was sent a signal.
    ///
    /// # Errors
    ///
    /// It does not within [`PATIENCE`], or failed though it was asked politely.
    pub async fn ended(mut self, signal: Signal) -> Result<()> {
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .context("the operator does not end")?
            .context("cannot wait for it")?;
        let expected = matches!(signal, Signal::Kill) || status.success();
        ensure!(expected, "the operator ended badly: {status}");
        Ok(())
    }
}

/// How a replica is ended.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// SIGTERM: what runs is finished, and the lease given back.
    Terminate,
    /// SIGKILL, as a machine that goes dark.
    Kill,
}

impl Signal {
    /// What happens to a leader, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Terminate => "the leader is told to end",
            Self::Kill => "the leader is killed",
        }
    }
}

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// An address that nobody listens on. Somebody may take it before the replica does, which then says so and ends.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    listener.local_addr().context("no free port")
}

async fn is_ready(address: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask.await.unwrap_or(false)
}
