//! How many calls are taken in a while. Off unless asked for: most tests are about something else.

use std::collections::{BTreeMap, VecDeque};

use crate::seconds::Seconds;

/// A quota: calls in so many seconds of simulated time, of one account and action.
#[derive(Clone, Debug)]
pub struct Rate {
    /// The service.
    pub service: String,
    /// The action; absent = each action of the service has this quota of its own.
    pub action: Option<String>,
    /// Calls that are taken within `seconds`.
    pub calls: usize,
    /// A minute, unless said otherwise.
    pub seconds: Seconds,
    /// When calls that still count were made, by account and action, the oldest first.
    made: BTreeMap<(String, String), VecDeque<Seconds>>,
}

impl Rate {
    /// So many calls a minute of each action of a service, or of one action.
    #[must_use]
    pub fn new(service: &str, action: Option<&str>, calls: usize) -> Self {
        Self {
            service: service.to_owned(),
            action: action.map(str::to_owned),
            calls,
            seconds: 60.0,
            made: BTreeMap::new(),
        }
    }

    /// So many calls a second.
    #[must_use]
    pub fn each_second(self) -> Self {
        Self {
            seconds: 1.0,
            ..self
        }
    }

    /// The quotas of the documentation; the first that fits counts. Source: the product pages; GWLB's removal is presumed.
    #[must_use]
    pub fn documented() -> Vec<Self> {
        let clb = [
            "AddVServerGroupBackendServers",
            "RemoveVServerGroupBackendServers",
            "SetVServerGroupAttribute",
            "ModifyVServerGroupBackendServers",
            "AddBackendServers",
            "RemoveBackendServers",
            "SetBackendServers",
        ];
        let members = [
            "AddServersToServerGroup",
            "RemoveServersFromServerGroup",
            "UpdateServerGroupServersAttribute",
            "ReplaceServersInServerGroup",
        ];
        let mut rates: Vec<_> = clb.map(|action| Self::new("slb", Some(action), 90)).into();
        for service in ["alb", "nlb", "gwlb"] {
            rates.extend(members.map(|action| Self::new(service, Some(action), 200)));
        }
        rates.push(Self::new("slb", None, 3000));
        rates.push(Self::new("gwlb", None, 600));
        rates.push(Self::new("nlb", Some("GetListenerHealthStatus"), 10).each_second());
        rates.push(Self::new("nlb", None, 20).each_second());
        rates.push(Self::new("ess", Some("DescribeScalingInstances"), 2000));
        rates.push(Self::new("ess", None, 500));
        rates.push(Self::new("sts", None, 100).each_second());
        rates
    }

    /// Takes a call at the moment `now`, which is never before that of an earlier call, or says after how many seconds
    /// there is room. What is refused does not count.
    ///
    /// # Errors
    ///
    /// The seconds until the oldest call that counts does so no more.
    pub fn take(&mut self, now: Seconds, action: &str, account: &str) -> Result<(), Seconds> {
        let counted = (account.to_owned(), action.to_owned());
        let made = self.made.entry(counted).or_default();
        while made.front().is_some_and(|at| *at <= now - self.seconds) {
            made.pop_front();
        }
        if made.len() >= self.calls {
            let oldest = made.front().copied().unwrap_or(now);
            return Err(oldest + self.seconds - now);
        }
        made.push_back(now);
        Ok(())
    }
}
