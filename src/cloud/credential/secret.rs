//! Keys from a Kubernetes Secret, which somebody else keeps up to date.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretSlice};

use super::{Keys, Unavailable};

const ID: &str = "accessKeyId";
const SECRET: &str = "accessKeySecret";
const TOKEN: &str = "securityToken";

/// Reads the Secret as it is now. An error that does not pass means that it is not there, or holds no keys.
pub type ReadSecret = Arc<dyn Fn() -> BoxFuture<'static, Result<Keys, Unavailable>> + Send + Sync>;

/// Reads the keys that a Secret of this name holds.
///
/// A line's end after a value is no part of it: `echo` leaves one there.
///
/// # Errors
///
/// [`Unavailable`], which names the Secret and what is wrong with it, and nothing of its values.
pub fn keys_of_secret(
    name: &str,
    data: &BTreeMap<String, SecretSlice<u8>>,
) -> Result<Keys, Unavailable> {
    let wrong = |what: String| Unavailable::because(format!("the Secret {name:?} {what}"));
    let read = |key: &str| {
        let Some(value) = data.get(key) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value.expose_secret()).unwrap_or("\0");
        let text = text.trim_end_matches(['\n', '\r']);
        match text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Some(text).filter(|text| !text.is_empty())),
            false => Err(wrong(format!(
                "has blanks or other odd characters in {key}"
            ))),
        }
    };
    let need = |key: &str| {
        read(key)?.ok_or_else(|| {
            wrong(format!(
                "has no {key}; it needs {ID} and {SECRET}, and {TOKEN} with temporary keys"
            ))
        })
    };
    Ok(Keys {
        id: need(ID)?.to_owned(),
        secret: need(SECRET)?.into(),
        token: read(TOKEN)?.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<Keys, Unavailable> {
        let data = pairs.iter().map(|(key, value)| {
            let value: SecretSlice<u8> = value.as_bytes().to_vec().into();
            ((*key).to_owned(), value)
        });
        keys_of_secret("keys", &data.collect())
    }

    #[test]
    fn what_is_missing_or_odd_is_named_without_its_value() {
        for (pairs, named) in [
            (&[(SECRET, "canary")][..], ID),
            (&[(ID, "id"), (SECRET, "\n")], SECRET),
            (&[(ID, "id"), (SECRET, "can\nary")], SECRET),
            (&[(ID, "id"), (SECRET, "canary"), (TOKEN, "can ary")], TOKEN),
        ] {
            let said = from(pairs).err().unwrap().message;
            assert!(said.contains(named) && said.contains("keys"), "{said}");
            assert!(!said.contains("can"), "{said}");
        }
    }

    #[test]
    fn a_line_end_after_a_key_is_no_part_of_it() {
        let keys = from(&[(ID, "id\n"), (SECRET, "s\r\n"), (TOKEN, "")]).unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.expose_secret()), ("id", "s"));
        assert!(keys.token.is_none());
    }
}
