//! One running control plane.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::OnceCell;

use crate::supervisor::{Fate, Supervisor};
use crate::{Access, Error, Program, credentials, directory, find, ports, ready, servers};

/// The variable with the directory in which API servers note what service accounts ask: a file each, an event in JSON a line.
const AUDIT: &str = "CONTROL_PLANE_AUDIT";

/// What to start, and where.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Also start kube-controller-manager. Without it namespaces stay `Terminating`, nothing is
    /// garbage collected and no namespace has a default service account.
    pub controller_manager: bool,
    /// Where logs, keys and data go. `None` is a temporary directory that is removed at the end;
    /// a given one is emptied of an earlier run first, and kept.
    pub directory: Option<PathBuf>,
    /// How much etcd stores before it takes no more, in bytes; `None` is its own default, 2 GiB.
    pub etcd_quota_bytes: Option<u64>,
}

/// A running etcd and kube-apiserver. Dropping it ends them, and so does the end of this process.
#[derive(Debug)]
pub struct ControlPlane {
    admin: Access,
    directory: PathBuf,
    kubeconfig: PathBuf,
    _supervisor: Supervisor,
}

impl ControlPlane {
    /// The control plane that all tests of this binary share, without kube-controller-manager.
    ///
    /// # Panics
    ///
    /// When it cannot be started, with the reason; then for every test alike, without another try.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();
        let started = SHARED.get_or_init(async || {
            Self::start(&Options::default())
                .await
                .map_err(|error| error.chain())
        });
        match started.await {
            Ok(control_plane) => control_plane,
            Err(message) => panic!("no control plane: {message}"),
        }
    }

    /// Starts a control plane of its own and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when a program is not installed, [`Error::NotReady`] with the servers' last
    /// words when one of them ends or nothing moves for a minute, [`Error::Io`] when the machine refuses.
    pub async fn start(options: &Options) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            match Self::attempt(options).await {
                Err(Error::NotReady { what, logs })
                    if attempt < ATTEMPTS_MAX && may_be_tried_again(&what, &logs) =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt(options: &Options) -> Result<Self, Error> {
        let (etcd, apiserver) = (find(Program::Etcd)?, find(Program::ApiServer)?);
        let (directory, fate) = match &options.directory {
            Some(directory) => (directory::prepare(directory)?, Fate::Keep),
            None => (directory::temporary()?, Fate::Remove),
        };
        let mut supervisor = Supervisor::start(&directory, fate)?;

        let [client, peer, secure] = ports::free()?;
        let token = credentials::write(&directory)?;
        let quota = options.etcd_quota_bytes;
        supervisor.run(&etcd, servers::etcd(&directory, client, peer, quota))?;
        let audit = audit_log(&directory)?;
        let arguments = servers::apiserver(&directory, client, secure, audit.as_deref());
        supervisor.run(&apiserver, arguments)?;
        let admin = ready::wait(&directory, secure, &token, &supervisor).await?;

        let kubeconfig = directory.join("kubeconfig");
        admin.write_kubeconfig(&kubeconfig)?;
        if options.controller_manager {
            let path = find(Program::ControllerManager)?;
            supervisor.run(&path, servers::controller_manager(&directory, &kubeconfig))?;
            ready::wait_for_controllers(&directory, &admin, &supervisor).await?;
        }
        Ok(Self {
            admin,
            directory,
            kubeconfig,
            _supervisor: supervisor,
        })
    }

    /// May do everything.
    #[must_use]
    pub fn admin(&self) -> &Access {
        &self.admin
    }

    /// The file with the administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The end of each server's log, for a test that fails.
    #[must_use]
    pub fn last_words(&self) -> String {
        ready::last_words(&self.directory)
    }

    /// kubectl as administrator, ready for its arguments.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] when it is not installed.
    pub fn kubectl(&self) -> Result<Command, Error> {
        let mut command = Command::new(find(Program::Kubectl)?);
        command.env("KUBECONFIG", &self.kubeconfig);
        Ok(command)
    }

    /// Applies the manifests of a file, or of all files in a directory.
    ///
    /// # Errors
    ///
    /// [`Error::Kubectl`] with its words when it refuses, [`Error::Missing`] when it is not installed.
    pub fn apply(&self, path: &Path) -> Result<(), Error> {
        let output = self
            .kubectl()?
            .args(["apply", "--server-side", "--filename"])
            .arg(path)
            .output()
            .map_err(Error::io("run kubectl"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Kubectl {
            words: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Makes a namespace that no other test uses, and returns its name: `prefix` and a random end.
    ///
    /// # Errors
    ///
    /// [`Error::Kubernetes`].
    ///
    /// # Panics
    ///
    /// When the server stores a namespace without a name.
    pub async fn namespace(&self, prefix: &str) -> Result<String, Error> {
        let namespaces = Api::<Namespace>::all(self.admin.client().await?);
        let metadata = ObjectMeta {
            generate_name: Some(format!("{prefix}-")),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        let created = namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        Ok(created
            .metadata
            .name
            .expect("whatever is stored has a name"))
    }
}

/// Where the API server of this directory notes what it was asked, if anybody wants to read that afterwards.
fn audit_log(directory: &Path) -> Result<Option<PathBuf>, Error> {
    let Some(folder) = env::var_os(AUDIT).map(PathBuf::from) else {
        return Ok(None);
    };
    let policy = directory.join(servers::AUDIT_POLICY);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(policy, servers::AUDITED))
        .map_err(Error::io("prepare the audit"))?;
    let name = directory.file_name().unwrap_or_default();
    Ok(Some(folder.join(name).with_extension("jsonl")))
}

/// Somebody took one of the ports between our choice and the server's start; or kube-controller-manager gave up on an API
/// server that was slow to answer, which a kubelet answers by starting it again.
fn may_be_tried_again(what: &str, logs: &str) -> bool {
    logs.contains("address already in use") || what.starts_with(Program::ControllerManager.name())
}

/// A port is lost to somebody else once in a great while; thrice in a row means another cause.
const ATTEMPTS_MAX: u32 = 3;
