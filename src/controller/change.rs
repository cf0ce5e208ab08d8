//! The kinds of changes that people care about, each told by events.

/// A change that an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Members were put into a group.
    Added,
    /// Members were taken out of a group.
    Removed,
    /// Members were given another weight.
    Reweighed,
    /// Members were sent weight 0, to be removed later.
    Drained,
    /// Server groups, vServer groups or load balancers were attached.
    Attached,
    /// The same were detached.
    Detached,
    /// Members or attachments that were already there are now kept.
    Adopted,
    /// The cloud had drifted from the spec, which nobody had changed, and was put right.
    Repaired,
    /// Somebody takes away again and again what is listed, and it is put back each time.
    Fought,
    /// Differences are left alone that only a person can resolve.
    Held,
    /// An older object claims the same.
    Conflict,
    /// The plan that is carried out is not the one that `Plan` mode showed last.
    PlanChanged,
    /// The cloud refused something.
    Failed,
    /// The object cannot go on until somebody does something.
    Stalled,
    /// An object that was stalled goes on.
    Recovered,
    /// What is listed and was there counts as put there by the object, because a person said so.
    TookOver,
    /// Everything stays although the object was deleted.
    Retained,
    /// The object goes, and entries of its ledger stay in the cloud.
    Left,
    /// An annotation has a value that means nothing.
    NotUnderstood,
    /// A newer version wrote something that this one cannot read.
    Unreadable,
}

impl Change {
    /// The reason of the event. Never changed: people filter by it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "Added",
            Self::Removed => "Removed",
            Self::Reweighed => "Reweighed",
            Self::Drained => "Drained",
            Self::Attached => "Attached",
            Self::Detached => "Detached",
            Self::Adopted => "Adopted",
            Self::Repaired => "Repaired",
            Self::Fought => "Fought",
            Self::Held => "Held",
            Self::Conflict => "Conflict",
            Self::PlanChanged => "PlanChanged",
            Self::Failed => "Failed",
            Self::Stalled => "Stalled",
            Self::Recovered => "Recovered",
            Self::TookOver => "TookOver",
            Self::Retained => "Retained",
            Self::Left => "Left",
            Self::NotUnderstood => "NotUnderstood",
            Self::Unreadable => "Unreadable",
        }
    }

    /// The type of the event, as Kubernetes calls it.
    #[must_use]
    pub const fn severity(self) -> &'static str {
        match self {
            Self::Failed
            | Self::Stalled
            | Self::Retained
            | Self::Left
            | Self::NotUnderstood
            | Self::PlanChanged
            | Self::Fought
            | Self::Held
            | Self::Conflict
            | Self::Unreadable => "Warning",
            Self::Added
            | Self::Removed
            | Self::Reweighed
            | Self::Drained
            | Self::Attached
            | Self::Detached
            | Self::Adopted
            | Self::TookOver
            | Self::Recovered
            | Self::Repaired => "Normal",
        }
    }
}
