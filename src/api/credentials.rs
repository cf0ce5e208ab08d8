//! Where the keys of a `CloudAccount` come from.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the keys come from. If the source fails, objects say `CredentialsUnavailable`; no other source is tried.
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
    /// `Environment`: the variables `ALIBABA_CLOUD_ACCESS_KEY_ID`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET` and, for temporary keys, `ALIBABA_CLOUD_SECURITY_TOKEN` of the operator's container. `Secret`: a Secret in the operator's own namespace. `OIDC`: the role of the operator's service account (RRSA). `InstanceRole`: the role of the ECS instance that the operator runs on. Required.
    #[serde(rename = "type")]
    pub type_: CredentialType,
    /// Which Secret has the keys. Required for type `Secret`, refused for any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
    /// Which role is used, for type `OIDC`; refused for any other. When absent, all of it comes from the operator's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcSource>,
    /// Which role is used, for type `InstanceRole`; refused for any other. When absent, the role that the instance has.
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
    /// Name of the Secret, in the operator's own namespace and never elsewhere. Required. The Secret is read again every ten seconds while it is used, so its keys can be replaced at any time.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
}

/// The role of a service account (RRSA). A field that is absent comes from the variable that RRSA sets.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OidcSource {
    /// ARN of the role, `acs:ram::ACCOUNT:role/NAME`; the value of `ALIBABA_CLOUD_ROLE_ARN` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 256),
        regex(pattern = r"^acs:ram::[0-9]+:role/[A-Za-z0-9._-]+$")
    )]
    pub role_arn: Option<String>,
    /// ARN of the identity provider, `acs:ram::ACCOUNT:oidc-provider/NAME`; the value of `ALIBABA_CLOUD_OIDC_PROVIDER_ARN` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 256),
        regex(pattern = r"^acs:ram::[0-9]+:oidc-provider/[A-Za-z0-9._-]+$")
    )]
    pub oidc_provider_arn: Option<String>,
    /// Path of the service account's token in the operator's container; the value of `ALIBABA_CLOUD_OIDC_TOKEN_FILE` when absent. The file is read again for each new set of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/."))]
    pub token_file: Option<String>,
}

/// The role of an ECS instance.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct InstanceRoleSource {
    /// Name of the role; the role that the instance has when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    )]
    pub role_name: Option<String>,
}

/// A RAM role that is assumed with the keys of the source, for instance to work in another cloud account.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRole {
    /// ARN of the role, `acs:ram::ACCOUNT:role/NAME`. Required.
    #[schemars(
        length(max = 256),
        regex(pattern = r"^acs:ram::[0-9]+:role/[A-Za-z0-9._-]+$")
    )]
    pub role_arn: String,
    /// The external id that the role's trust policy asks for, 2 to 1224 characters. When absent, none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 2, max = 1224),
        regex(pattern = r"^[A-Za-z0-9+=,.@:/_-]+$")
    )]
    pub external_id: Option<String>,
    /// Name of the session in the cloud's audit log, 2 to 64 characters; `server-group-operator` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64), regex(pattern = r"^[A-Za-z0-9.@_-]+$"))]
    pub session_name: Option<String>,
    /// How long a set of keys lasts, in seconds, 900 to the role's maximum; 3600 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 900, max = 43200))]
    pub duration_seconds: Option<i64>,
    /// A RAM policy in JSON that narrows what the role may, at most 2048 characters. When absent, the role may all that it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub policy: Option<String>,
}
