//! Random scripts: a few names, so that requests meet.

use fastrand::Rng;
use serde_json::{Value, json};
use simulation::kubernetes::Request;

use crate::{
    alike::Side,
    ask::{attachment, delete, get, lease, membership, patch, post, put},
    play::Play,
};

/// Plays so many steps, and then compares what watches show of them.
pub async fn script(play: &mut Play, seed: u64, steps: usize) {
    let mut rng = Rng::with_seed(seed);
    let kinds = [
        (play.paths.memberships(), Kind::Membership),
        (play.paths.attachments(), Kind::Attachment),
        (play.paths.leases(), Kind::Lease),
    ];
    let mut begin = Vec::new();
    for (all, _) in &kinds {
        begin.push(play.expect(200, get(all)).await);
    }
    // What was answered about which object.
    let mut seen: Vec<(String, usize)> = Vec::new();
    let mut pages: Vec<(String, usize)> = Vec::new();
    for _ in 0..steps {
        // Mostly one kind, so that something happens to its objects.
        let (all, kind) = &kinds[[0, 0, 0, 1, 2][rng.usize(..5)]];
        let name = ["a", "b", "c"][rng.usize(..3)];
        let path = format!("{all}/{name}");
        let known: Vec<_> = seen.iter().filter(|(of, _)| *of == path).collect();
        // The last one mostly, else one that may be long past.
        let known = match rng.u8(..4) {
            0 if !known.is_empty() => Some(known[rng.usize(..known.len())].1),
            _ => known.last().map(|(_, number)| *number),
        };
        let step = Step::random(&mut rng, *kind);
        let page = pages
            .iter()
            .rfind(|(of, _)| of == all)
            .map(|(_, page)| *page);
        let number = play
            .ask_with(|side| step.request(all, &path, name, *kind, known, page, side))
            .await;
        match (step, play.code(number)) {
            (Step::List(_) | Step::NextPage(_), 200) => pages.push((all.clone(), number)),
            (Step::Delete(_), _) => {}
            (_, 200 | 201) => seen.push((path, number)),
            _ => {}
        }
    }
    for ((all, kind), begin) in kinds.iter().zip(begin) {
        play.watch(all, all, begin, kind.object("end", &[])).await;
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Membership,
    Attachment,
    Lease,
}

impl Kind {
    fn object(self, name: &str, finalizers: &[&str]) -> Value {
        let metadata = json!({"name": name, "finalizers": finalizers});
        match self {
            Self::Membership => membership(metadata),
            Self::Attachment => attachment(metadata),
            Self::Lease => lease(metadata, "a"),
        }
    }

    const fn has_status(self) -> bool {
        !matches!(self, Self::Lease)
    }
}

enum Step {
    Create(Vec<&'static str>),
    Get,
    Replace(Value),
    ReplaceStatus(Value),
    Patch(Value, bool),
    PatchStatus(Value, bool),
    Delete(u8),
    List(usize),
    NextPage(usize),
}

impl Step {
    fn random(rng: &mut Rng, kind: Kind) -> Self {
        match rng.u8(..20) {
            0..4 => Self::Create(finalizers(rng)),
            4 => Self::Get,
            5..8 => Self::Replace(change(rng, kind)),
            8..10 if kind.has_status() => Self::ReplaceStatus(change(rng, kind)),
            10..12 if kind.has_status() => Self::PatchStatus(change(rng, kind), rng.bool()),
            8..15 => Self::Patch(change(rng, kind), rng.bool()),
            15..18 => Self::Delete(rng.u8(..4)),
            18 => Self::List(rng.usize(1..3)),
            _ => Self::NextPage(rng.usize(1..3)),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one for each thing that a step is about"
    )]
    fn request(
        &self,
        all: &str,
        path: &str,
        name: &str,
        kind: Kind,
        known: Option<usize>,
        page: Option<usize>,
        side: &Side,
    ) -> Request {
        let status = format!("{path}/status");
        let known_or_new = || match known {
            Some(number) => side.body(number),
            None => kind.object(name, &[]),
        };
        let over = |change: &Value| {
            let mut object = known_or_new();
            put_over(&mut object, change);
            object
        };
        let versioned = |change: &Value, versioned: &bool| {
            let mut change = change.clone();
            if let (true, Some(number)) = (versioned, known) {
                change["metadata"]["resourceVersion"] = json!(side.of(number, "resourceVersion"));
            }
            change
        };
        match self {
            Self::Create(finalizers) => post(all, kind.object(name, finalizers)),
            Self::Get => get(path),
            Self::Replace(change) => put(path, over(change)),
            Self::ReplaceStatus(change) => put(&status, over(change)),
            Self::Patch(change, by_version) => patch(path, versioned(change, by_version)),
            Self::PatchStatus(change, by_version) => patch(&status, versioned(change, by_version)),
            Self::Delete(how) => {
                let field = |field| known.map(|number| side.of(number, field));
                let these = match how {
                    0 => json!({"uid": field("uid")}),
                    1 => json!({"resourceVersion": field("resourceVersion")}),
                    _ => Value::Null,
                };
                delete(path, json!({"preconditions": these}))
            }
            Self::List(limit) => get(&format!("{all}?limit={limit}")),
            Self::NextPage(limit) => {
                let mut request = get(&format!("{all}?limit={limit}"));
                let token = page.map(|page| side.of(page, "continue"));
                if let Some(token) = token.filter(|token| !token.is_empty()) {
                    request.query.insert("continue".to_owned(), token);
                }
                request
            }
        }
    }
}

fn finalizers(rng: &mut Rng) -> Vec<&'static str> {
    ["a/b", "c/d"].into_iter().filter(|_| rng.bool()).collect()
}

fn any<const N: usize>(rng: &mut Rng, of: [&'static str; N]) -> &'static str {
    of[rng.usize(..N)]
}

/// What may be sent as a patch, or put over an object.
fn change(rng: &mut Rng, kind: Kind) -> Value {
    let mut change = json!({});
    if rng.bool() {
        change["metadata"]["finalizers"] = json!(finalizers(rng));
    }
    if rng.u8(..3) == 0 {
        change["metadata"]["labels"] = json!({"a": any(rng, ["b", "c"])});
    }
    if rng.u8(..3) == 0 {
        change["spec"] = match kind {
            Kind::Lease => json!({"holderIdentity": any(rng, ["a", "b", ""])}),
            _ => json!({"suspend": rng.bool()}),
        };
    }
    if rng.u8(..3) == 0 {
        change["status"] = [
            json!({"summary": "x"}),
            json!({"summary": "y"}),
            Value::Null,
        ][rng.usize(..3)]
        .clone();
    }
    change
}

fn put_over(object: &mut Value, change: &Value) {
    for (part, fields) in change.as_object().unwrap() {
        match fields {
            Value::Object(fields) => {
                for (name, value) in fields {
                    object[part][name] = value.clone();
                }
            }
            value => object[part] = value.clone(),
        }
    }
}
