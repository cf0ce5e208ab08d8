//! Finds, starts and ends a real etcd and kube-apiserver.
