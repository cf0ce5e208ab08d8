//! Where a `CloudAccount` has its keys from.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the keys come from. A source that fails is an error; nothing falls back to another.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.type == 'Secret') == has(self.secret)")
        .message("secret is required for type Secret, and refused for any other")
        .field_path(".secret"),
    validation = Rule::new("self.type == 'OIDC' || !has(self.oidc)")
        .message("oidc is for type OIDC alone")
        .field_path(".oidc"),
    validation = Rule::new("self.type == 'InstanceRole' || !has(self.instanceRole)")
        .message("instanceRole is for type InstanceRole alone")
        .field_path(".instanceRole")
)]
pub struct Credentials {
    /// `Environment`: the operator's variables `ALIBABA_CLOUD_ACCESS_KEY_ID`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET` and, for temporary keys, `ALIBABA_CLOUD_SECURITY_TOKEN`. `Secret`: a Secret in the operator's own namespace. `OIDC`: the role of the operator's service account (RRSA). `InstanceRole`: the role of the ECS instance that the operator runs on.
    #[serde(rename = "type")]
    pub type_: CredentialType,
    /// Which Secret, for type `Secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
    /// Which role, for type `OIDC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSource>,
    /// Which role, for type `InstanceRole`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_role: Option<InstanceRoleSource>,
}

/// A source of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CredentialType {
    /// The operator's environment.
    Environment,
    /// A Secret in the operator's own namespace.
    Secret,
    /// The role of the operator's service account.
    #[serde(rename = "OIDC")]
    Oidc,
    /// The role of the instance.
    InstanceRole,
}

/// A Secret with the keys `accessKeyId` and `accessKeySecret`, and `securityToken` for temporary keys.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// Its name. It is read in the operator's own namespace, never elsewhere, again and again, so that it may be changed at any time.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
}

/// The role of a service account. What is absent comes from the variables that RRSA sets.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OidcSource {
    /// The role, `acs:ram::ACCOUNT:role/NAME`; by default `ALIBABA_CLOUD_ROLE_ARN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 256),
        regex(pattern = r"^acs:ram::[0-9]+:role/[A-Za-z0-9._-]+$")
    )]
    pub role_arn: Option<String>,
    /// The identity provider, `acs:ram::ACCOUNT:oidc-provider/NAME`; by default `ALIBABA_CLOUD_OIDC_PROVIDER_ARN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 256),
        regex(pattern = r"^acs:ram::[0-9]+:oidc-provider/[A-Za-z0-9._-]+$")
    )]
    pub oidc_provider_arn: Option<String>,
    /// Path of the service account's token in the operator's container; by default `ALIBABA_CLOUD_OIDC_TOKEN_FILE`. It is read again for each new set of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/."))]
    pub token_file: Option<String>,
}

/// The role of an ECS instance.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct InstanceRoleSource {
    /// Its name; by default the role that the instance has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    )]
    pub role_name: Option<String>,
}

/// A role that is assumed with the keys of the source, for work in another cloud account, say.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRole {
    /// The role, `acs:ram::ACCOUNT:role/NAME`.
    #[schemars(
        length(max = 256),
        regex(pattern = r"^acs:ram::[0-9]+:role/[A-Za-z0-9._-]+$")
    )]
    pub role_arn: String,
    /// What the role's trust policy asks for, 2 to 1224 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 2, max = 1224),
        regex(pattern = r"^[A-Za-z0-9+=,.@:/_-]+$")
    )]
    pub external_id: Option<String>,
    /// How the session is called in the cloud's audit log, 2 to 64 characters; by default `server-group-operator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64), regex(pattern = r"^[A-Za-z0-9.@_-]+$"))]
    pub session_name: Option<String>,
    /// How long a set of keys lasts, 900 seconds to the role's maximum; by default 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 900, max = 43200))]
    pub duration_seconds: Option<i64>,
    /// A RAM policy, in JSON, that narrows what the role may; at most 2048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub policy: Option<String>,
}
