//! Lists that are whole, or an error: the last page was read, no row came twice, and the rows are as many as
//! every page said (S5).

use std::collections::BTreeSet;

use super::{
    error::{Error, Kind},
    reply::incomplete,
};

/// How often a list is begun anew when it changed while it was read.
const ATTEMPTS: u32 = 3;

/// Pages of a list, as far as they were read.
pub(super) struct Pages<T, K> {
    action: &'static str,
    rows: Vec<T>,
    keys: BTreeSet<K>,
    tokens: BTreeSet<String>,
    total: Option<usize>,
}

impl<T, K: Ord> Pages<T, K> {
    /// None yet.
    pub(super) fn new(action: &'static str) -> Self {
        Self {
            action,
            rows: Vec::new(),
            keys: BTreeSet::new(),
            tokens: BTreeSet::new(),
            total: None,
        }
    }

    /// Takes one page in. `total` is the length of the whole list, where the page says.
    ///
    /// # Errors
    ///
    /// [`Kind::Incomplete`] if the list changed meanwhile.
    pub(super) fn take(
        &mut self,
        rows: Vec<T>,
        total: Option<usize>,
        key: impl Fn(&T) -> K,
    ) -> Result<(), Error> {
        if let (Some(before), Some(now)) = (self.total, total)
            && before != now
        {
            return Err(incomplete(
                self.action,
                format!("it had {before} rows, then {now}, while it was read"),
            ));
        }
        self.total = self.total.or(total);
        for row in rows {
            if !self.keys.insert(key(&row)) {
                return Err(incomplete(self.action, "a row came twice"));
            }
            self.rows.push(row);
        }
        if let Some(total) = self.total.filter(|total| self.rows.len() > *total) {
            let rows = self.rows.len();
            return Err(incomplete(
                self.action,
                format!("{rows} rows came of {total}"),
            ));
        }
        Ok(())
    }

    /// Checks that the page named by `token` was not read before, and that the last one brought anything.
    ///
    /// # Errors
    ///
    /// [`Kind::Incomplete`] if not: the list would never end.
    pub(super) fn turn(&mut self, token: &str) -> Result<(), Error> {
        if !self.tokens.insert(token.to_owned()) {
            return Err(incomplete(self.action, "a page was named twice"));
        }
        if self.rows.len() < self.tokens.len() {
            return Err(incomplete(self.action, "it has pages without rows"));
        }
        Ok(())
    }

    /// Rows so far.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The list, after its last page.
    ///
    /// # Errors
    ///
    /// [`Kind::Incomplete`] if rows are missing or too many.
    pub(super) fn whole(self) -> Result<Vec<T>, Error> {
        match self.total {
            Some(total) if total != self.rows.len() => Err(incomplete(
                self.action,
                format!("{} rows came of {total}", self.rows.len()),
            )),
            _ => Ok(self.rows),
        }
    }
}

/// Reads a list again, a few times, if it changed while it was read.
///
/// # Errors
///
/// The error that `read` ends with at last.
pub(super) async fn settled<T, F: Future<Output = Result<T, Error>>>(
    read: impl Fn() -> F,
) -> Result<T, Error> {
    let mut list = read().await;
    for _ in 1..ATTEMPTS {
        match list {
            Err(error) if error.kind == Kind::Incomplete => list = read().await,
            _ => break,
        }
    }
    list
}
