//! The real server, over HTTP, without a client that reads meaning into answers.

use std::time::Duration;

use control_plane::Patience;
use futures::{AsyncBufReadExt, TryStreamExt};
use kube::{Client, client::Body};
use serde_json::Value;
use simulation::kubernetes::{Answer, Request};

use crate::ask::{everywhere, get};

/// How long a line of a watch may take. Only what has gone wrong takes as long.
const LINE: Duration = Duration::from_mins(1);

/// Waits until the definitions are served.
pub async fn served(client: &Client) {
    let mut patience = Patience::default();
    for plural in [
        "cloudaccounts",
        "scalinggroupattachments",
        "servergroupmemberships",
    ] {
        let path = format!("{}?limit=1", everywhere(plural));
        while ask(client, &get(&path)).await.code != 200 {
            patience.pause(()).await.unwrap();
        }
    }
}

/// Asks, and takes whatever is answered.
pub async fn ask(client: &Client, request: &Request) -> Answer {
    let bytes = match &request.body {
        Value::Null => Vec::new(),
        body => serde_json::to_vec(body).unwrap(),
    };
    let answer = client.send(http(request, Body::from(bytes))).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect_bytes().await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { code, body }
}

/// Watches until `last` says that a line is the last one; that is among the lines.
pub async fn watch(
    client: &Client,
    request: &Request,
    last: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let stream = client.request_stream(http(request, Vec::new()));
    let mut lines = stream.await.unwrap().lines();
    let mut seen = Vec::new();
    loop {
        let line = tokio::time::timeout(LINE, lines.try_next()).await;
        let line = line.unwrap_or_else(|_| panic!("nothing comes after {seen:#?}"));
        let line = line.unwrap().expect("the watch goes on");
        let line: Value = serde_json::from_str(&line).unwrap();
        let is_last = last(&line);
        seen.push(line);
        if is_last {
            return seen;
        }
    }
}

fn http<B>(request: &Request, body: B) -> http::Request<B> {
    let query: Vec<_> = request
        .query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut builder = http::Request::builder()
        .method(request.method.as_str())
        .uri(format!("{}?{}", request.path, query.join("&")));
    for (name, value) in [
        ("content-type", &request.content_type),
        ("accept", &request.accept),
    ] {
        if !value.is_empty() {
            builder = builder.header(name, value);
        }
    }
    builder.body(body).unwrap()
}
