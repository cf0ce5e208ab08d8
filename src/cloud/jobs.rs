//! Jobs that carry out changes to ALB and NLB groups: how they ended, which a member list alone does not say.

use serde::Deserialize;
use serde_json::json;
use server_group_core::product::Product;
use tokio::time::Instant;

use super::{
    Cloud, Freshness,
    call::{Call, Effect},
    error::Error,
    list::Pages,
    members::service,
    reply::{decode, text},
    together::IDS_PER_CALL,
};

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub status: JobStatus,
    /// The cloud's words about a failure; else empty.
    pub message: String,
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// Still running.
    Processing,
    /// Ended well; the member list shows the result.
    Succeeded,
    /// Ended badly, as a whole or in part.
    Failed,
    /// Something that this version does not know.
    Unknown(String),
}

impl Cloud {
    /// Jobs by id. Those that are no longer known are left out.
    ///
    /// CLB and GWLB have no jobs and answer with an error.
    ///
    /// # Errors
    ///
    /// [`super::Kind::Incomplete`] if a job came twice.
    ///
    /// Source: ALB 2020-06-16 and NLB 2022-04-30, `ListAsynJobs`; NLB's `GetJobStatus` does not show failures.
    pub async fn jobs(&self, product: Product, ids: &[&str]) -> Result<Vec<Job>, Error> {
        let mut jobs = Vec::new();
        for some in ids.chunks(IDS_PER_CALL) {
            jobs.extend(self.some_jobs(product, some).await?.1);
        }
        Ok(jobs)
    }

    /// One job; `None` if it is no longer known. Objects that ask within a short window share a call, and `freshness`
    /// says how old an answer may be.
    ///
    /// # Errors
    ///
    /// As [`Cloud::jobs`].
    pub async fn job(
        &self,
        product: Product,
        id: &str,
        freshness: Freshness,
    ) -> Result<Option<Job>, Error> {
        let rows = &self.transport.shared().jobs;
        let call = (service(product), LIST_ASYN_JOBS);
        let read = move |cloud: Self, ids: Vec<String>| async move {
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            let (begun, jobs) = cloud.some_jobs(product, &ids).await?;
            let rows = jobs.into_iter().map(|job| (job.id.clone(), job));
            Ok((begun, rows.collect()))
        };
        let found = self.shared(rows, call, id, freshness, read);
        Ok(found.await?.map(|(_, job)| job))
    }

    async fn some_jobs(
        &self,
        product: Product,
        ids: &[&str],
    ) -> Result<(Instant, Vec<Job>), Error> {
        let action = LIST_ASYN_JOBS;
        // NLB's call knows no page size; no more ids are asked for than fit into one page.
        let size = (product == Product::Alb).then_some(100);
        let arguments = json!({"JobIds": ids, "MaxResults": size});
        let call = Call::new(service(product), action, Effect::Reads, &arguments);
        let (begun, answer) = self.read(&call).await?;
        let reply: Jobs = decode(action, answer)?;
        let mut jobs = Pages::new(action);
        let rows = reply.jobs.into_iter().map(Row::into_job).collect();
        jobs.take(rows, None, |job| job.id.clone())?;
        Ok((begun, jobs.whole()?))
    }
}

const LIST_ASYN_JOBS: &str = "ListAsynJobs";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Jobs {
    jobs: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    id: String,
    status: String,
    #[serde(default, deserialize_with = "text")]
    error_code: Option<String>,
    #[serde(default, deserialize_with = "text")]
    error_message: Option<String>,
}

impl Row {
    fn into_job(self) -> Job {
        let words = [self.error_code, self.error_message];
        // NLB spells one of them in lower case elsewhere.
        let status = match self.status.to_ascii_lowercase().as_str() {
            "processing" => JobStatus::Processing,
            "succeeded" => JobStatus::Succeeded,
            "failed" => JobStatus::Failed,
            _ => JobStatus::Unknown(self.status),
        };
        Job {
            id: self.id,
            status,
            message: words.into_iter().flatten().collect::<Vec<_>>().join(": "),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::cloud::{
        Kind,
        stub::{Stub, ok},
    };

    async fn answering(jobs: Value) -> Stub {
        Stub::start(move |_, _| ok(&json!({"RequestId": "r", "Jobs": jobs, "TotalCount": "1"})))
            .await
    }

    #[tokio::test]
    async fn a_failed_job_says_why() {
        let stub = answering(json!([
            {"Id": "1", "Status": "Failed", "ErrorCode": "ResourceNotFound.Ecs", "ErrorMessage": "no i-9"},
            {"Id": "2", "Status": "processing"},
            {"Id": "3", "Status": "Succeeded", "ErrorCode": ""},
            {"Id": "4", "Status": "Paused"},
        ]))
        .await;
        let jobs = stub
            .cloud()
            .jobs(Product::Nlb, &["1", "2", "3", "4"])
            .await
            .unwrap();
        assert_eq!(jobs[0].message, "ResourceNotFound.Ecs: no i-9");
        let statuses: Vec<_> = jobs.into_iter().map(|job| job.status).collect();
        let expected = [
            JobStatus::Failed,
            JobStatus::Processing,
            JobStatus::Succeeded,
            JobStatus::Unknown("Paused".into()),
        ];
        assert_eq!(statuses, expected);
        assert_eq!(stub.asked()[0].parameter("MaxResults"), None);
    }

    #[tokio::test]
    async fn an_answer_without_jobs_is_malformed() {
        let stub = answering(Value::Null).await;
        let error = stub.cloud().jobs(Product::Alb, &["1"]).await.unwrap_err();
        assert_eq!(error.kind, Kind::Malformed);
    }
}
