//! Decides what to change in a server group; no async, no IO, no clock.
