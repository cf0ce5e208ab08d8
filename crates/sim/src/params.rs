//! Flat parameters, read strictly: whatever no action asked for is noted, so that a misspelt name is seen.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use crate::refusal::Refusal;

/// The parameters of one call. None is empty: those were left out before.
#[derive(Debug)]
pub(crate) struct Params {
    all: BTreeMap<String, String>,
    read: RefCell<BTreeSet<String>>,
    /// Whether the call is refused for what is only noted otherwise.
    strict: bool,
    notes: RefCell<BTreeSet<String>>,
}

impl Params {
    pub(crate) fn new(all: BTreeMap<String, String>, strict: bool) -> Self {
        Self {
            all,
            read: RefCell::default(),
            strict,
            notes: RefCell::default(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.read.borrow_mut().insert(name.to_owned());
        self.all.get(name).map(String::as_str)
    }

    pub(crate) fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let parsed = self.get(name).map(|value| {
            value
                .parse()
                .map_err(|_| Refusal::invalid(name, "it is not a number in range"))
        });
        parsed.transpose()
    }

    /// A boolean; the gateway does not look at case.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::invalid(name, "it is neither true nor false")),
        }
    }

    /// A number from `least` to `most`.
    pub(crate) fn within<T: FromStr + PartialOrd + Copy + std::fmt::Display>(
        &self,
        name: &str,
        least: T,
        most: T,
    ) -> Result<Option<T>, Refusal> {
        match self.number(name)? {
            Some(number) if number < least || number > most => Err(Refusal::invalid(
                name,
                &format!("it is not from {least} to {most}"),
            )),
            number => Ok(number),
        }
    }

    /// Whether a parameter or list of this name is there, without reading it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.all.keys().any(|key| {
            key.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// `Name.1`, `Name.2`, … of which there may be so many.
    pub(crate) fn at_most(&self, name: &str, most: usize) -> Result<Vec<&str>, Refusal> {
        let list = self.list(name);
        if list.len() > most {
            return Err(Refusal::invalid(
                name,
                &format!("more than {most} in one call"),
            ));
        }
        Ok(list)
    }

    /// `Name.1`, `Name.2`, …
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        (1..)
            .map_while(|index| self.get(&format!("{name}.{index}")))
            .collect()
    }

    /// How many objects `Name.1.Field`, `Name.2.Field`, … there are.
    pub(crate) fn objects(&self, name: &str) -> usize {
        let mut count = 0;
        while self
            .all
            .keys()
            .any(|key| key.starts_with(&format!("{name}.{}.", count + 1)))
        {
            count += 1;
        }
        count
    }

    /// Everything, whatever the action knows of it.
    pub(crate) fn given(&self) -> BTreeMap<String, String> {
        self.read.borrow_mut().extend(self.all.keys().cloned());
        self.all.clone()
    }

    /// `Name.Field` and the like, without the name.
    pub(crate) fn under(&self, name: &str) -> Vec<(String, String)> {
        let rest = |key: &String| Some(key.strip_prefix(name)?.strip_prefix('.')?.to_owned());
        let all = self.all.iter();
        let found = all.filter_map(|(key, value)| Some((key, rest(key)?, value.clone())));
        found
            .map(|(key, rest, value)| {
                self.read.borrow_mut().insert(key.clone());
                (rest, value)
            })
            .collect()
    }

    /// A client token: at most 64 ASCII characters.
    pub(crate) fn token(&self) -> Result<Option<&str>, Refusal> {
        match self.get("ClientToken") {
            Some(token) if token.len() > 64 || !token.is_ascii() => Err(Refusal::invalid(
                "ClientToken",
                "it is longer than 64 ASCII characters",
            )),
            token => Ok(token),
        }
    }

    /// Notes what is wrong with a request and passed over by the cloud.
    pub(crate) fn wrong(&self, code: &str, why: String) -> Result<(), Refusal> {
        if self.strict {
            return Err(Refusal::new(400, code, why));
        }
        self.notes.borrow_mut().insert(why);
        Ok(())
    }

    /// What was noted, each once.
    pub(crate) fn notes(self) -> Vec<String> {
        self.notes.into_inner().into_iter().collect()
    }

    /// Notes what nobody asked for.
    pub(crate) fn nothing_else(&self) -> Result<(), Refusal> {
        let read = self.read.borrow();
        for name in self.all.keys().filter(|name| !read.contains(*name)) {
            let why = format!("This action has no parameter {name}.");
            self.wrong("UnsupportedParameter", why)?;
        }
        Ok(())
    }

    /// Everything but the token, for comparing a repeated call with the first.
    pub(crate) fn content(&self) -> String {
        let pairs = self
            .all
            .iter()
            .filter(|(name, _)| *name != "ClientToken")
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    }
}
