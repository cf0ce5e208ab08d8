//! Whose cloud account a key belongs to: asked once for each key.

use std::collections::HashMap;

use tokio::sync::Mutex;

use crate::cloud::{self, Cloud};

/// Answers of `GetCallerIdentity` by access key id.
///
/// A key belongs to one account as long as it exists, so an answer never gets old; whenever the source yields
/// another key, it is asked again. Who asks meanwhile waits for the answer.
#[derive(Debug, Default)]
pub struct Identities(Mutex<HashMap<String, String>>);

impl Identities {
    /// The id of the cloud account that `cloud` acts in.
    ///
    /// # Errors
    ///
    /// The credentials cannot be had, or the cloud does not take them.
    pub async fn account_id(&self, cloud: &Cloud) -> Result<String, cloud::Error> {
        let key = cloud.access_key_id().await?;
        let mut known = self.0.lock().await;
        if let Some(account) = known.get(&key) {
            return Ok(account.clone());
        }
        let identity = cloud.get_caller_identity().await?;
        known.insert(key, identity.account_id.clone());
        Ok(identity.account_id)
    }
}
