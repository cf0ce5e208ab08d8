//! The secrets that the servers are told to read, made anew for each run.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{Error, signing_key};

/// Lays the secrets out in `directory` and returns the administrator's token.
pub(crate) fn write(directory: &Path) -> Result<String, Error> {
    let token = random_token()?;
    let key = signing_key::generate()?;
    write_secret(
        &directory.join("tokens.csv"),
        &format!("{token},admin,1,system:masters\n"),
    )?;
    write_secret(&directory.join("service-account.key"), &key.private)?;
    write_secret(&directory.join("service-account.pub"), &key.public)?;
    Ok(token)
}

/// Writes a file that its owner alone can read.
pub(crate) fn write_secret(path: &Path, content: &str) -> Result<(), Error> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(Error::io(format!("write {}", path.display())))
}

/// Other users of this machine reach the server too: it listens on loopback, and that is shared.
fn random_token() -> Result<String, Error> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Random)?;
    Ok(bytes.iter().fold(String::new(), |mut token, byte| {
        _ = write!(token, "{byte:02x}");
        token
    }))
}
