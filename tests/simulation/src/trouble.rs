//! Decides what goes wrong, and when: as a plan says, or as a seed draws it.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    effect::Sort,
    plan::{Happening, Name, What, When},
};

/// Something that a seed has drawn, and that waits for its effect.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// What will happen.
    pub what: What,
    /// To which effects it may.
    pub to: Vec<Sort>,
    /// After how many of these.
    pub after: usize,
}

/// What happens in a schedule besides what the operator does.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    armed: bool,
    drawn: Vec<Drawn>,
    planned: BTreeMap<Name, Vec<What>>,
    timed: Vec<(Duration, What)>,
    happened: Vec<Happening>,
}

impl Troubles {
    /// What a plan says.
    #[must_use]
    pub fn planned(plan: &[Happening]) -> Self {
        let mut troubles = Self::default();
        for Happening { when, what } in plan {
            match when {
                When::At(millis) => troubles
                    .timed
                    .push((Duration::from_millis(*millis), what.clone())),
                When::Effect(name) => troubles
                    .planned
                    .entry(name.clone())
                    .or_default()
                    .push(what.clone()),
            }
        }
        troubles
    }

    /// What a seed has drawn.
    #[must_use]
    pub fn drawn(drawn: Vec<Drawn>, timed: Vec<(Duration, What)>) -> Self {
        Self {
            drawn,
            timed,
            ..Self::default()
        }
    }

    /// From now on things go wrong.
    pub fn arm(&mut self) {
        self.armed = true;
    }

    /// Whether things go wrong.
    #[must_use]
    pub const fn armed(&self) -> bool {
        self.armed
    }

    /// Nothing goes wrong any more.
    pub fn end(&mut self) {
        self.armed = false;
        self.drawn.clear();
        self.planned.clear();
        self.timed.clear();
    }

    /// Whether something is still to happen.
    #[must_use]
    pub fn pending(&self) -> bool {
        !self.drawn.is_empty() || !self.timed.is_empty() || !self.planned.is_empty()
    }

    /// What happens to this effect.
    pub fn at(&mut self, name: &Name, sort: Sort) -> Option<What> {
        if !self.armed {
            return None;
        }
        let mut found = None;
        if let Some(planned) = self.planned.remove(name) {
            found = planned.into_iter().next();
        } else {
            let mut at = None;
            for (index, drawn) in self.drawn.iter_mut().enumerate() {
                if !drawn.to.contains(&sort) {
                    continue;
                }
                if drawn.after == 0 {
                    if at.is_none() {
                        at = Some(index);
                    }
                } else {
                    drawn.after -= 1;
                }
            }
            if let Some(index) = at {
                found = Some(self.drawn.remove(index).what);
            }
        }
        if let Some(what) = &found {
            self.happened.push(Happening {
                when: When::Effect(name.clone()),
                what: what.clone(),
            });
        }
        found
    }

    /// When something happens that is about no effect.
    #[must_use]
    pub fn times(&self) -> Vec<Duration> {
        self.timed.iter().map(|(at, _)| *at).collect()
    }

    /// What is due by now.
    pub fn due(&mut self, now: Duration) -> Option<Vec<What>> {
        if !self.armed || self.timed.iter().all(|(at, _)| *at > now) {
            return None;
        }
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.timed)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.timed = later;
        let due = due.into_iter().map(|(at, what)| {
            let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            self.happened.push(Happening {
                when: When::At(millis),
                what: what.clone(),
            });
            what
        });
        Some(due.collect())
    }

    /// What happened, as a plan.
    #[must_use]
    pub fn happened(&self) -> &[Happening] {
        &self.happened
    }
}
