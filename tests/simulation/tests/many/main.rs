//! Many objects in virtual time: how long they keep each other waiting, and how many calls they take together. What the
//! machine is busy with plays no part in either.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]

mod crowd;
#[path = "../../../it/figures.rs"]
mod figures;
mod others;
mod reads;
mod release;
mod sweep;
