//! The alerts and the dashboard in `deploy/monitoring` know the metrics of this version, and do what they say.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use serde_json::{Value, json};
use server_group_operator::metrics::Metrics;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The names under which queries find the metrics.
fn series() -> BTreeSet<String> {
    let metrics = Metrics::default();
    let names = metrics.described().iter().flat_map(|metric| {
        let ends: &[&str] = match metric.kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        ends.iter().map(|end| format!("{}{end}", metric.name))
    });
    names.collect()
}

/// The metrics of ours that are mentioned in a text.
fn mentioned(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("server_group_operator_"));
    ours.map(str::to_owned).collect()
}

fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read("deploy/monitoring/alerts.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules.cloned().collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let series = series();
    for path in ["alerts.yaml", "alerts.test.yaml", "dashboard.json"] {
        let mentioned = mentioned(&read(&format!("deploy/monitoring/{path}")));
        let unknown: Vec<_> = mentioned.difference(&series).collect();
        assert!(!mentioned.is_empty(), "{path}");
        assert!(unknown.is_empty(), "{path} asks for {unknown:?}");
    }
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let page = read(&format!("docs/runbooks/{name}.md"));
        // A page may speak of a histogram as a whole.
        let known =
            |name: &String| series.contains(name) || series.contains(&format!("{name}_sum"));
        let unknown: Vec<_> = mentioned(&page)
            .into_iter()
            .filter(|name| !known(name))
            .collect();
        assert!(
            unknown.is_empty(),
            "the page of {name} speaks of {unknown:?}"
        );
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown = mentioned(&read("deploy/monitoring/dashboard.json"));
    let metrics = Metrics::default();
    let missing = metrics.described().iter().filter(|metric| {
        let starts = |series: &String| series.starts_with(&metric.name);
        !shown.iter().any(starts)
    });
    let missing: Vec<_> = missing.map(|metric| &metric.name).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() {
    let mut named = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let page = format!("docs/runbooks/{name}.md");
        assert_eq!(alert["annotations"]["runbook"], page.as_str());
        let severity = alert["labels"]["severity"].as_str();
        assert!(
            [Some("critical"), Some("warning")].contains(&severity),
            "{name}"
        );
        assert!(read(&page).starts_with(&format!("# {name}\n")), "{page}");
        named.insert(format!("{name}.md"));
    }
    let pages = std::fs::read_dir(root().join("docs/runbooks")).unwrap();
    let pages = pages.map(|page| page.unwrap().file_name().into_string().unwrap());
    assert_eq!(pages.collect::<BTreeSet<_>>(), named);
}

#[test]
fn every_alert_is_shown_to_fire_and_not_to_fire() {
    let tests: Value = serde_saphyr::from_str(&read("deploy/monitoring/alerts.test.yaml")).unwrap();
    let tests = tests["tests"].as_array().unwrap().iter();
    let cases: Vec<_> = tests
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .map(|case| {
            (
                case["alertname"].as_str().unwrap(),
                case["exp_alerts"].is_array(),
            )
        })
        .collect();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        for fires in [true, false] {
            assert!(cases.contains(&(name, fires)), "{name} fires: {fires}");
        }
    }
}

/// Runs promtool in `deploy/monitoring`, and has it find everything right.
fn promtool(arguments: &[&str]) {
    let installer = root().join("tests/monitoring/install.sh");
    let printed = Command::new(installer).arg("--print").output().unwrap();
    let path = String::from_utf8(printed.stdout).unwrap();
    let output = Command::new(path.trim())
        .args(arguments)
        .current_dir(root().join("deploy/monitoring"))
        .output()
        .expect("there is no promtool: `make promtool` installs it");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

#[test]
fn promtool_finds_the_alerts_right() {
    promtool(&["check", "rules", "alerts.yaml"]);
    promtool(&["test", "rules", "alerts.test.yaml"]);
}

#[test]
fn every_panel_of_the_dashboard_asks_what_prometheus_understands() {
    let dashboard: Value = serde_json::from_str(&read("deploy/monitoring/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let queries = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let rules: Vec<_> = queries
        .enumerate()
        .map(|(number, query)| {
            // Grafana fills it in.
            let expr = query["expr"]
                .as_str()
                .unwrap()
                .replace("$__rate_interval", "5m");
            json!({"record": format!("query:{number}"), "expr": expr})
        })
        .collect();
    assert!(rules.len() > 20, "{}", rules.len());
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let file = std::env::temp_dir().join(format!("dashboard-{}.yaml", std::process::id()));
    std::fs::write(&file, rules.to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
}
