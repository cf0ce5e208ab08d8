use std::collections::BTreeSet;

use super::*;

fn names_in(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
    samples.map(name).collect()
}

#[test]
fn a_metric_is_told_by_its_whole_name_with_labels_and_unit() {
    let metrics = Metrics::default();
    metrics
        .cloud_calls
        .one(["slb", "AddVServerGroupBackendServers", "ok"]);
    metrics.cloud_waits.took(["slb"], Duration::from_millis(20));
    metrics.queue_waits.took([], Duration::ZERO);
    metrics.leads.are([([], 1.0)]);
    let text = metrics.text();
    for line in [
        "# TYPE server_group_operator_cloud_calls counter",
        "server_group_operator_cloud_calls_total{product=\"slb\",action=\"AddVServerGroupBackendServers\",outcome=\"ok\"} 1",
        "# UNIT server_group_operator_cloud_call_wait_seconds seconds",
        "server_group_operator_cloud_call_wait_seconds_bucket{le=\"0.05\",product=\"slb\"} 1",
        "server_group_operator_queue_wait_seconds_count 1",
        "server_group_operator_leading 1.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in {text}");
    }
    assert!(
        text.contains("server_group_operator_build_info{version="),
        "{text}"
    );
}

#[test]
fn what_stood_before_is_gone_with_the_next_answer() {
    let metrics = Metrics::default();
    metrics
        .held
        .are([(["a", "Parked"], 1.0), (["a", "Conflict"], 2.0)]);
    metrics.held.are([(["a", "Conflict"], 3.0)]);
    let text = metrics.text();
    assert!(!text.contains("Parked"), "{text}");
    assert!(text.contains("reason=\"Conflict\"} 3"), "{text}");
}

#[test]
fn what_stands_is_asked_for_before_each_answer() {
    let metrics = Metrics::default();
    let asked = std::sync::atomic::AtomicU32::new(0);
    let told = metrics.clone();
    metrics.read_by(move || {
        let times = 1 + asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        told.epoch.are([([], times.into())]);
    });
    assert!(metrics.text().contains("lease_epoch 1.0"));
    assert!(metrics.text().contains("lease_epoch 2.0"));
}

/// The values that each label takes at most, as far as they go together.
fn values(labels: &[&'static str]) -> usize {
    // Every action, with the product that it belongs to.
    const ACTIONS: usize = 26;
    let one = |label: &&str| match *label {
        "product" if labels.contains(&"action") => 1,
        "product" => 7,
        "action" => ACTIONS,
        "outcome" | "change" => 6,
        "kind" | "state" => 3,
        "verdict" => 25 + 5,
        // Reasons of objects go with one situation, two of them with two.
        "situation" if labels.contains(&"reason") => 1,
        "reason" if labels.contains(&"situation") => 25 + 4,
        "reason" => 10,
        "source" => 4,
        "version" => 1,
        other => panic!("{other}: how many values does it take?"),
    };
    labels.iter().map(one).product()
}

#[test]
fn there_can_be_no_more_than_two_thousand_series() {
    let metrics = Metrics::default();
    let most = metrics.described().iter().map(|metric| {
        let each = match metric.kind {
            // Its buckets, the last one, sum and count.
            "histogram" if metric.name.contains("_duration") && metric.labels.len() == 2 => {
                ANSWER.len() + 3
            }
            "histogram" => WAIT.len() + 3,
            _ => 1,
        };
        each * values(&metric.labels)
    });
    let most: usize = most.sum();
    assert!(most <= 2000, "{most}");
}

#[test]
fn names_are_told_once_and_end_with_their_unit() {
    let metrics = Metrics::default();
    let mut names = BTreeSet::new();
    for metric in metrics.described() {
        assert!(names.insert(metric.name.clone()), "{}", metric.name);
        assert!(metric.name.ends_with(metric.unit), "{}", metric.name);
        assert!(metric.name.starts_with("server_group_operator_"));
        for label in &metric.labels {
            assert!(!["name", "namespace", "uid", "id", "account", "region"].contains(label));
        }
    }
    assert_eq!(
        names_in(&metrics.text()).len(),
        1,
        "but for the build, all begins with the first event"
    );
}
