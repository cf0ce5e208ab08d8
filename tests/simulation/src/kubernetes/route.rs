//! What a path names.

use std::sync::Arc;

use super::{kind::Kind, refusal::Refusal};

/// What a request is about.
#[derive(Clone, Debug)]
pub(super) struct Target<'a> {
    pub(super) kind: &'a Arc<Kind>,
    /// `None` = it has none, or all.
    pub(super) namespace: Option<String>,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Place {
    /// All objects of the kind, there.
    All,
    /// The object of this name.
    One(String),
    /// Its status.
    Status(String),
}

impl<'a> Target<'a> {
    pub(super) fn of(kinds: &'a [Arc<Kind>], path: &str) -> Result<Self, Refusal> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match segments[..] {
            ["api", version, ref rest @ ..] => ("", version, rest),
            ["apis", group, version, ref rest @ ..] => (group, version, rest),
            _ => return Err(Refusal::Page),
        };
        let mut known = kinds
            .iter()
            .filter(|kind| kind.group == group && kind.version == version);
        let custom = known.clone().all(|kind| kind.custom);
        let nothing = || match custom {
            true => Refusal::Page,
            false => Refusal::no_resource(),
        };
        let (namespace, plural, rest) = match *rest {
            ["namespaces", namespace, plural, ref rest @ ..] => (Some(namespace), plural, rest),
            [plural, ref rest @ ..] => (None, plural, rest),
            [] => return Err(nothing()),
        };
        let kind = known
            .find(|kind| kind.plural == plural)
            .ok_or_else(nothing)?;
        let place = match *rest {
            [] => Place::All,
            [name] => Place::One(name.to_owned()),
            [name, "status"] if kind.status => Place::Status(name.to_owned()),
            [name, _] if kind.custom => return Err(Refusal::not_found(kind, name)),
            _ => return Err(nothing()),
        };
        let everywhere = namespace.is_none() && matches!(place, Place::All);
        if kind.namespaced != namespace.is_some() && !(kind.namespaced && everywhere) {
            return Err(nothing());
        }
        Ok(Self {
            kind,
            namespace: namespace.map(ToOwned::to_owned),
            place,
        })
    }
}
