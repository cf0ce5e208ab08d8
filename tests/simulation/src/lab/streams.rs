//! Watches: when each shows its next event, and what it lags by.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::{Arriving, LONG, Lab, Todo};
use crate::kubernetes::Watch;

/// The usual lag of a watch, at most.
pub(super) const LAG: Duration = Duration::from_millis(40);
/// After how long a watch without news says how far it is.
pub(super) const BOOKMARK: Duration = Duration::from_secs(60);
/// After how long a watch ends by itself.
const WATCH_ENDS: Duration = Duration::from_secs(280);

/// A watch that a replica has open.
pub(super) struct Stream {
    pub(super) replica: usize,
    pub(super) watch: Watch,
    /// Whether it is on the agenda when it shows its next event.
    pub(super) scheduled: bool,
    resource: String,
    lines: mpsc::UnboundedSender<String>,
    spoke: u64,
}

impl Lab {
    pub(super) fn open(
        &mut self,
        arriving: &Arriving,
        watch: Watch,
    ) -> mpsc::UnboundedReceiver<String> {
        let (lines, receiver) = mpsc::unbounded_channel();
        self.opened += 1;
        let resource = arriving.name.asks.trim_start_matches("watch ").to_owned();
        let stream = Stream {
            replica: arriving.name.replica,
            resource,
            watch,
            lines,
            scheduled: false,
            spoke: 0,
        };
        self.streams.insert(self.opened, stream);
        self.schedule(self.now() + WATCH_ENDS, Todo::EndStream(self.opened));
        receiver
    }

    /// A watch shows its next event.
    pub(super) fn line(&mut self, number: u64) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        stream.scheduled = false;
        stream.spoke += 1;
        let Some(line) = self.cluster.next(&mut stream.watch) else {
            return;
        };
        let open = stream.lines.send(text_of(&line)).is_ok();
        if !open || line["type"] == "ERROR" {
            self.streams.remove(&number);
        }
    }

    /// When a watch shows its next event.
    pub(super) fn shown_at(&mut self, number: u64) -> Duration {
        let now = self.now();
        let stream = self.streams.get_mut(&number).expect("it is open");
        stream.scheduled = true;
        let lag = match self.quiet {
            true => LAG / 2,
            false => {
                let what = format!("lag {} {}", stream.replica, stream.resource);
                self.dice.leg(&what, stream.spoke, LAG, LONG)
            }
        };
        let stalled = self.stalls.get(&(stream.replica, stream.resource.clone()));
        (now + lag).max(stalled.copied().unwrap_or_default())
    }

    /// Watches without news say how far they are.
    pub(super) fn bookmarks(&mut self) {
        for stream in self.streams.values_mut() {
            if stream.watch.takes_bookmarks() && !self.cluster.pending(&stream.watch) {
                let line = self.cluster.bookmark(&mut stream.watch);
                _ = stream.lines.send(text_of(&line));
            }
        }
        self.schedule(self.now() + BOOKMARK, Todo::Bookmarks);
    }
}

/// An event as a server sends it: what kind it is comes first, and a reader may rely on that.
fn text_of(line: &Value) -> String {
    format!(
        "{{\"type\":{},\"object\":{}}}\n",
        line["type"], line["object"]
    )
}
