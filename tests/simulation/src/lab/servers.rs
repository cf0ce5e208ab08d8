//! What Kubernetes and the cloud do with a request, and how the oracles see it.

use futures::FutureExt;
use serde_json::{Value, json};
use server_group_sim::{
    fault::{Fault, What as CloudFault},
    world::Ending,
};

use super::{Arriving, Lab};
use crate::{
    gate::{Question, Reply},
    kubernetes::{Answer, Served},
    oracle::Landing,
    plan::What,
};

impl Lab {
    /// What a server does with a request.
    pub(super) fn carry_out(&mut self, arriving: &Arriving, trouble: Option<&What>) -> Reply {
        match &arriving.question {
            Question::Kubernetes(request) => {
                if let Some(What::Refuse(code)) = trouble {
                    return Reply::Kubernetes(refusal(*code));
                }
                let by = format!("replica {}", arriving.name.replica);
                match self.cluster.serve(self.clock.date(), &by, request) {
                    Served::Answer(answer) => {
                        if let Some(read) = self.read.as_mut()
                            && request.method == "GET"
                        {
                            *read += answer.body.to_string().len();
                        }
                        Reply::Kubernetes(answer)
                    }
                    Served::Watch(watch) => Reply::Watch(self.open(arriving, watch)),
                }
            }
            Question::Cloud(request) => {
                let before = self.prepare(arriving, trouble);
                let mut copy = axum::http::Request::builder()
                    .method(request.method())
                    .uri(request.uri());
                if let Some(headers) = copy.headers_mut() {
                    headers.clone_from(request.headers());
                }
                let copy = copy
                    .body(request.body().clone())
                    .expect("a copy of a request");
                let answered = self.cloud.call(copy).now_or_never();
                self.cloud.look().faults.truncate(before);
                let answered = answered.expect("nothing in the cloud waits");
                let refused = |answer: &axum::http::Response<_>| !answer.status().is_success();
                let failed = answered.as_ref().is_some_and(refused);
                self.landed(arriving, trouble, failed);
                answered.map_or(Reply::Broken, Reply::Cloud)
            }
        }
    }

    /// Has the cloud do what a trouble wants; returns how many faults there were before.
    fn prepare(&mut self, arriving: &Arriving, trouble: Option<&What>) -> usize {
        let (unlisted, out) = (
            self.now() < self.unlisted_until,
            self.now() < self.out_until,
        );
        let trails = |group| {
            let until = self.trails.get(group).copied().unwrap_or_default();
            self.now() < until
        };
        let trails = arriving.effect.lists_members() && arriving.effect.groups.iter().any(trails);
        // What is pushed here moves nothing by itself: among thousands of groups nobody has to look for what is due.
        let mut world = self.cloud.look();
        let before = world.faults.len();
        let action = arriving.effect.action.as_str();
        let fault = match trouble {
            Some(What::Throttle) => Some(CloudFault::ThrottleFor { seconds: 2.0 }),
            Some(What::Stale) => Some(CloudFault::Stale),
            Some(What::Torn) => Some(CloudFault::Truncate),
            _ if out => Some(CloudFault::Refuse {
                status: 503,
                code: "ServiceUnavailable".to_owned(),
            }),
            _ if trails => Some(CloudFault::Stale),
            _ if unlisted && action == "DescribeScalingActivities" => Some(CloudFault::Stale),
            _ => None,
        };
        if let Some(fault) = fault {
            world.faults.push(Fault::on(action, fault));
        }
        if matches!(trouble, Some(What::Fail)) {
            match arriving.effect.is_attachment() {
                true => world.endings.push_front(Ending::Failed),
                false => world.failing_jobs += 1,
            }
        }
        before
    }

    /// Shows the oracles what a request to the cloud did.
    fn landed(&mut self, arriving: &Arriving, trouble: Option<&What>, failed: bool) {
        let world = self.cloud.look();
        let entries = world.audit[self.audited.min(world.audit.len())..].to_vec();
        self.audited = world.audit.len();
        drop(world);
        let landing = Landing {
            name: &arriving.name,
            effect: &arriving.effect,
            left: arriving.left,
            at: self.now(),
            honest: !matches!(trouble, Some(What::Stale | What::Torn)),
            failed,
        };
        for entry in &entries {
            if entry.changes || entry.serving.iter().any(|s| s.before != s.after) {
                let text = format!(
                    "  cloud: {} {} {:?} {}",
                    entry.action,
                    entry.resource,
                    entry.names,
                    entry
                        .serving
                        .iter()
                        .map(|s| format!("{} serving {}→{}", s.group, s.before, s.after))
                        .collect::<Vec<_>>()
                        .join(" ")
                );
                let text = match &entry.code {
                    Some(code) => format!("{text} refused: {code}"),
                    None => text,
                };
                self.note(true, || text);
            }
        }
        self.oracles.landed(&landing, &entries, &self.cloud);
    }
}

/// An answer of a server that is in trouble.
fn refusal(code: u16) -> Answer {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let body: Value = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "as the schedule wants it", "reason": reason, "code": code,
    });
    Answer { code, body }
}
