//! Reads: one object, and lists in pages that show one moment.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    Answer, Cluster, Request, event, kind::Kind, refusal::Refusal, route::Target, store::key,
};

/// In which form objects are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    partial: bool,
}

impl Form {
    pub(super) const WHOLE: Self = Self { partial: false };

    pub(super) fn asked(request: &Request) -> Self {
        Self {
            partial: request.accept.contains("as=PartialObjectMetadata"),
        }
    }

    /// One object, by itself.
    pub(super) fn show(self, kind: &Kind, object: &Value) -> Value {
        if self.partial {
            return json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"],
            });
        }
        let mut object = object.clone();
        if kind.is_event() && kind.group.is_empty() {
            event::to_core(&mut object);
        }
        object
    }

    /// One object in a list: what is built in does not say there what it is.
    fn show_in_list(self, kind: &Kind, object: &Value) -> Value {
        let mut object = self.show(kind, object);
        if !self.partial && !kind.custom {
            let fields = object.as_object_mut().expect("objects are objects");
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        object
    }

    fn list_type(self, kind: &Kind) -> (String, String) {
        match self.partial {
            true => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
            false => (format!("{}List", kind.name), kind.api_version()),
        }
    }
}

/// Where the next page begins.
struct Token {
    version: u64,
    after: String,
}

impl Token {
    fn read(text: &str) -> Result<Self, Refusal> {
        let parts = text.split_once(':');
        let token = parts.and_then(|(version, after)| {
            Some(Self {
                version: version.parse().ok()?,
                after: after.to_owned(),
            })
        });
        token.ok_or_else(|| Refusal::bad_request("invalid continue token"))
    }
}

impl Cluster {
    pub(super) fn get(
        &self,
        target: &Target<'_>,
        name: &str,
        request: &Request,
    ) -> Result<Answer, Refusal> {
        let kind = target.kind;
        let stored = self
            .store
            .get(&kind.plural, &key(target.namespace.as_deref(), name))
            .ok_or_else(|| Refusal::not_found(kind, name))?;
        Ok(Answer {
            code: 200,
            body: Form::asked(request).show(kind, &stored.object),
        })
    }

    pub(super) fn list(&self, target: &Target<'_>, request: &Request) -> Result<Answer, Refusal> {
        let kind = target.kind;
        let namespace = target.namespace.as_deref();
        let token = request.query.get("continue");
        let token = token.map(|text| Token::read(text)).transpose()?;
        if token
            .as_ref()
            .is_some_and(|token| token.version < self.store.compacted())
        {
            return Err(Refusal::expired(
                "The provided continue parameter is too old to display a consistent list result.",
            ));
        }
        let version = token.as_ref().map_or(self.version(), |token| token.version);
        let all: BTreeMap<String, &Arc<Value>> =
            self.store.within_at(version, &kind.plural, namespace);
        let selector = request.query.get("fieldSelector");
        let after = token.map(|token| token.after);
        let mut rest = all
            .iter()
            .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
            .filter(|(_, object)| selector.is_none_or(|selector| selected(object, selector)));
        let limit = match request.query.get("limit") {
            Some(limit) => limit
                .parse()
                .map_err(|_| Refusal::bad_request("limit is no number"))?,
            None => 0,
        };
        let page: Vec<_> = match limit {
            0 => rest.by_ref().collect(),
            limit => rest.by_ref().take(limit).collect(),
        };
        let form = Form::asked(request);
        let mut metadata = json!({"resourceVersion": version.to_string()});
        match (rest.count(), page.last()) {
            (left @ 1.., Some((last, _))) => {
                metadata["continue"] = json!(format!("{version}:{last}"));
                metadata["remainingItemCount"] = json!(left);
            }
            _ if kind.custom && !form.partial => metadata["continue"] = json!(""),
            _ => {}
        }
        let items: Vec<_> = page
            .iter()
            .map(|(_, object)| form.show_in_list(kind, object))
            .collect();
        // Where metadata alone is asked for and there is nothing, a real server writes no empty list.
        let items = match items.is_empty() && form.partial {
            true => Value::Null,
            false => Value::Array(items),
        };
        let (list, api_version) = form.list_type(kind);
        Ok(Answer {
            code: 200,
            body: json!({"kind": list, "apiVersion": api_version, "metadata": metadata, "items": items}),
        })
    }
}

/// Whether an object has what a selector such as `spec.accountName=default,metadata.name=web` wants.
fn selected(object: &Value, selector: &str) -> bool {
    selector
        .split(',')
        .filter(|term| !term.is_empty())
        .all(|term| {
            let (path, wanted) = term.split_once('=').expect("only equality is imitated");
            let path = path.trim_start_matches('.').replace('.', "/");
            let found = object.pointer(&format!("/{path}")).and_then(Value::as_str);
            found.unwrap_or_default() == wanted.trim_start_matches('=')
        })
}
