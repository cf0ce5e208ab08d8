//! Keeps Alibaba Cloud server groups and ESS attachments as declared in Kubernetes.
