//! The writes of a pass to Kubernetes: status, always with the version it was read with (S2), and its finalizer.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{
    ended::Ended,
    managed::Managed,
    object::{is_held, name_of},
    pass::Pass,
    report::Report,
    stop::Stop,
};
use crate::api::FINALIZER;

impl<M: Managed> Pass<'_, M> {
    /// Writes the status that says `report` and remembers the record, if that differs from what it says now, and tells
    /// what it records.
    ///
    /// # Errors
    ///
    /// [`Stop::Superseded`] if somebody else wrote in between: nothing is overwritten.
    pub async fn write(&mut self, report: &Report<M::Key>) -> Result<(), Stop> {
        let mut next = self.object.with_status(report, &self.record);
        if !next.same_status(&self.object) {
            // Calls that cannot land any more leave the record with the next write, and are no reason for one.
            if let Some(now) = self.cloud_now {
                self.record.forget_landed(now);
                next = self.object.with_status(report, &self.record);
            }
            let name = self.object.name_any();
            let (api, params) = (self.api(), PostParams::default());
            let operation = next.written_claims().1;
            M::registry(self.ctx).writes(&name_of(&next), operation);
            let written = self.written(api.replace_status(&name, &params, &next));
            let written = written.await?;
            self.wrote(written);
            self.written_operation.clone_from(&self.record.operation);
        }
        self.tell_recorded().await;
        Ok(())
    }

    /// Makes sure that a deletion waits for the release of what is registered, or about to be, and for calls under way.
    ///
    /// # Errors
    ///
    /// As [`Pass::write`].
    pub async fn hold_by_finalizer(&mut self) -> Result<(), Stop> {
        if is_held(&self.object) || self.deleting() || self.ctx.read_only {
            return Ok(());
        }
        let mut finalizers = self.object.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        self.patch_finalizers(finalizers).await
    }

    /// Lets the object go.
    ///
    /// # Errors
    ///
    /// As [`Pass::write`].
    pub async fn let_go(&mut self) -> Result<Ended, Stop> {
        let mut finalizers = self.object.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if finalizers.len() < self.object.finalizers().len() {
            match self.patch_finalizers(finalizers).await {
                Ok(()) | Err(Stop::Gone) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(Ended::LetGo)
    }

    /// Whether nothing can be written down for a deleted object any more, found by two passes in a row: its namespace is being
    /// deleted too, and the rights in it went first. They do not come back, so what the object registered stays in the cloud.
    ///
    /// One pass is not enough: rights that are given back between the write and the question look as if they were gone.
    pub async fn is_left_without_rights(&mut self) -> bool {
        if !self.deleting() {
            return false;
        }
        let namespace = self.object.namespace().unwrap_or_default();
        let namespaces = Api::<Namespace>::all(self.ctx.client.clone());
        let ends = match self.ctx.ask(namespaces.get_opt(&namespace)).await {
            Ok(found) => found.is_some_and(|found| found.metadata.deletion_timestamp.is_some()),
            Err(_) => false,
        };
        let found_before = std::mem::replace(&mut self.memory.without_rights, ends);
        let gone = ends && found_before;
        if gone {
            let registered = &self.record.ledger.registered;
            let named: Vec<_> = registered.iter().map(ToString::to_string).collect();
            tracing::warn!(
                object = %name_of(&self.object),
                left = named.join(", "),
                "the rights in a namespace that is being deleted are gone: the object goes, and what it registered stays"
            );
        }
        gone
    }

    async fn patch_finalizers(&mut self, finalizers: Vec<String>) -> Result<(), Stop> {
        let version = self.object.resource_version();
        let patch = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
        let name = self.object.name_any();
        let api = self.api();
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        let written = self.written(api.patch(&name, &params, &patch)).await?;
        self.wrote(written);
        Ok(())
    }

    /// The outcome of a write of the object. A 404 proves nothing: only a read of the object says whether it is gone.
    async fn written(
        &self,
        request: impl Future<Output = Result<M, kube::Error>>,
    ) -> Result<M, Stop> {
        let written = self.answer(request).await;
        if !matches!(written, Err(Stop::Gone)) {
            return written;
        }
        let name = self.object.name_any();
        let there = self.answer(self.api().get_opt(&name)).await?;
        let there = there.filter(|there| there.uid() == self.object.uid());
        let there = there.ok_or(Stop::Gone)?;
        self.ctx.saw(there);
        Err(Stop::Superseded(
            "a write was answered with 404, but the object is there",
        ))
    }

    fn wrote(&mut self, written: M) {
        self.ctx.wrote(&self.object, written.clone());
        self.object = written;
        self.memory.without_rights = false;
    }

    pub(super) fn api(&self) -> Api<M> {
        let client: Client = self.ctx.client.clone();
        Api::namespaced(client, &self.object.namespace().unwrap_or_default())
    }

    /// Waits for Kubernetes, but not for ever.
    pub(super) async fn answer<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Stop> {
        match self.ctx.ask(request).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                Err(Stop::Superseded("somebody else wrote the object"))
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Err(Stop::Gone),
            Err(error) => Err(Stop::Kubernetes(error)),
        }
    }
}
