//! Keys of a role, for the token that Kubernetes projects into the pod (RRSA).

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{
    Environment, Keys, Place, Unavailable,
    environment::FILE_MAX,
    issued::{Issued, read},
    role,
};
use crate::cloud::{Call, Caller, Credential, Effect, Service, Transport};

const ROLE: &str = "ALIBABA_CLOUD_ROLE_ARN";
const PROVIDER: &str = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
const FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const SESSION: &str = "ALIBABA_CLOUD_ROLE_SESSION_NAME";

/// Where the injected token is unless a variable says otherwise.
const USUAL_FILE: &str = "/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token";

/// The role, and where the token is. Absent fields come from the variables that RRSA sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oidc {
    /// `acs:ram::ACCOUNT:role/NAME`
    pub role_arn: Option<String>,
    /// `acs:ram::ACCOUNT:oidc-provider/NAME`
    pub provider_arn: Option<String>,
    /// Path of the token, which is read again for each new set of keys: Kubernetes replaces it.
    pub token_file: Option<String>,
}

impl Oidc {
    pub(super) async fn issue(
        &self,
        environment: &Environment,
        transport: &Transport,
        place: &Place,
    ) -> Result<Issued, Unavailable> {
        let (call, token) = self.call(environment)?;
        let caller = Caller {
            credential: Credential::fixed(Keys::bearer(token)),
            region: place.region.clone(),
            network: place.network,
            account: String::new(),
        };
        let answer = transport.send(&caller, &call).await;
        let answer = answer.map_err(|error| {
            let role = call.query.get("RoleArn").map_or("", String::as_str);
            Unavailable::after(
                &error,
                &format!(
                    "see whether the role {role} exists and trusts the provider and this service account, and whether the token's \
                     audience is sts.aliyuncs.com"
                ),
            )
        })?;
        read(answer)
    }

    fn call(&self, environment: &Environment) -> Result<(Call, SecretString), Unavailable> {
        let given = |given: &Option<String>, field: &str, variable: &str| {
            let value = given.clone().or_else(|| environment.get(variable));
            value.ok_or_else(|| {
                Unavailable::because(format!(
                    "neither spec.credentials.oidc.{field} of the account nor the operator's environment variable {variable} \
                     is set; see docs/accounts.md about RRSA"
                ))
            })
        };
        let role = given(&self.role_arn, "roleArn", ROLE)?;
        let provider = given(&self.provider_arn, "oidcProviderArn", PROVIDER)?;
        let file = given(&self.token_file, "tokenFile", FILE);
        let file = file.unwrap_or_else(|_| USUAL_FILE.to_owned());
        let wrong = |what: &str| {
            Unavailable::because(format!(
                "the service account token {file} cannot be used: {what}; see docs/accounts.md about RRSA"
            ))
        };
        let token = environment.read(&file).map_err(|why| wrong(&why))?;
        let text = token.expose_secret().trim();
        if !(4..=FILE_MAX).contains(&text.len())
            || !text.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(wrong("it holds no token"));
        }
        let session = environment.get(SESSION);
        let session = session.unwrap_or_else(|| role::SESSION.to_owned());
        let arguments = json!({
            "RoleArn": role, "OIDCProviderArn": provider, "RoleSessionName": session,
            "DurationSeconds": role::DURATION_SECONDS,
        });
        let call = Call::new(
            Service::Sts,
            "AssumeRoleWithOIDC",
            Effect::Reads,
            &arguments,
        );
        Ok((call, text.into()))
    }
}
