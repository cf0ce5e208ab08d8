//! A control plane with many objects of one kind, and what is done to them.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use control_plane::{Access, ControlPlane, Options};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Members of a group, at first.
pub const MEMBERS: usize = 10;

/// The port of all members.
pub const PORT: u16 = 80;

/// The weight of all members, which is what a member has that names none.
pub const WEIGHT: u8 = 100;

/// Where the lease and the service account are; the names are those of deploy/rbac.
pub const OPERATOR_NAMESPACE: &str = "server-group-operator";

const SERVICE_ACCOUNT: &str = "server-group-operator";

/// Where the objects are.
const NAMESPACE: &str = "bench";

/// Name of the account that all objects act as.
const ACCOUNT: &str = "bench";

/// Objects of one region. The operator keeps to the published quotas, half of 3000 reads a minute and 750 of them at
/// once, and counts them by region as the cloud does. With 200 objects a region what is at once is never used up, and
/// what is measured is the operator and not its patience. The simulated cloud answers for any region.
const OBJECTS_PER_REGION: usize = 200;

/// Requests of ours that are under way at a time.
const TOGETHER: usize = 32;

/// Room for what 50,000 objects and their former versions take until the API server compacts, which is every five minutes.
const ETCD_QUOTA_BYTES: u64 = 8 << 30;

/// The name of an object.
pub fn name(number: usize) -> String {
    format!("web-{number:06}")
}

/// The id of its server group, as long as ids are in the cloud.
pub fn group(number: usize) -> String {
    format!("rsp-bp{number:010}")
}

/// The id of one of its members. No two objects have one in common.
pub fn server(number: usize, member: usize) -> String {
    format!("i-bp{number:012}{member:06}")
}

fn servers(number: usize, members: usize) -> Vec<Value> {
    (0..members)
        .map(|member| json!({"id": server(number, member), "port": PORT}))
        .collect()
}

/// A control plane and its objects. Dropping it ends everything: a new one takes ten seconds, less than to remove ten
/// thousand objects with their finalizers would, and no size inherits anything from the one before.
pub struct Fleet {
    control_plane: ControlPlane,
    client: Client,
    size: usize,
}

impl Fleet {
    /// Starts a control plane with the definitions, the operator's role and its service account; no object yet.
    ///
    /// # Errors
    ///
    /// It does not start, or refuses something.
    pub async fn start(size: usize) -> Result<Self> {
        let options = Options {
            etcd_quota_bytes: Some(ETCD_QUOTA_BYTES),
            ..Options::default()
        };
        let control_plane = ControlPlane::start(&options)
            .await
            .map_err(|error| anyhow!("no control plane: {}", error.chain()))?;
        let client = control_plane.admin().client().await?;
        let fleet = Self {
            control_plane,
            client,
            size,
        };
        fleet.install().await?;
        Ok(fleet)
    }

