//! One API call before it is signed: which action of which service, and where each parameter travels.

use std::{collections::BTreeMap, fmt};

/// Parameters by name, decoded; the order is that of the bytes of the names, as signatures want it.
pub type Parameters = BTreeMap<String, String>;

/// A service with an API of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Auto Scaling.
    Ess,
    /// Classic load balancer.
    Slb,
    /// Application load balancer.
    Alb,
    /// Network load balancer.
    Nlb,
    /// Gateway load balancer.
    Gwlb,
    /// Security token service.
    Sts,
}

impl Service {
    /// Every service in use.
    pub const ALL: [Self; 6] = [
        Self::Ess,
        Self::Slb,
        Self::Alb,
        Self::Nlb,
        Self::Gwlb,
        Self::Sts,
    ];

    /// The API version that the operator speaks.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::Ess => "2014-08-28",
            Self::Slb => "2014-05-15",
            Self::Alb => "2020-06-16",
            Self::Nlb => "2022-04-30",
            Self::Gwlb => "2024-04-15",
            Self::Sts => "2015-04-01",
        }
    }

    /// Its name in hosts and in `--endpoint`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ess => "ess",
            Self::Slb => "slb",
            Self::Alb => "alb",
            Self::Nlb => "nlb",
            Self::Gwlb => "gwlb",
            Self::Sts => "sts",
        }
    }
}

/// Whether a call changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads, and may be repeated at will.
    Reads,
    /// It changes the cloud: one attempt, and whoever asked decides what a missing answer means.
    Changes,
}

/// Where the parameters of an action travel.
///
/// The older services put everything into the query, GWLB and most of NLB into a form. The gateway takes
/// either; this follows what the official SDKs send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the URL.
    Query,
    /// In the body.
    Form,
}

/// One call.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// Whose API it is.
    pub service: Service,
    /// The action.
    pub action: &'static str,
    /// Whether it changes anything.
    pub effect: Effect,
    /// Parameters in the URL.
    pub query: Parameters,
    /// Parameters in the body; no body when empty.
    pub form: Parameters,
    place: Place,
}

impl Call {
    /// A call without parameters, which go to `place` unless said otherwise.
    #[must_use]
    pub fn new(service: Service, action: &'static str, effect: Effect, place: Place) -> Self {
        Self {
            service,
            action,
            effect,
            query: Parameters::new(),
            form: Parameters::new(),
            place,
        }
    }

    /// Sets one parameter.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a builder reads better without references"
    )]
    pub fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.put(self.place, name, &value);
        self
    }

    /// Sets one parameter if there is a value.
    #[must_use]
    pub fn with_some(self, name: impl Into<String>, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Sets a list: `Name.1`, `Name.2`, …
    #[must_use]
    pub fn with_list<T: ToString>(
        mut self,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        for (index, value) in values.into_iter().enumerate() {
            self.put(self.place, format!("{name}.{}", index + 1), &value);
        }
        self
    }

    /// Sets one parameter in a given place.
    pub fn put(&mut self, place: Place, name: impl Into<String>, value: &impl ToString) {
        let parameters = match place {
            Place::Query => &mut self.query,
            Place::Form => &mut self.form,
        };
        parameters.insert(name.into(), value.to_string());
    }
}

impl fmt::Debug for Call {
    /// Names the action alone: a parameter may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service.name(), self.action)
    }
}
