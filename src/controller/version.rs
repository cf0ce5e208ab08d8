//! Versions of objects, in order.

/// A resource version as a number; 0 if it is none.
///
/// Source: since Kubernetes 1.35, versions of one kind are decimal numbers that grow.
pub fn number(version: Option<&str>) -> u64 {
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}