    async fn install(&self) -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for path in ["crds", "deploy/rbac"] {
            self.control_plane.apply(&root.join(path))?;
        }
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        self.send(Method::POST, "/api/v1/namespaces", JSON, &namespace)
            .await?;
        // Who may is known to the authorizer a moment later, and the kinds are served a moment later too.
        let client = self.access().await?.client().await?;
        let deadline = Instant::now() + Duration::from_secs(30);
        for plural in ["cloudaccounts", MEMBERSHIPS, "scalinggroupattachments"] {
            let uri = format!("{API}/{plural}?limit=1");
            while let Err(error) = get(&client, &uri).await {
                if Instant::now() > deadline {
                    return Err(error).context("the operator may not list what it works on");
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        let account = json!({
            "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "CloudAccount",
            "metadata": {"name": ACCOUNT},
            "spec": {"credentials": {"type": "Environment"}, "grants": [{
                "name": "all", "namespaces": [NAMESPACE], "regions": ["*"],
                "serverGroups": ["*"], "scalingGroups": ["*"], "loadBalancers": ["*"], "servers": ["*"],
            }]},
        });
        let uri = format!("{API}/cloudaccounts");
        self.send(Method::POST, &uri, JSON, &account).await
    }

    /// The rights of the operator, from now on for an hour.
    ///
    /// # Errors
    ///
    /// They are not granted.
    pub async fn access(&self) -> Result<Access> {
        let token = self
            .control_plane
            .token(OPERATOR_NAMESPACE, SERVICE_ACCOUNT);
        token.await.context("no token for the operator")
    }

    /// Makes all objects.
    ///
    /// # Errors
    ///
    /// One is refused.
    pub async fn create(&self, interval: Duration) -> Result<()> {
        let uri = &objects();
        let create = |number| async move {
            let object = json!({
                "apiVersion": "servergroup.alicloud.dev/v1alpha1", "kind": "ServerGroupMembership",
                "metadata": {"name": name(number)},
                "spec": {
                    "accountName": ACCOUNT, "regionId": format!("cn-bench-{}", number / OBJECTS_PER_REGION),
                    "serverGroup": {"type": "CLB", "id": group(number)},
                    "servers": servers(number, MEMBERS), "intervalSeconds": interval.as_secs(),
                },
            });
            self.send(Method::POST, uri, JSON, &object).await
        };
        self.each(create).await
    }

    /// Gives all objects another interval.
    ///
    /// # Errors
    ///
    /// One is refused.
    pub async fn set_interval(&self, interval: Duration) -> Result<()> {
        let spec = &json!({"spec": {"intervalSeconds": interval.as_secs()}});
        self.each(|number| self.merge(number, spec)).await
    }

    /// Gives one object a member more than it had at first.
    ///
    /// # Errors
    ///
    /// It is refused.
    pub async fn add_member(&self, number: usize) -> Result<()> {
        let spec = json!({"spec": {"servers": servers(number, MEMBERS + 1)}});
        self.merge(number, &spec).await
    }

    /// How many requests that write objects of this operator or events the API server has taken so far, by its own count.
    /// The lease is not among them.
    ///
    /// # Errors
    ///
    /// It does not tell.
    pub async fn writes(&self) -> Result<usize> {
        let metrics = get(&self.client, "/metrics").await?;
        Ok(writes_in(&metrics))
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    async fn each<F: Future<Output = Result<()>>>(&self, act: impl Fn(usize) -> F) -> Result<()> {
        stream::iter((0..self.size).map(act))
            .buffer_unordered(TOGETHER)
            .try_collect()
            .await
    }

    async fn merge(&self, number: usize, fields: &Value) -> Result<()> {
        let uri = format!("{}/{}", objects(), name(number));
        self.send(Method::PATCH, &uri, MERGE, fields).await
    }

    async fn send(&self, method: Method, uri: &str, kind: &str, body: &Value) -> Result<()> {
        let body = serde_json::to_vec(body)?;
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", kind)
            .body(body)?;
        // What comes back is not read: parsing it would take time from what is measured.
        self.client.request_text(request).await?;
        Ok(())
    }
}

const API: &str = "/apis/servergroup.alicloud.dev/v1alpha1";
const MEMBERSHIPS: &str = "servergroupmemberships";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

fn objects() -> String {
    format!("{API}/namespaces/{NAMESPACE}/{MEMBERSHIPS}")
}

async fn get(client: &Client, uri: &str) -> Result<String> {
    let request = Request::get(uri).body(Vec::new())?;
    Ok(client.request_text(request).await?)
}

fn writes_in(metrics: &str) -> usize {
    let ours = |line: &&str| {
        let label = |name: &str, values: &[&str]| {
            values
                .iter()
                .any(|value| line.contains(&format!("{name}=\"{value}\"")))
        };
        line.starts_with("apiserver_request_total{")
            && label("group", &["servergroup.alicloud.dev", "events.k8s.io"])
            && label("verb", &["POST", "PUT", "PATCH", "APPLY", "DELETE"])
    };
    metrics
        .lines()
        .filter(ours)
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_those_of_the_operator_s_kinds_and_of_events() {
        let metrics = r#"
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="servergroup.alicloud.dev",resource="servergroupmemberships",scope="resource",subresource="status",verb="PUT",version="v1alpha1"} 7
apiserver_request_total{code="409",component="apiserver",dry_run="",group="servergroup.alicloud.dev",resource="servergroupmemberships",scope="resource",subresource="status",verb="PUT",version="v1alpha1"} 1
apiserver_request_total{code="201",component="apiserver",dry_run="",group="events.k8s.io",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="",group="servergroup.alicloud.dev",resource="servergroupmemberships",scope="cluster",subresource="",verb="LIST",version="v1alpha1"} 100
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 100
"#;
        assert_eq!(writes_in(metrics), 10);
    }
}
