//! Keys from the operator's environment.

use super::{Keys, Unavailable};

const ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";

/// Reads the variables by way of `get`. An empty one counts as absent.
pub(super) fn keys(get: impl Fn(&str) -> Option<String>) -> Result<Keys, Unavailable> {
    let read = |name| get(name).filter(|value| !value.is_empty());
    let need = |name| {
        read(name).ok_or_else(|| {
            Unavailable(format!(
                "the operator's environment variable {name} is not set"
            ))
        })
    };
    Ok(Keys {
        id: need(ID)?,
        secret: need(SECRET)?.into(),
        token: read(TOKEN).map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn from(pairs: &'static [(&'static str, &'static str)]) -> Result<Keys, Unavailable> {
        keys(|name| {
            pairs
                .iter()
                .find(|(had, _)| *had == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn names_the_variable_that_is_missing_or_empty() {
        assert!(from(&[]).unwrap_err().0.contains(ID));
        assert!(
            from(&[(ID, "id"), (SECRET, "")])
                .unwrap_err()
                .0
                .contains(SECRET)
        );
    }

    #[test]
    fn the_token_is_optional_and_nothing_is_printed() {
        let keys = from(&[(ID, "id"), (SECRET, "canary"), (TOKEN, "canary")]).unwrap();
        assert_eq!(keys.secret.expose_secret(), "canary");
        assert!(!format!("{keys:?}").contains("canary"));
        assert!(from(&[(ID, "id"), (SECRET, "s")]).unwrap().token.is_none());
    }
}
