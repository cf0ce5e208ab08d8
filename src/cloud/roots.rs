//! The certificate authorities that are believed in: the bundled ones, and those in a file that the operator's flags name.

use std::{io, path::Path};

use reqwest::{Certificate, Client};

/// Certificate authorities that are believed in besides the bundled ones.
#[derive(Clone, Debug, Default)]
pub struct Roots(Vec<Certificate>);

/// A file of certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadRoots {
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
    /// A certificate in it is damaged.
    #[error("a certificate in it is damaged")]
    Damaged(#[from] reqwest::Error),
    /// It has none.
    #[error(
        "it has no certificate; write certificates as PEM, each from BEGIN CERTIFICATE to END CERTIFICATE"
    )]
    Empty,
}

impl Roots {
    /// The certificates in a file, as PEM.
    ///
    /// # Errors
    ///
    /// [`BadRoots`] if there is none, or one that is damaged.
    pub fn read(file: &Path) -> Result<Self, BadRoots> {
        let certificates = Certificate::from_pem_bundle(&std::fs::read(file)?)?;
        if certificates.is_empty() {
            return Err(BadRoots::Empty);
        }
        // Only a client that is to believe in them reads what is in them.
        let reader = Client::builder().tls_certs_only(certificates.clone());
        drop(reader.build()?);
        Ok(Self(certificates))
    }

    /// These and the bundled ones.
    pub(super) fn and_bundled(&self) -> Result<Vec<Certificate>, reqwest::Error> {
        let bundled = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let bundled = bundled.map(|root| Certificate::from_der(root));
        bundled.chain(self.0.iter().cloned().map(Ok)).collect()
    }
}
