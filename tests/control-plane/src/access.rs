//! Who talks to the API server, and how.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::{Error, busy, credentials};

/// One identity at one API server.
#[derive(Clone)]
pub struct Access {
    server: String,
    authority: Vec<u8>,
    token: String,
}

impl Access {
    /// `authority` is the PEM of what signed the server's certificate.
    pub(crate) fn new(server: String, authority: Vec<u8>, token: String) -> Self {
        Self {
            server,
            authority,
            token,
        }
    }

    /// The same server under another identity.
    pub(crate) fn with_token(&self, token: String) -> Self {
        Self {
            token,
            ..self.clone()
        }
    }

    /// The server's address, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A kubeconfig that needs no other file.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1
kind: Config
current-context: control-plane
contexts:
- name: control-plane
  context: {{cluster: control-plane, user: control-plane}}
clusters:
- name: control-plane
  cluster:
    server: {}
    certificate-authority-data: {}
users:
- name: control-plane
  user: {{token: {}}}
",
            self.server,
            STANDARD.encode(&self.authority),
            self.token,
        )
    }

    /// Writes [`Self::kubeconfig`] to `path`, readable by its owner only.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<(), Error> {
        credentials::write_secret(path, &self.kubeconfig())
    }

    /// The configuration of a client, for those who change something before they connect.
    ///
    /// # Errors
    ///
    /// [`Error::Kubeconfig`], which would be a mistake of this crate.
    pub async fn config(&self) -> Result<kube::Config, Error> {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig())?;
        let options = KubeConfigOptions::default();
        Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?)
    }

    /// A new client, which asks again when the API server's store is busy. It belongs to the runtime that this is called on, so each test makes its own.
    ///
    /// # Errors
    ///
    /// As [`Self::config`], and [`Error::Kubernetes`] when the certificate is refused.
    pub async fn client(&self) -> Result<kube::Client, Error> {
        let client = kube::Client::try_from(self.config().await?)?;
        Ok(busy::asking_again(client))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token stays out of logs even here: habits are made in tests.
        formatter
            .debug_struct("Access")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
