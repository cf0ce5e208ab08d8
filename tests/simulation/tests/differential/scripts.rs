//! Written scripts: one for each thing that the operator, or who plays with it, relies on.

mod built_in;
mod kinds;
mod objects;
mod reads;

use std::pin::Pin;

use serde_json::Value;

use crate::{
    ask::{everywhere, get, metadata},
    play::Play,
};

type Script = for<'a> fn(&'a mut Play) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

pub const ALL: [(&str, Script); 14] = [
    ("create", |play| Box::pin(objects::create(play))),
    ("replace", |play| Box::pin(objects::replace(play))),
    ("status", |play| Box::pin(objects::status(play))),
    ("patch", |play| Box::pin(objects::patches(play))),
    ("delete", |play| Box::pin(objects::deletion(play))),
    ("pages", |play| Box::pin(reads::pages(play))),
    ("watch", |play| Box::pin(reads::watches(play))),
    ("accounts", |play| Box::pin(kinds::accounts(play))),
    ("attachments", |play| Box::pin(kinds::attachments(play))),
    ("leases", |play| Box::pin(built_in::leases(play))),
    ("new-leases", |play| Box::pin(built_in::new_leases(play))),
    ("events", |play| Box::pin(built_in::events(play))),
    ("namespaces", |play| Box::pin(built_in::namespaces(play))),
    ("paths", |play| Box::pin(reads::paths(play))),
];

/// A change of an object that was answered before.
fn changed(mut object: Value, change: impl Fn(&mut Value)) -> Value {
    change(&mut object);
    object
}

/// What of a kind is anywhere, in small pages and in large ones, whole and not.
async fn everywhere_in_pages(play: &mut Play, plural: &str) {
    for limit in [1, 500] {
        let path = format!("{}?limit={limit}", everywhere(plural));
        play.list_all(get(&path)).await;
        play.list_all(metadata(&path)).await;
    }
}

/// Who has a group for its own, and what there is of a kind without what is in it: in one namespace and everywhere, in small
/// pages and in large ones.
async fn read_before_a_removal(play: &mut Play, plural: &str, all: &str, own_group: &str) {
    for all in [all, &everywhere(plural)] {
        for limit in [1, 500] {
            for group in [own_group, &format!("{own_group}-other")] {
                let path = format!("{all}?fieldSelector={group}&limit={limit}");
                play.list_all(get(&path)).await;
            }
            play.list_all(metadata(&format!("{all}?limit={limit}")))
                .await;
        }
    }
}
