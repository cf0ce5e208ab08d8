//! The row that each entry of a list means.
//!
//! An entry may leave the address of an ENI out. Then it means the member that the ledger knows by that id
//! and port, else the only row there is; where several could be meant the spec is invalid.

use std::{collections::BTreeMap, net::IpAddr};

use super::Wish;
use crate::{
    ledger::Ledger,
    product::Product,
    server::{Rows, ServerKey, ServerKind, Weight},
};

/// One entry of a list, parsed and not yet compared with anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Instance, ENI or ECI id, or an address.
    pub id: String,
    /// The kind of member.
    pub kind: ServerKind,
    /// The address of the ENI or ECI that is meant.
    pub ip: Option<IpAddr>,
    /// Absent where the product fixes it.
    pub port: Option<u16>,
    /// Absent: left as it is.
    pub weight: Option<Weight>,
    /// Whether it is an address outside of the VPC, which is said when it is added; absent: not said, and never compared.
    pub remote_ip: Option<bool>,
}

/// A list that means the same member twice, or does not say which member it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// Several members have this id and port, or the list has another entry that may mean the same one.
    Ambiguous {
        /// Its place in the list, from 0.
        index: usize,
        /// The entry as written.
        entry: ServerKey,
    },
    /// Two entries mean one member.
    Twice {
        /// Place of the first, from 0.
        first: usize,
        /// Place of the second, from 0.
        second: usize,
        /// The member.
        member: ServerKey,
    },
}

impl Entry {
    /// The key as written.
    #[must_use]
    pub fn key(&self) -> ServerKey {
        ServerKey::new(&self.id, self.ip, self.port)
    }

    /// Whether the address is part of the key in `product`, so that its absence leaves something open.
    fn has_address(&self, product: Product) -> bool {
        match self.kind {
            ServerKind::Ecs => product.keys_ecs_by_ip(),
            ServerKind::Eni | ServerKind::Eci => true,
            ServerKind::Ip | ServerKind::Fc => false,
        }
    }
}

/// Finds entries that are the same as written; this much can be told without looking at the cloud.
#[must_use]
pub fn duplicates(entries: &[Entry]) -> Vec<Unclear> {
    let mut seen = BTreeMap::new();
    let mut twice = Vec::new();
    for (second, entry) in entries.iter().enumerate() {
        match seen.get(&entry.key()) {
            Some(&first) => twice.push(Unclear::Twice {
                first,
                second,
                member: entry.key(),
            }),
            None => _ = seen.insert(entry.key(), second),
        }
    }
    twice
}

/// Resolves a list against what the ledger knows and the group holds.
///
/// # Errors
///
/// Every entry that is not clear.
pub fn resolve(
    product: Product,
    entries: &[Entry],
    ledger: &Ledger<ServerKey>,
    rows: &Rows,
) -> Result<BTreeMap<ServerKey, Wish>, Vec<Unclear>> {
    let mut desired = BTreeMap::new();
    let mut places = BTreeMap::new();
    let mut unclear = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Ok(key) = meant(product, entry, ledger, rows) else {
            unclear.push(Unclear::Ambiguous {
                index,
                entry: entry.key(),
            });
            continue;
        };
        match places.get(&key) {
            Some(&first) => unclear.push(Unclear::Twice {
                first,
                second: index,
                member: key,
            }),
            None => {
                places.insert(key.clone(), index);
                desired.insert(
                    key,
                    Wish {
                        kind: entry.kind,
                        weight: entry.weight,
                        remote_ip: entry.remote_ip,
                    },
                );
            }
        }
    }
    for (key, index) in &places {
        let entry = &entries[*index];
        let open = key.ip.is_none() && entry.has_address(product);
        let with_id = desired.range(ServerKey::first_of(&key.id)..);
        let with_id = with_id.take_while(|(other, _)| other.id == key.id);
        if open && with_id.filter(|(other, _)| other.port == key.port).count() > 1 {
            unclear.push(Unclear::Ambiguous {
                index: *index,
                entry: entry.key(),
            });
        }
    }
    if unclear.is_empty() {
        Ok(desired)
    } else {
        Err(unclear)
    }
}

/// The member an entry means; several are an error.
fn meant(
    product: Product,
    entry: &Entry,
    ledger: &Ledger<ServerKey>,
    rows: &Rows,
) -> Result<ServerKey, ()> {
    let written = entry.key();
    if written.ip.is_some() || !entry.has_address(product) {
        return Ok(written);
    }
    let first = ServerKey::first_of(&written.id);
    let with_id = |key: &&ServerKey| key.id == written.id;
    let known = [&ledger.registered, &ledger.adopted]
        .into_iter()
        .flat_map(|set| set.range(&first..).take_while(with_id));
    if let Some(key) = only(known.filter(|key| key.ip.is_some() && key.port == written.port))? {
        return Ok(key);
    }
    let shown = rows.range(&first..).map(|(key, _)| key).take_while(with_id);
    Ok(only(shown.filter(|key| key.port == written.port))?.unwrap_or(written))
}

/// The only item, none, or an error if there are several.
fn only<'a>(mut keys: impl Iterator<Item = &'a ServerKey>) -> Result<Option<ServerKey>, ()> {
    match (keys.next(), keys.next()) {
        (first, None) => Ok(first.cloned()),
        (_, Some(_)) => Err(()),
    }
}
