//! The operator on a stage learns of the account of that stage alone: to read those of all other tests, with every change of
//! their statuses, costs more than the rest of a test.

use axum::http::{Request, Uri};
use kube::{Client, client::Body};
use tower::service_fn;

const ACCOUNTS: &str = "/apis/servergroup.alicloud.dev/v1alpha1/cloudaccounts";

/// A client that is shown one account where all are asked for.
pub fn of_one_account(client: Client, account: &str) -> Client {
    let namespace = client.default_namespace().to_owned();
    let account = account.to_owned();
    let narrowed = service_fn(move |mut request: Request<Body>| {
        if let Some(uri) = narrowed(request.uri(), &account) {
            *request.uri_mut() = uri;
        }
        let client = client.clone();
        async move { client.send(request).await }
    });
    Client::new(narrowed, namespace)
}

fn narrowed(uri: &Uri, account: &str) -> Option<Uri> {
    let query = uri.query().unwrap_or_default();
    let narrowed = || format!("{ACCOUNTS}?{query}&fieldSelector=metadata.name%3D{account}");
    (uri.path() == ACCOUNTS).then(|| narrowed().parse().unwrap())
}
