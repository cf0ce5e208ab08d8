//! The page about the metrics, `docs/metrics.md`.

use std::fmt::Write;

use super::Metrics;

const HEAD: &str = "<!-- Written by `make generate` from src/metrics.rs; do not edit. -->

# Metrics

`/metrics` on the port of the probes (`--listen`, 8080 by default) answers in the OpenMetrics text format. No label holds an
id or a name, so that the number of series does not grow with the objects. A metric whose event has not happened yet is not
there. Counters and histograms begin anew when a replica starts.

A replica that stands by has no queue, makes no passes and no calls. `objects` and `held` are told by every replica, from the
statuses: take the `max` over replicas, not the `sum`.

`deploy/monitoring` has alerts for Prometheus (`alerts.yaml`), each with a page in [runbooks](runbooks), and a dashboard for
Grafana (`dashboard.json`).
";

const LABELS: &str = "
## Labels

| label | values |
|---|---|
| `product` | `ess`, `slb`, `alb`, `nlb`, `gwlb`, `ecs`, `sts` |
| `action` | the action as the cloud's API calls it |
| `outcome` of a cloud call | `ok`; `throttled`: too many calls; `denied`: the keys or their rights do not suffice; `refused`: any other no; `unsent`: it never left; `unanswered`: whether it was carried out is not known |
| `outcome` of a request to Kubernetes | `ok`; `conflict`: somebody else wrote in between; `not_found`; `refused`: any other no; `failed`: no answer |
| `kind` | `ServerGroupMembership`, `ScalingGroupAttachment`; of watches also `CloudAccount` |
| `verdict` | the reason of `Ready` that the pass ended with ([behaviour.md](behaviour.md)); `Waits`: for the operator's own rate, or for other objects; `Gone`; `Superseded`: somebody else wrote in between; `Kubernetes`: it did not take part; `Panicked`: a mistake of the operator |
| `situation` | `Ready`, `Reconciling`, `Stalled`, as the conditions have it; `Unreadable`: written by a newer version |
| `reason` of an object | that of `Ready`; `Other` if this version does not know it |
| `reason` of what is held | as in `status.held`; `NotNamed` |
| `change` | `Added`, `Removed`, `Reweighed`, `Drained`, `Attached`, `Detached`, as the events have it |
| `state` | `waiting` for a pass, `working`, `waiting_for_a_call`: until the operator's own rate lets a call leave |
| `source` | `Secret`, `OIDC`, `InstanceRole`, `AssumeRole`; keys of the environment are read at each use and have no age |
";

/// The whole page.
#[must_use]
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n| metric | type | unit | labels | what it says |\n|---|---|---|---|---|\n");
    for metric in Metrics::default().described() {
        let labels = metric.labels.iter().map(|label| format!("`{label}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        let (name, kind, unit, help) = (&metric.name, metric.kind, metric.unit, metric.help);
        writeln!(page, "| `{name}` | {kind} | {unit} | {labels} | {help} |")
            .expect("a string takes everything");
    }
    page.push_str(LABELS);
    page
}
