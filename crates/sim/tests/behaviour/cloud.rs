//! A simulated cloud in which time stands still until a test lets it pass, and calls to it.

use std::net::SocketAddr;

use serde_json::{Value, json};
use server_group_sim::{Options, Simulator, fault::Fault, world::World};

use crate::client::{Answer, Request, exchange};

pub(crate) struct Cloud {
    pub(crate) simulator: Simulator,
    pub(crate) host: SocketAddr,
}

impl Cloud {
    pub(crate) async fn new() -> Self {
        let still = Options {
            speed: 0.0,
            ..Options::default()
        };
        let simulator = Simulator::start(still).await.unwrap();
        let host = simulator
            .url()
            .trim_start_matches("http://")
            .parse()
            .unwrap();
        Self { simulator, host }
    }

    /// With things in it.
    pub(crate) async fn with(make: impl FnOnce(&mut World)) -> Self {
        let cloud = Self::new().await;
        make(&mut cloud.simulator.world());
        cloud
    }

    pub(crate) fn pass(&self, seconds: f64) {
        self.simulator.world().pass(seconds);
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.simulator.world().faults.push(fault);
    }

    /// What is wrong with the last call and was passed over.
    pub(crate) fn notes(&self) -> String {
        let world = self.simulator.world();
        let last = world.audit.last().map(|entry| entry.notes.join(" "));
        last.unwrap_or_default()
    }

    /// From now on calls are refused for that.
    pub(crate) fn be_strict(&self) {
        self.simulator.world().strict = true;
    }

    /// Sends a request signed with V3.
    pub(crate) async fn send(&self, request: &Request) -> Answer {
        self.attempt(request).await.expect("an answer")
    }

    /// The same; `None` without an answer.
    pub(crate) async fn attempt(&self, request: &Request) -> Option<Answer> {
        exchange(self.host, &request.v3(self.host)).await
    }

    pub(crate) async fn call(&self, version: &str, action: &str, params: Value) -> Answer {
        self.send(&Request::new(version, action, &params)).await
    }

    pub(crate) async fn ess(&self, action: &str, mut params: Value) -> Answer {
        params["RegionId"] = json!("cn-hangzhou");
        self.call(ESS, action, params).await
    }

    pub(crate) async fn slb(&self, action: &str, mut params: Value) -> Answer {
        params["RegionId"] = json!("cn-hangzhou");
        self.call(SLB, action, params).await
    }

    pub(crate) async fn alb(&self, action: &str, params: Value) -> Answer {
        self.call(ALB, action, params).await
    }

    pub(crate) async fn nlb(&self, action: &str, params: Value) -> Answer {
        self.call(NLB, action, params).await
    }

    pub(crate) async fn gwlb(&self, action: &str, params: Value) -> Answer {
        self.call(GWLB, action, params).await
    }

    /// Ids and states of a group's members, as its list shows them.
    pub(crate) async fn states(&self, version: &str, group: &str) -> Vec<String> {
        let list = self
            .call(
                version,
                "ListServerGroupServers",
                json!({"ServerGroupId": group}),
            )
            .await
            .ok();
        let rows = list["Servers"].as_array().unwrap().iter();
        rows.map(|row| {
            format!(
                "{} {}",
                row["ServerId"].as_str().unwrap(),
                row["Status"].as_str().unwrap()
            )
        })
        .collect()
    }
}

pub(crate) const ESS: &str = "2014-08-28";
pub(crate) const SLB: &str = "2014-05-15";
pub(crate) const ALB: &str = "2020-06-16";
pub(crate) const NLB: &str = "2022-04-30";
pub(crate) const GWLB: &str = "2024-04-15";
pub(crate) const ECS: &str = "2014-05-26";
pub(crate) const STS: &str = "2015-04-01";

impl Answer {
    pub(crate) fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.body()
    }

    /// Status and code of a refusal, as `404 ResourceNotFound.ServerGroup`.
    #[track_caller]
    pub(crate) fn refusal(self) -> String {
        assert_ne!(self.status, 200, "{}", self.text);
        format!("{} {}", self.status, self.body()["Code"].as_str().unwrap())
    }
}

/// Servers as ALB, NLB and GWLB calls list them.
pub(crate) fn servers(
    ids: impl IntoIterator<Item = impl Into<String>>,
    port: Option<u16>,
) -> Value {
    let rows = ids
        .into_iter()
        .map(|id| json!({"ServerId": id.into(), "ServerType": "Ecs", "Port": port}));
    rows.collect()
}

/// The same for CLB, as text.
pub(crate) fn backends(
    ids: impl IntoIterator<Item = impl Into<String>>,
    port: u16,
    weight: Option<u8>,
) -> String {
    let rows = ids.into_iter().map(|id| match weight {
        Some(weight) => {
            json!({"ServerId": id.into(), "Port": port.to_string(), "Weight": weight.to_string()})
        }
        None => json!({"ServerId": id.into(), "Port": port}),
    });
    rows.collect::<Value>().to_string()
}

/// `i-0`, `i-1`, …
pub(crate) fn ids(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("i-{number:04}"))
}
