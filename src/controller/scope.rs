//! Whose objects are looked after: those of all namespaces, or of some. Each scope is listed and watched by itself.

use kube::{Api, Client, Resource, core::NamespaceResourceScope};

use super::queue::Name;

/// All namespaces, or one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(Option<String>);

impl Scope {
    /// One scope for each of these namespaces, each once; for none of them the one of all namespaces.
    #[must_use]
    pub fn of(namespaces: &[String]) -> Vec<Self> {
        let mut scopes: Vec<_> = namespaces.iter().cloned().map(Some).map(Self).collect();
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() {
            scopes.push(Self(None));
        }
        scopes
    }

    /// Whether objects of this namespace are in it.
    #[must_use]
    pub fn covers(&self, namespace: &str) -> bool {
        self.0.as_deref().is_none_or(|own| own == namespace)
    }

    /// Whether this object is in it.
    #[must_use]
    pub fn holds(&self, name: &Name) -> bool {
        self.covers(&name.namespace)
    }

    /// Whether it is all namespaces.
    #[must_use]
    pub const fn is_everywhere(&self) -> bool {
        self.0.is_none()
    }

    /// The objects of a kind in it.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.0 {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_namespaces_everything_is_looked_after_and_each_namespace_once() {
        let namespaces = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            Scope::of(&names)
        };
        let [all] = &namespaces(&[])[..] else {
            panic!("it is one");
        };
        assert!(all.is_everywhere() && all.covers("team-a"));
        let some = namespaces(&["team-b", "team-a", "team-b"]);
        assert_eq!(some.len(), 2);
        assert!(some[0].covers("team-a") && !some[0].covers("team-b"));
    }
}
