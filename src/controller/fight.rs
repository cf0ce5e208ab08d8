//! A fight over what is listed: somebody takes it away, the operator puts it back, and nobody is told by a cloud that matches.

use server_group_core::{losses::LOSSES_MAX, reason::Reason};

use super::{
    change::Change,
    ended::{Ended, Judged},
    managed::Managed,
    pass::Pass,
    report::{NAMED, first_of},
};

impl<M: Managed> Pass<'_, M> {
    /// Takes in that a look at an object at rest found these entries of its ledger missing.
    pub fn found_missing(&mut self, missing: Vec<M::Key>) {
        let (now, window) = (self.ctx.now(), self.ctx.timing.return_window);
        let ledger = &self.record.ledger;
        let lost: Vec<_> = missing
            .into_iter()
            .filter(|key| ledger.holds(key))
            .collect();
        let news = self.memory.losses.found(lost, now, window);
        if !news.is_empty() {
            let note = format!("{}: {}", words(), first_of(&news, NAMED));
            self.to_tell.push((Change::Fought, note));
        }
    }

    /// The end of a pass over an object at rest names what is fought over, until an hour after the last loss.
    pub fn names_what_is_fought_over(&mut self, ended: Ended) -> Ended {
        let (now, window) = (self.ctx.now(), self.ctx.timing.return_window);
        let fought_over = self.memory.losses.fought_over(now, window);
        match ended {
            Ended::Judged(Judged { verdict, message })
                if verdict.reason == Reason::Converged && !fought_over.is_empty() =>
            {
                let named = first_of(&fought_over, NAMED);
                Ended::Judged(Judged {
                    verdict,
                    message: format!("{message}; but {}: {named}", words()),
                })
            }
            ended => ended,
        }
    }
}

fn words() -> String {
    format!(
        "somebody took these away {LOSSES_MAX} times within an hour, and each time they were put back; the cloud's audit log \
         (ActionTrail) names who"
    )
}
