//! The wire below the transport: how one request gets to the cloud, and its answer back.

use futures::{FutureExt, future::BoxFuture};
use reqwest::{Client, Request, Response};

/// How requests get to the cloud. Signing, waiting and repeating are decided above.
pub trait Wire: Send + Sync {
    /// Sends a request as it is and returns the beginning of the answer, whose body may still be on its way.
    fn exchange(&self, request: Request) -> BoxFuture<'static, Result<Response, NoAnswer>>;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// There was no connection, for this cause: the request was certainly not sent.
    NotSent(String),
    /// The connection broke, and the request may have arrived.
    Broken,
}

impl Wire for Client {
    fn exchange(&self, request: Request) -> BoxFuture<'static, Result<Response, NoAnswer>> {
        let answer = self.execute(request);
        answer
            .map(|answered| {
                answered.map_err(|error| match error.is_connect() {
                    true => NoAnswer::NotSent(innermost(&error)),
                    false => NoAnswer::Broken,
                })
            })
            .boxed()
    }
}

/// The innermost error of a chain: the part that tells a person something.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
