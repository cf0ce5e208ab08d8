//! The status of an account (pure): whether it works, as whom objects act, and who uses it.
//!
//! Several installations may use one account. Each writes its own entry of `usedBy` and leaves the others' alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use server_group_core::reason::{Outlook, Reason};

use super::ended::Judged;
use crate::{
    api::{CloudAccountStatus, UsedBy},
    cloud,
};

/// What `Ready` gives as its reason where the cloud takes the credentials.
const IDENTIFIED: &str = "Identified";
/// What it gives while a deletion waits for objects.
const IN_USE: &str = "InUse";
/// The longest `lastError`.
const ERROR_MAX: usize = 1024;

/// What is known of an account.
#[derive(Debug)]
pub struct Known<'a> {
    /// Generation of its spec.
    pub generation: i64,
    /// The operator's own namespace.
    pub installation: &'a str,
    /// How many objects use it.
    pub objects: usize,
    /// Who the cloud takes the credentials for, or why that is not known. `None` if nobody has asked.
    pub identity: Option<&'a Result<cloud::Identity, Judged>>,
    /// Whom its deletion waits for, in words.
    pub waits_for: Option<String>,
}

/// The status that says this, given the one before.
#[must_use]
pub fn status(
    before: Option<&CloudAccountStatus>,
    known: &Known<'_>,
    now: jiff::Timestamp,
) -> CloudAccountStatus {
    let mut status = before.cloned().unwrap_or(CloudAccountStatus {
        observed_generation: -1,
        conditions: Vec::new(),
        account_id: None,
        arn: None,
        used_by: Vec::new(),
        last_error: None,
    });
    use_by(&mut status.used_by, known.installation, known.objects);
    match known.identity {
        None => {}
        Some(Ok(identity)) => {
            status.account_id = Some(identity.account_id.clone());
            status.arn = Some(identity.arn.clone()).filter(|arn| !arn.is_empty());
        }
        Some(Err(judged)) => {
            let error = judged.message.chars().take(ERROR_MAX).collect();
            status.last_error = Some(error);
        }
    }
    if known.identity.is_some() || known.waits_for.is_some() {
        status.observed_generation = known.generation;
        status.conditions = conditions(&status, known, now);
    }
    status
}

/// Whether a status speaks of this generation, and says of this installation what is known.
#[must_use]
pub fn says_of_us(status: &CloudAccountStatus, known: &Known<'_>) -> bool {
    let mut used_by = status.used_by.clone();
    use_by(&mut used_by, known.installation, known.objects);
    status.observed_generation == known.generation && used_by == status.used_by
}

/// Brings the entry of this installation up to date.
fn use_by(used_by: &mut Vec<UsedBy>, installation: &str, objects: usize) {
    let objects = i64::try_from(objects).unwrap_or(i64::MAX);
    let place = used_by
        .iter()
        .position(|one| one.installation == installation);
    match (place, objects) {
        (Some(place), 0) => _ = used_by.remove(place),
        (Some(place), objects) => used_by[place].objects = objects,
        (None, 0) => {}
        (None, objects) => used_by.push(UsedBy {
            installation: installation.to_owned(),
            objects,
        }),
    }
}

fn conditions(
    status: &CloudAccountStatus,
    known: &Known<'_>,
    now: jiff::Timestamp,
) -> Vec<Condition> {
    let acts_as = || match (&status.arn, &status.account_id) {
        (Some(arn), _) => format!("objects act as {arn}"),
        (None, Some(account)) => format!("objects act in cloud account {account}"),
        (None, None) => "the cloud takes the credentials".to_owned(),
    };
    let (ready, reason, outlook, message) = match (&known.waits_for, known.identity) {
        (Some(objects), _) => {
            let message = format!(
                "the account is being deleted, and waits for {objects}, which have something to release: delete them, or \
                 annotate them with servergroup.alicloud.dev/abandon=true to leave what they registered in the cloud"
            );
            ("False", IN_USE, Outlook::Moving, message)
        }
        (None, Some(Err(judged))) => {
            let reason = judged.verdict.reason;
            let outlook = match reason {
                Reason::Retrying => Outlook::Moving,
                reason => reason.outlook(),
            };
            ("False", reason.name(), outlook, judged.message.clone())
        }
        (None, _) => ("True", IDENTIFIED, Outlook::Ready, acts_as()),
    };
    let extra = match outlook {
        Outlook::Ready => None,
        Outlook::Moving => Some("Reconciling"),
        Outlook::Stalled => Some("Stalled"),
    };
    let wanted = [("Ready", ready)]
        .into_iter()
        .chain(extra.map(|kind| (kind, "True")));
    let before = &status.conditions;
    let each = wanted.map(|(kind, value)| {
        let mut same = before.iter();
        let same = same.find(|had| had.type_ == kind && had.status == value);
        Condition {
            type_: kind.to_owned(),
            status: value.to_owned(),
            reason: reason.to_owned(),
            message: message.clone(),
            observed_generation: Some(known.generation),
            last_transition_time: same.map_or(Time(now), |had| had.last_transition_time.clone()),
        }
    });
    each.collect()
}

