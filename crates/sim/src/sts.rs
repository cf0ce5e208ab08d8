//! STS 2015-04-01: who calls, and temporary keys.

use serde_json::{Value, json};

use crate::{
    outcome::{Effect, Outcome},
    params::Params,
    refusal::Refusal,
    signature::Caller,
    world::{Key, World},
};

/// Characters of a policy that narrows a role. Source: STS 2015-04-01, both operations.
const POLICY_MAX: usize = 2048;

pub(crate) fn identity(world: &mut World, params: &Params) -> Outcome {
    params.get("RegionId");
    params.nothing_else()?;
    let Caller { account, arn } = &world.caller;
    let kind = match arn.contains(":assumed-role/") {
        true => "AssumedRoleUser",
        false => "RAMUser",
    };
    let body = json!({"AccountId": account, "Arn": arn, "IdentityType": kind});
    Ok((body, Effect::on(account)))
}

/// Every well-formed role may be assumed, unless the action is denied.
pub(crate) fn assume_role(world: &mut World, params: &Params) -> Outcome {
    params.get("RegionId");
    if let Some(id) = params.get("ExternalId")
        && !(2..=1224).contains(&id.len())
    {
        return Err(Refusal::invalid(
            "ExternalId",
            "it is not of 2 to 1224 characters",
        ));
    }
    let (body, role) = grant(world, params)?;
    Ok((body, Effect::on(&role)))
}

/// The token is taken for what it is: whether it is a real one is for the identity provider to say.
pub(crate) fn assume_role_with_oidc(world: &mut World, params: &Params) -> Outcome {
    // The one call without a signature carries what else belongs to it, and the older SDK's region.
    for name in [
        "Format",
        "Timestamp",
        "SignatureNonce",
        "Action",
        "Version",
        "RegionId",
    ] {
        params.get(name);
    }
    let provider = params.need("OIDCProviderArn")?.to_owned();
    if !(4..=20000).contains(&params.need("OIDCToken")?.len()) {
        return Err(Refusal::invalid(
            "OIDCToken",
            "it is not of 4 to 20000 characters",
        ));
    }
    let (mut body, role) = grant(world, params)?;
    body["OIDCTokenInfo"] = json!({"Issuer": provider, "Subject": "system:serviceaccount", "ClientIds": "sts.aliyuncs.com"});
    Ok((body, Effect::on(&role)))
}

fn grant(world: &mut World, params: &Params) -> Result<(Value, String), Refusal> {
    let role = params.need("RoleArn")?.to_owned();
    let session = params.need("RoleSessionName")?.to_owned();
    let seconds = params.number::<i64>("DurationSeconds")?.unwrap_or(3600);
    let policy = params.get("Policy");
    if policy.is_some_and(|text| text.chars().count() > POLICY_MAX) {
        return Err(Refusal::invalid(
            "Policy",
            "it is longer than 2048 characters",
        ));
    }
    params.nothing_else()?;
    let account = role
        .strip_prefix("acs:ram::")
        .and_then(|rest| rest.split_once(":role/"));
    let Some((account, name)) = account else {
        return Err(Refusal::invalid(
            "RoleArn",
            "it is not of the form acs:ram::ACCOUNT:role/NAME",
        ));
    };
    let letter = |letter: char| letter.is_ascii_alphanumeric() || ".@-_".contains(letter);
    if !(2..=64).contains(&session.len()) || !session.chars().all(letter) {
        return Err(Refusal::invalid(
            "RoleSessionName",
            "it is not of 2 to 64 letters, digits, '.', '@', '-', '_'",
        ));
    }
    if !(900..=43200).contains(&seconds) {
        return Err(Refusal::invalid(
            "DurationSeconds",
            "it is not from 900 to 43200",
        ));
    }
    let arn = format!("acs:ram::{account}:assumed-role/{name}/{session}");
    let (id, key) = world.temporary_key(account, &arn, seconds);
    let expiration = jiff::Timestamp::from_second(key.expires.unwrap_or_default())
        .map_or_else(|_| String::new(), |time| time.to_string());
    let body = json!({
        "Credentials": {
            "AccessKeyId": id, "AccessKeySecret": key.secret, "SecurityToken": key.token, "Expiration": expiration,
        },
        "AssumedRoleUser": {"Arn": arn, "AssumedRoleId": format!("3000:{session}")},
    });
    Ok((body, role))
}

impl World {
    /// Makes a key that is valid for a while, with its token.
    pub fn temporary_key(&mut self, account: &str, arn: &str, seconds: i64) -> (String, Key) {
        let id = self.draw("STS.");
        let key = Key {
            token: Some(self.draw("token-")),
            expires: Some(self.clock.second() + self.clock_ahead + seconds),
            arn: arn.to_owned(),
            ..Key::lasting(self.draw("secret-"), account.to_owned())
        };
        self.keys.insert(id.clone(), key.clone());
        (id, key)
    }
}
