//! The command lines of the servers.

use std::path::Path;

pub(crate) fn etcd(directory: &Path, client: u16, peer: u16, quota: Option<u64>) -> Vec<String> {
    let mut arguments = vec![
        format!("--data-dir={}", directory.join("etcd").display()),
        // The data is worth nothing once the process is gone.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls=http://127.0.0.1:{client}"),
        format!("--advertise-client-urls=http://127.0.0.1:{client}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
        "--log-level=warn".to_owned(),
    ];
    arguments.extend(quota.map(|bytes| format!("--quota-backend-bytes={bytes}")));
    arguments
}

/// `audit`: where it notes what service accounts ask, by the policy in the same directory.
pub(crate) fn apiserver(
    directory: &Path,
    etcd: u16,
    secure: u16,
    audit: Option<&Path>,
) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={secure}"),
        "--bind-address=127.0.0.1".to_owned(),
        // Or it looks for the address of a default route, which a machine may not have.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--cert-dir={}", file("certs")),
        format!("--service-account-key-file={}", file("service-account.pub")),
        format!(
            "--service-account-signing-key-file={}",
            file("service-account.key")
        ),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--allow-privileged".to_owned(),
    ];
    if let Some(log) = audit {
        arguments.push(format!("--audit-policy-file={}", file(AUDIT_POLICY)));
        arguments.push(format!("--audit-log-path={}", log.display()));
        // In megabytes: one file, as who reads it would miss what was put aside.
        arguments.push("--audit-log-maxsize=10000".to_owned());
    }
    arguments
}

/// The name of the file that says what an audit notes.
pub(crate) const AUDIT_POLICY: &str = "audit-policy.json";

/// Which service account asked for what, and whether that was allowed; of a watch when it begins, as it may never end.
pub(crate) const AUDITED: &str = r#"{
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}]
}"#;

pub(crate) fn controller_manager(directory: &Path, kubeconfig: &Path) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", kubeconfig.display()),
        format!(
            "--service-account-private-key-file={}",
            directory.join("service-account.key").display()
        ),
        "--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller"
            .to_owned(),
        "--leader-elect=false".to_owned(),
        // It serves nothing that anybody here asks for.
        "--secure-port=0".to_owned(),
    ]
}
