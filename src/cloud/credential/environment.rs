//! Keys from the operator's environment, and the variables and files that it gives.

use std::{fmt, io::Read, sync::Arc};

use secrecy::{SecretString, zeroize::Zeroizing};

use super::{Keys, Unavailable};

const ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";

/// The longest file that is read, in bytes: STS takes no longer token. Source: STS 2015-04-01, `AssumeRoleWithOIDC`.
pub(super) const FILE_MAX: usize = 20_000;

/// Variables by name and files by path: the operator's own, or others that a test hands in.
#[derive(Clone)]
pub struct Environment {
    get: Arc<Lookup>,
    read: Arc<ReadFile>,
}

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The text of a file, or why there is none.
type ReadFile = dyn Fn(&str) -> Result<SecretString, String> + Send + Sync;

impl Environment {
    /// The variables and files of this process, as they are when they are asked for.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(|name| std::env::var(name).ok()).with_files(read_file)
    }

    /// Variables from `get`, and no files.
    #[must_use]
    pub fn new(get: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self {
            get: Arc::new(get),
            read: Arc::new(|_| Err("there is no such file".to_owned())),
        }
    }

    /// The same with files from `read`.
    #[must_use]
    pub fn with_files(
        self,
        read: impl Fn(&str) -> Result<SecretString, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            read: Arc::new(read),
            ..self
        }
    }

    /// A variable; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn read(&self, path: &str) -> Result<SecretString, String> {
        (self.read)(path)
    }

    /// The keys that the variables hold.
    pub(super) fn keys(&self) -> Result<Keys, Unavailable> {
        let need = |name| {
            self.get(name).ok_or_else(|| {
                Unavailable::because(format!(
                    "the operator's environment variable {name} is not set"
                ))
            })
        };
        Ok(Keys {
            id: need(ID)?,
            secret: need(SECRET)?.into(),
            token: self.get(TOKEN).map(Into::into),
        })
    }
}

impl fmt::Debug for Environment {
    /// Names nothing: a value may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// Reads a small file whole. Anything but a file would keep the reader waiting, or never end.
fn read_file(path: &str) -> Result<SecretString, String> {
    let told = |error: std::io::Error| error.kind().to_string();
    let file = std::fs::File::open(path).map_err(told)?;
    if !file.metadata().map_err(told)?.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_MAX + 2));
    let most = u64::try_from(FILE_MAX + 1).unwrap_or(u64::MAX);
    file.take(most).read_to_string(&mut text).map_err(told)?;
    match text.len() > FILE_MAX {
        true => Err(format!("it is longer than {FILE_MAX} bytes")),
        false => Ok(text.as_str().into()),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn from(pairs: &'static [(&'static str, &'static str)]) -> Result<Keys, Unavailable> {
        let environment = Environment::new(|name| {
            pairs
                .iter()
                .find(|(had, _)| *had == name)
                .map(|(_, value)| (*value).to_owned())
        });
        environment.keys()
    }

    #[test]
    fn names_the_variable_that_is_missing_or_empty() {
        assert!(from(&[]).err().unwrap().message.contains(ID));
        let empty = from(&[(ID, "id"), (SECRET, "")]).err().unwrap();
        assert!(empty.message.contains(SECRET));
    }

    #[test]
    fn the_token_is_optional() {
        let keys = from(&[(ID, "id"), (SECRET, "canary"), (TOKEN, "canary")]).unwrap();
        assert_eq!(keys.secret.expose_secret(), "canary");
        assert!(from(&[(ID, "id"), (SECRET, "s")]).unwrap().token.is_none());
    }

    #[test]
    fn a_file_is_read_again_each_time_and_one_that_cannot_be_read_says_why() {
        let path = std::env::temp_dir().join(format!("token-{}", std::process::id()));
        let path = path.to_str().unwrap();
        let environment = Environment::of_process();
        for text in ["one", "another"] {
            std::fs::write(path, text).unwrap();
            assert_eq!(environment.read(path).unwrap().expose_secret(), text);
        }
        std::fs::write(path, "x".repeat(FILE_MAX + 1)).unwrap();
        let said = environment.read(path).unwrap_err();
        assert!(said.contains("longer than"), "{said}");
        std::fs::remove_file(path).unwrap();
        assert_eq!(environment.read(path).unwrap_err(), "entity not found");
        assert_eq!(environment.read("/").unwrap_err(), "it is not a file");
        assert_eq!(
            environment.read("/dev/zero").unwrap_err(),
            "it is not a file"
        );
    }
}
