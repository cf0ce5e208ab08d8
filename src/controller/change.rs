//! What an event tells: kinds of changes that people care about.

/// What changed.
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
    /// Server groups were attached.
    Attached,
    /// Server groups were detached.
    Detached,
    /// What was already there is now kept.
    Adopted,
    /// What had come apart although nobody changed the spec was put right.
    Repaired,
    /// Differences are left alone that only a person can resolve.
    Held,
    /// An older object claims the same.
    Conflict,
    /// What is carried out is not what `Plan` mode showed last.
    PlanChanged,
    /// The cloud refused something.
    Failed,
    /// Everything stays although the object was deleted.
    Retained,
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
            Self::Held => "Held",
            Self::Conflict => "Conflict",
            Self::PlanChanged => "PlanChanged",
            Self::Failed => "Failed",
            Self::Retained => "Retained",
            Self::Unreadable => "Unreadable",
        }
    }

    /// What Kubernetes calls the type of the event.
    #[must_use]
    pub const fn severity(self) -> &'static str {
        match self {
            Self::Failed
            | Self::Retained
            | Self::PlanChanged
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
            | Self::Repaired => "Normal",
        }
    }
}
