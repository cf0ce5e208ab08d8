//! Where the process keeps what it knows of each of the two namespaced kinds.

use super::{
    Context,
    joined::Joined,
    memory::Memories,
    object::Object,
    queue::{Key, Kind, Name},
    registry::Registry,
};

/// A kind of object that has passes.
pub trait Managed: Object {
    /// Which of the two it is.
    const KIND: Kind;

    /// The field by which the API server selects the objects on one group.
    const GROUP_FIELD: &str;

    /// The registry of the objects of this kind.
    fn registry(ctx: &Context) -> &Registry<Self>;

    /// The memories of this kind.
    fn memories(ctx: &Context) -> &Memories<Self::Key>;

    /// Lists of this kind that are under way.
    fn lists(ctx: &Context) -> &Joined;
}

/// The name of an object of kind `M` in the queue.
pub fn key<M: Managed>(name: Name) -> Key {
    Key {
        kind: M::KIND,
        name,
    }
}
