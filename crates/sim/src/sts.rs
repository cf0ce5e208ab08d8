//! STS 2015-04-01.

use serde_json::{Value, json};

use crate::{http::Effect, params::Params, refusal::Refusal};

pub(crate) fn identity(account: &str, params: &Params) -> Result<(Value, Effect), Refusal> {
    params.nothing_else()?;
    let body = json!({"AccountId": account, "Arn": format!("acs:ram::{account}:user/operator"), "IdentityType": "RAMUser"});
    Ok((body, Effect::on(account)))
}
