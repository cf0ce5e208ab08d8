//! Tokens (S10): each stands for one batch of one intent, and not for long.

use std::time::Duration;

use super::Oracles;
use crate::{effect::Effect, plan::Name};

/// For how long a token may be sent again, and a call be on its way out.
const REUSED: Duration = Duration::from_secs(601);

/// What a token was first sent with.
#[derive(Clone, Debug)]
pub(super) struct Token {
    said: String,
    operation: Option<String>,
    sent: Duration,
}

impl Oracles {
    /// S10: a token is sent again only with the same content, for the same intent, and within ten minutes.
    pub(super) fn token_is_its_own(&mut self, name: &Name, effect: &Effect, left: Duration) {
        let Some((token, said)) = &effect.token else {
            return;
        };
        self.ask("S10");
        let mut facts = self.facts.values();
        let owner = facts.find(|fact| fact.intends(effect));
        let now = Token {
            said: said.clone(),
            operation: owner.map(|owner| owner.operation().to_owned()),
            sent: left,
        };
        let Some(before) = self.tokens.get(token) else {
            self.tokens.insert(token.clone(), now);
            return;
        };
        let how = match () {
            () if before.said != now.said => "another content",
            () if now.operation.is_some() && before.operation != now.operation => "another intent",
            () if left > before.sent + REUSED => "the same, but more than ten minutes before",
            () => return,
        };
        let text = format!(
            "S10: {name} left at {left:?} with a token that stood for {how} at {:?}",
            before.sent
        );
        self.breaks(text);
    }
}
