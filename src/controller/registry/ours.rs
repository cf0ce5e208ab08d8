//! The open operation in the status of an object, as far as it is this process's own.

/// The operation that this process began, or carries on, and the write that is under way.
#[derive(Debug, Default)]
pub(super) struct Ours {
    operation: Option<Operation>,
    writes: Option<Writing>,
}

/// A write, by the open operation that it leaves in status.
#[derive(Debug)]
struct Writing(Option<Box<str>>);

#[derive(Debug)]
struct Operation {
    id: Box<str>,
    /// Whether this process began it, and wrote it into the status last. If not, it found it there.
    began: bool,
}

impl Ours {
    /// Whether this process began that operation.
    pub(super) fn began(&self, id: &str) -> bool {
        let ours = self.operation.as_ref();
        ours.is_some_and(|ours| ours.began && *ours.id == *id)
    }

    /// Notes that a write is under way that leaves this operation.
    pub(super) fn writes(&mut self, operation: Option<&str>) {
        self.writes = Some(Writing(operation.map(Box::from)));
    }

    /// Notes that the write has ended. One that carries an operation on may carry on anybody's.
    pub(super) fn wrote(&mut self, operation: Option<&str>, carries_on: bool) {
        self.writes = None;
        match carries_on {
            true => self.carries_on(operation),
            false => self.set(operation, true),
        }
    }

    /// Notes that this process carries on what it found in the status.
    pub(super) fn carries_on(&mut self, operation: Option<&str>) {
        if !self.operation.as_ref().is_some_and(|ours| ours.began) {
            self.set(operation, false);
        }
    }

    fn set(&mut self, operation: Option<&str>, began: bool) {
        self.operation = operation.map(|id| Operation {
            id: id.into(),
            began,
        });
    }

    /// The operation of which a newer status that `says` this one, and that somebody else wrote, does not speak any more.
    pub(super) fn lost_by(&self, says: Option<&str>) -> Option<&str> {
        let written_here = self
            .writes
            .as_ref()
            .is_some_and(|write| write.0.as_deref() == says);
        let ours = self.operation.as_ref().map(|ours| &*ours.id);
        ours.filter(|ours| says != Some(*ours) && !written_here)
    }

    /// Forgets the operation: it is known elsewhere now.
    pub(super) fn forget(&mut self) {
        self.operation = None;
    }
}
