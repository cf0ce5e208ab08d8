//! Panics of the operator. It goes on after one in a pass; in a schedule each is a finding.

use std::{cell::RefCell, panic, sync::Once};

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Has panics noted, instead of printed, from now on.
pub fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            match place.starts_with("src/") {
                true => LAST.with_borrow_mut(|last| {
                    *last = Some(format!(
                        "{} at {place}",
                        info.payload_as_str().unwrap_or("?")
                    ))
                }),
                false => usual(info),
            }
        }));
    });
}

/// The last panic of this thread, once.
#[must_use]
pub fn take() -> Option<String> {
    LAST.with_borrow_mut(Option::take)
}
