//! Writes: what is sent becomes an object, a new version of one, or its end.

use serde_json::{Value, json};

use super::{
    Answer, Asked, Cluster, Request, event,
    kind::Kind,
    merge_patch::merge,
    metadata::{self, fields, finalizers, text},
    namespaces,
    read::Form,
    refusal::Refusal,
    route::{Place, Target},
    schema::Fault,
    store::{Stored, key},
};

const MERGE_PATCH: &str = "application/merge-patch+json";

impl Cluster {
    pub(super) fn create(
        &mut self,
        asked: Asked<'_>,
        target: &Target<'_>,
        body: &Value,
    ) -> Result<Answer, Refusal> {
        let kind = target.kind;
        if kind.namespaced && target.namespace.is_none() {
            return Err(match kind.custom {
                true => Refusal::Page,
                false => Refusal::method(kind),
            });
        }
        let mut object = received(target, body)?;
        let number = self.version() + 1;
        if text(&object, "name").is_empty() && !text(&object, "generateName").is_empty() {
            let name = format!(
                "{}{}",
                text(&object, "generateName"),
                metadata::ending(number)
            );
            fields(&mut object).insert("name".to_owned(), json!(name));
        }
        let name = text(&object, "name").to_owned();
        self.admits(kind, target.namespace.as_deref(), &name)?;
        is_called(kind, &object)?;
        if name.is_empty() {
            let why = "name or generateName is required";
            return Err(Refusal::invalid_field(kind, "", "metadata.name", why));
        }
        metadata::found(&mut object, asked.now, number, kind.custom);
        let bare = kind.status && kind.schema.gives("status");
        if kind.status {
            remove_field(&mut object, "status");
            kind.schema.complete(&mut object);
        }
        if kind.is_namespace() {
            namespaces::complete(&mut object);
        }
        is_valid(kind, &object)?;
        if !text(&object, "resourceVersion").is_empty() {
            return Err(Refusal::unexpected(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        if self.stored(target, &name).is_some() {
            return Err(Refusal::already_exists(kind, &name));
        }
        let stored = self.store.put(asked, &kind.plural, object, bare);
        Ok(Answer {
            code: 201,
            body: Form::WHOLE.show(kind, &stored),
        })
    }

    pub(super) fn replace(
        &mut self,
        asked: Asked<'_>,
        target: &Target<'_>,
        name: &str,
        body: &Value,
    ) -> Result<Answer, Refusal> {
        let kind = target.kind;
        let mut object = received(target, body)?;
        is_the_one_named(&object, name)?;
        let Some(old) = self.stored(target, name) else {
            if !kind.made_by_update() {
                return Err(Refusal::not_found(kind, name));
            }
            if !text(&object, "uid").is_empty() {
                return Err(Refusal::other_uid(kind, name));
            }
            fields(&mut object).remove("resourceVersion");
            return self.create(asked, target, &object);
        };
        let old = old.clone();
        is_the_same(kind, &old.object, &object)?;
        is_the_version(kind, &old.object, &object)?;
        self.update(asked, kind, &old, object)
    }

    pub(super) fn replace_status(
        &mut self,
        asked: Asked<'_>,
        target: &Target<'_>,
        name: &str,
        body: &Value,
    ) -> Result<Answer, Refusal> {
        let kind = target.kind;
        let object = received(target, body)?;
        is_the_one_named(&object, name)?;
        let old = self
            .stored(target, name)
            .ok_or_else(|| Refusal::not_found(kind, name))?
            .clone();
        is_the_same(kind, &old.object, &object)?;
        is_the_version(kind, &old.object, &object)?;
        self.update_status(asked, kind, &old, &object)
    }

    pub(super) fn patch(
        &mut self,
        asked: Asked<'_>,
        target: &Target<'_>,
        name: &str,
        request: &Request,
    ) -> Result<Answer, Refusal> {
        let kind = target.kind;
        match request.content_type.as_str() {
            MERGE_PATCH => {}
            "application/apply-patch+yaml" | "application/json-patch+json" => {
                unimplemented!("{} is not imitated", request.content_type)
            }
            _ => return Err(Refusal::media_type()),
        }
        let old = self
            .stored(target, name)
            .ok_or_else(|| Refusal::not_found(kind, name))?
            .clone();
        if !request.body.is_object() {
            return Err(Refusal::bad_request("error decoding patch"));
        }
        let mut patched = Form::WHOLE.show(kind, &old.object);
        merge(&mut patched, &request.body);
        let object = received(target, &patched)?;
        is_the_one_named(&object, name)?;
        is_the_version(kind, &old.object, &object)?;
        match target.place {
            Place::Status(_) => self.update_status(asked, kind, &old, &object),
            _ => self.update(asked, kind, &old, object),
        }
    }

    /// Everything but status, where status is written by itself.
    fn update(
        &mut self,
        asked: Asked<'_>,
        kind: &Kind,
        old: &Stored,
        mut new: Value,
    ) -> Result<Answer, Refusal> {
        is_called(kind, &new)?;
        let ignored: &[&str] = match kind {
            kind if kind.is_namespace() => &["spec", "status"],
            kind if kind.status => &["status"],
            _ => &[],
        };
        for field in ignored {
            copy_field(&old.object, &mut new, field);
        }
        metadata::keep(kind, &old.object, &mut new)?;
        if kind.is_namespace() {
            let name = text(&new, "name").to_owned();
            new["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
        }
        if kind.custom && asks_for_more(&old.object, &new) {
            metadata::bump(&mut new);
        }
        is_valid(kind, &new)?;
        Ok(self.commit(asked, kind, old, new))
    }

    /// Status alone.
    fn update_status(
        &mut self,
        asked: Asked<'_>,
        kind: &Kind,
        old: &Stored,
        sent: &Value,
    ) -> Result<Answer, Refusal> {
        is_called(kind, sent)?;
        let mut new = Value::clone(&old.object);
        copy_field(sent, &mut new, "status");
        is_valid(kind, &new)?;
        Ok(self.commit(asked, kind, old, new))
    }

    /// Stores what differs; an object that was only waiting for its finalizers goes with the last one.
    fn commit(&mut self, asked: Asked<'_>, kind: &Kind, old: &Stored, new: Value) -> Answer {
        let waits = new["metadata"]["deletionGracePeriodSeconds"] == json!(0);
        let body = if waits && finalizers(&new).is_empty() {
            let key = key(new["metadata"]["namespace"].as_str(), text(&new, "name"));
            self.store.remove(asked, &kind.plural, &key);
            Form::WHOLE.show(kind, &new)
        } else if *old.object == new && !old.bare {
            Form::WHOLE.show(kind, &new)
        } else {
            Form::WHOLE.show(kind, &self.store.put(asked, &kind.plural, new, false))
        };
        Answer { code: 200, body }
    }

    pub(super) fn delete(
        &mut self,
        asked: Asked<'_>,
        target: &Target<'_>,
        name: &str,
        options: &Value,
    ) -> Result<Answer, Refusal> {
        let kind = target.kind;
        for (option, value) in options.as_object().into_iter().flatten() {
            let known = ["kind", "apiVersion", "preconditions", "gracePeriodSeconds"]
                .contains(&option.as_str())
                || option == "propagationPolicy" && value == "Background";
            assert!(
                known || value.is_null(),
                "deleting with {option} is not imitated"
            );
        }
        let old = self
            .stored(target, name)
            .ok_or_else(|| Refusal::not_found(kind, name))?;
        for (field, called) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
            let wanted = options["preconditions"][field].as_str();
            if wanted.is_some_and(|wanted| wanted != text(&old.object, field)) {
                return Err(Refusal::precondition(kind, name, called));
            }
        }
        let uid = text(&old.object, "uid").to_owned();
        let namespace = target.namespace.as_deref();
        let body = match self.remove(asked, kind, namespace, name) {
            true => {
                let mut details = json!({"name": name, "kind": kind.plural, "uid": uid});
                if !kind.group.is_empty() {
                    details["group"] = json!(kind.group);
                }
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
            }
            false => {
                let waiting = self.stored(target, name).expect("it waits");
                Form::WHOLE.show(kind, &waiting.object)
            }
        };
        Ok(Answer { code: 200, body })
    }

    /// Deletes an object. Tells whether it is gone: `false` = it waits for its finalizers.
    pub(super) fn remove(
        &mut self,
        asked: Asked<'_>,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
    ) -> bool {
        let key = key(namespace, name);
        let Some(stored) = self.store.get(&kind.plural, &key) else {
            return true;
        };
        if !kind.is_namespace() && finalizers(&stored.object).is_empty() {
            self.store.remove(asked, &kind.plural, &key);
            return true;
        }
        if metadata::is_deleted(&stored.object) {
            return false;
        }
        let mut deleted = Value::clone(&stored.object);
        match kind.is_namespace() {
            true => namespaces::terminate(&mut deleted, asked.now),
            false => metadata::delete(&mut deleted, asked.now),
        }
        self.store.put(asked, &kind.plural, deleted, false);
        false
    }

    fn stored(&self, target: &Target<'_>, name: &str) -> Option<&Stored> {
        let key = key(target.namespace.as_deref(), name);
        self.store.get(&target.kind.plural, &key)
    }
}

/// What a body says, without what is unknown, and with what it leaves out.
fn received(target: &Target<'_>, body: &Value) -> Result<Value, Refusal> {
    let kind = target.kind;
    if !body.is_object() {
        return Err(Refusal::bad_request("the object provided is unrecognized"));
    }
    let mut object = body.clone();
    if kind.custom {
        if object["kind"].is_null() || object["apiVersion"].is_null() {
            return Err(Refusal::bad_request("Object 'Kind' is missing"));
        }
    } else {
        for (field, expected) in [
            ("kind", kind.name.clone()),
            ("apiVersion", kind.api_version()),
        ] {
            if object[field].is_null() {
                object[field] = json!(expected);
            }
            if object[field] != expected.as_str() {
                return Err(Refusal::bad_request("the object is of another type"));
            }
        }
    }
    metadata::normalise(&mut object);
    if let Some(namespace) = &target.namespace {
        let given = text(&object, "namespace");
        if !given.is_empty() && given != namespace {
            return Err(Refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        fields(&mut object).insert("namespace".to_owned(), json!(namespace));
    }
    if kind.is_event() {
        if kind.group.is_empty() {
            event::from_core(&mut object);
        }
        event::normalise(&mut object);
    }
    kind.schema.complete(&mut object);
    Ok(object)
}

fn is_the_one_named(object: &Value, name: &str) -> Result<(), Refusal> {
    match text(object, "name") {
        given if given == name => Ok(()),
        _ => Err(Refusal::bad_request(
            "the name of the object does not match the name on the URL",
        )),
    }
}

/// A body that names a uid is meant for that object alone.
fn is_the_same(kind: &Kind, old: &Value, new: &Value) -> Result<(), Refusal> {
    match text(new, "uid") {
        "" => Ok(()),
        uid if uid == text(old, "uid") => Ok(()),
        _ => Err(Refusal::other_uid(kind, text(old, "name"))),
    }
}

fn is_the_version(kind: &Kind, old: &Value, new: &Value) -> Result<(), Refusal> {
    let name = text(old, "name");
    match text(new, "resourceVersion") {
        "" if kind.unconditional() => Ok(()),
        "" => Err(Refusal::no_version(kind, name)),
        version if version == text(old, "resourceVersion") => Ok(()),
        version if version.parse::<u64>().is_err() => Err(Refusal::unexpected(
            "the version of the object is no number",
        )),
        _ => Err(Refusal::stale(kind, name)),
    }
}

/// Whether a body for a custom kind says that it is of that kind.
fn is_called(kind: &Kind, object: &Value) -> Result<(), Refusal> {
    if !kind.custom || object["kind"] == kind.name.as_str() {
        return Ok(());
    }
    let called = object["kind"].as_str().unwrap_or_default();
    let fault = Fault {
        field: "kind".to_owned(),
        reason: "FieldValueInvalid",
        message: format!("must be {}", kind.name),
    };
    Err(Refusal::invalid(
        kind,
        called,
        text(object, "name"),
        &[fault],
    ))
}

fn is_valid(kind: &Kind, object: &Value) -> Result<(), Refusal> {
    let faults = kind.schema.faults(object);
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Refusal::invalid(
            kind,
            &kind.name,
            text(object, "name"),
            &faults,
        )),
    }
}

/// Whether anything but metadata and status differs. Status is a field like others where it is not written by itself,
/// but then no definition here has one.
fn asks_for_more(old: &Value, new: &Value) -> bool {
    let asked = |object: &Value| {
        let mut object = object.clone();
        remove_field(&mut object, "metadata");
        remove_field(&mut object, "status");
        object
    };
    asked(old) != asked(new)
}

fn copy_field(from: &Value, to: &mut Value, field: &str) {
    match from.get(field) {
        Some(value) => to[field] = value.clone(),
        None => remove_field(to, field),
    }
}

fn remove_field(object: &mut Value, field: &str) {
    if let Value::Object(fields) = object {
        fields.remove(field);
    }
}
