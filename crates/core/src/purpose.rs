//! The purpose of a pass over an object.

/// The purpose of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Make the group match the list.
    Converge,
    /// The object is being deleted: take out the entries that it registered.
    Release,
}