/// Whether two statuses differ in nothing but how many objects use the account.
#[must_use]
pub fn differ_in_numbers_alone(one: &CloudAccountStatus, other: &CloudAccountStatus) -> bool {
    let installations = |status: &CloudAccountStatus| {
        let all = status.used_by.iter();
        all.map(|one| one.installation.clone()).collect::<Vec<_>>()
    };
    let rest = |status: &CloudAccountStatus| CloudAccountStatus {
        used_by: Vec::new(),
        ..status.clone()
    };
    installations(one) == installations(other) && rest(one) == rest(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> cloud::Identity {
        cloud::Identity {
            account_id: "1".into(),
            arn: "acs:ram::1:user/a".into(),
        }
    }

    fn refused() -> Result<cloud::Identity, Judged> {
        let message = "the cloud does not take the key; see the Secret";
        Err(Judged::because(Reason::CredentialsUnavailable, message))
    }

    fn known(identity: Option<&Result<cloud::Identity, Judged>>) -> Known<'_> {
        Known {
            generation: 2,
            installation: "ops",
            objects: 3,
            identity,
            waits_for: None,
        }
    }

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).expect("it is within range")
    }

    fn told(status: &CloudAccountStatus) -> String {
        let each = status.conditions.iter().map(|one| {
            let since = one.last_transition_time.0.as_second();
            format!("{}={}/{}@{since}", one.type_, one.status, one.reason)
        });
        each.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_account_that_works_says_as_whom_objects_act() {
        let (good, bad) = (Ok(identity()), refused());
        let new = status(None, &known(None), at(1));
        assert_eq!((new.observed_generation, told(&new).as_str()), (-1, ""));
        let works = status(Some(&new), &known(Some(&good)), at(2));
        assert_eq!(told(&works), "Ready=True/Identified@2");
        assert_eq!(works.account_id.as_deref(), Some("1"));
        assert_eq!(
            works.conditions[0].message,
            "objects act as acs:ram::1:user/a"
        );
        assert_eq!(status(Some(&works), &known(Some(&good)), at(3)), works);
        let broken = status(Some(&works), &known(Some(&bad)), at(4));
        assert_eq!(
            told(&broken),
            "Ready=False/CredentialsUnavailable@4 Stalled=True/CredentialsUnavailable@4"
        );
        assert_eq!(
            broken.account_id.as_deref(),
            Some("1"),
            "whose it was is still known"
        );
        let healed = status(Some(&broken), &known(Some(&good)), at(5));
        assert_eq!(told(&healed), "Ready=True/Identified@5");
        assert!(
            healed
                .last_error
                .is_some_and(|error| error.contains("does not take the key"))
        );
    }

    #[test]
    fn a_deletion_says_for_whom_it_waits() {
        let good = Ok(identity());
        let waiting = Known {
            waits_for: Some("ServerGroupMembership team-a/web".into()),
            ..known(Some(&good))
        };
        let status = status(None, &waiting, at(1));
        assert_eq!(
            told(&status),
            "Ready=False/InUse@1 Reconciling=True/InUse@1"
        );
        assert!(status.conditions[0].message.contains("team-a/web"));
    }

    #[test]
    fn an_installation_leaves_the_entries_of_others_alone() {
        let good = Ok(identity());
        let one = status(None, &known(Some(&good)), at(1));
        let other = Known {
            installation: "more",
            objects: 5,
            ..known(Some(&good))
        };
        let both = status(Some(&one), &other, at(2));
        let numbers: Vec<_> = both.used_by.iter().map(|one| one.objects).collect();
        assert_eq!(numbers, [3, 5]);
        let fewer = status(
            Some(&both),
            &Known {
                objects: 4,
                ..other
            },
            at(3),
        );
        assert!(differ_in_numbers_alone(&both, &fewer));
        let gone = Known {
            objects: 0,
            ..known(Some(&good))
        };
        let left = status(Some(&fewer), &gone, at(4));
        assert_eq!(left.used_by.len(), 1);
        assert!(!differ_in_numbers_alone(&fewer, &left));
    }
}
