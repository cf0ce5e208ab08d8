//! Keys of the role that the instance has, from its metadata service, in hardened mode: a token first.

use reqwest::{Method, Request, Url, header::HeaderValue};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde_json::Value;

use super::{
    Unavailable,
    issued::{Issued, read_fields},
};
use crate::cloud::{Transport, sign::encode};

/// How long a token is asked for, in seconds: the most there is.
const TOKEN_SECONDS: &str = "21600";

const KEYS: &str = "latest/meta-data/ram/security-credentials/";

/// The role whose keys are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceRole {
    /// Its name; absent = the one that the instance has.
    pub role_name: Option<String>,
}

/// The service answers as no instance's does.
const ODD: &str = "the instance metadata service answers oddly; is this an ECS instance, and no proxy in between?";

impl InstanceRole {
    pub(super) async fn issue(&self, transport: &Transport) -> Result<Issued, Unavailable> {
        let role = match &self.role_name {
            Some(name) => name.clone(),
            None => discover(transport).await?,
        };
        let (status, text) = get(transport, &format!("{KEYS}{}", encode(&role))).await?;
        if status == 404 {
            return Err(Unavailable::because(format!(
                "the instance has no role {role:?}; attach it to the instance, or correct \
                 spec.credentials.instanceRole.roleName of the account"
            )));
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if status != 200 || answer["Code"] != "Success" {
            let code = answer["Code"].as_str().unwrap_or_default();
            let code: String = code.chars().take(60).collect();
            return Err(Unavailable::passing(format!(
                "the instance metadata service gave no keys of the role {role:?} (status {status} {code})"
            )));
        }
        read_fields(answer)
    }
}

/// The name of the role that the instance has.
async fn discover(transport: &Transport) -> Result<String, Unavailable> {
    let (status, text) = get(transport, KEYS).await?;
    let name = text.lines().next().unwrap_or_default().trim();
    match status {
        200 if is_name(name) => Ok(name.to_owned()),
        404 | 200 if name.is_empty() || status == 404 => Err(Unavailable::because(
            "the instance has no RAM role; attach one, or use another type of credentials",
        )),
        _ => Err(Unavailable::passing(ODD)),
    }
}

/// A role's name, which is a part of a path. Source: RAM, `CreateRole`.
fn is_name(text: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    (1..=64).contains(&text.len()) && text.chars().all(letter) && !text.starts_with('.')
}

/// Reads metadata, with a token of its own.
async fn get(transport: &Transport, path: &str) -> Result<(u16, Zeroizing<String>), Unavailable> {
    let token = token(transport).await?;
    let token = HeaderValue::from_str(token.expose_secret());
    let mut token = token.map_err(|_| Unavailable::passing(ODD))?;
    token.set_sensitive(true);
    let mut request = Request::new(Method::GET, url(transport, path)?);
    let headers = request.headers_mut();
    headers.insert("x-aliyun-ecs-metadata-token", token);
    transport.nearby(request).await.map_err(|why| silent(&why))
}

async fn token(transport: &Transport) -> Result<SecretString, Unavailable> {
    let mut request = Request::new(Method::PUT, url(transport, "latest/api/token")?);
    let lasts = HeaderValue::from_static(TOKEN_SECONDS);
    let headers = request.headers_mut();
    headers.insert("x-aliyun-ecs-metadata-token-ttl-seconds", lasts);
    let (status, text) = transport
        .nearby(request)
        .await
        .map_err(|why| silent(&why))?;
    let token = text.trim();
    match status {
        200 if !token.is_empty() => Ok(token.into()),
        // Some hosts answer so where the service is turned off.
        403 | 404 => Err(Unavailable::because(
            "the instance metadata service gives no token; turn it on for this instance",
        )),
        _ => Err(Unavailable::passing(ODD)),
    }
}

fn url(transport: &Transport, path: &str) -> Result<Url, Unavailable> {
    transport.metadata_url(path).ok_or_else(|| {
        Unavailable::because("the endpoint of the metadata service is no URL; check --endpoint")
    })
}

fn silent(why: &str) -> Unavailable {
    Unavailable::passing(format!(
        "the instance metadata service does not answer ({why}); InstanceRole works on ECS instances alone, from pods whose \
         network policies allow 100.100.100.200"
    ))
}
