//! The figures as a table, a row a size.

use std::time::Duration;

use crate::figures::{Figures, Rest};

/// Columns that belong together.
struct Group {
    title: &'static str,
    columns: &'static [Column],
}

/// What stands above a column, the goal below that, and its cell.
type Column = (&'static str, &'static str, fn(&Figures) -> Option<String>);

const GROUPS: &[Group] = &[
    Group {
        title: "objects",
        columns: &[("of 10", "goals:", |of| Some(of.objects.to_string()))],
    },
    Group {
        title: "first sweep",
        columns: &[
            ("s", "", |of| Some(seconds(of.sweep.as_ref()?.wall))),
            ("CPU s", "", |of| Some(seconds(of.sweep.as_ref()?.cpu))),
            ("ms each", "x 1.3", |of| {
                Some(format!("{:.2}", millis(of.cpu_per_object()?)))
            }),
            ("reads", "2 each", |of| {
                Some(of.sweep.as_ref()?.calls.reads.to_string())
            }),
            ("writes", "3 each", |of| {
                Some(of.sweep.as_ref()?.writes.to_string())
            }),
        ],
    },
    Group {
        title: "memory, MiB",
        columns: &[
            ("peak", "120", |of| Some(mebibytes(of.sweep.as_ref()?.peak))),
            ("rest", "60", |of| {
                Some(mebibytes(of.rest.as_ref()?.resident))
            }),
            ("again", "", |of| {
                Some(mebibytes(of.restart.as_ref()?.resident))
            }),
            ("standby", "", |of| of.standby.map(mebibytes)),
        ],
    },
    Group {
        title: "30 s at rest",
        columns: &[
            ("CPU s", "0.2", |of| {
                Some(format!("{:.2}", of.rest.as_ref()?.cpu.as_secs_f64()))
            }),
            ("reads", "0", |of| {
                Some(of.rest.as_ref()?.calls.reads.to_string())
            }),
            ("writes", "0", |of| {
                Some(of.rest.as_ref()?.writes.to_string())
            }),
        ],
    },
    Group {
        title: "restart",
        columns: &[
            ("s", "", |of| Some(seconds(of.restart.as_ref()?.wall))),
            ("CPU s", "", |of| Some(seconds(of.restart.as_ref()?.cpu))),
            ("reads", "1 each", |of| {
                Some(of.restart.as_ref()?.calls.reads.to_string())
            }),
            ("writes", "0", |of| {
                Some(of.restart.as_ref()?.writes.to_string())
            }),
        ],
    },
    Group {
        title: "edit, ms",
        columns: &[
            ("p50", "", |of| {
                Some(format!("{:.0}", millis(of.first_call.as_ref()?.p50)))
            }),
            ("p99", "150", |of| {
                Some(format!("{:.0}", millis(of.first_call.as_ref()?.p99)))
            }),
        ],
    },
    Group {
        title: "SIGTERM, s",
        columns: &[
            ("call", "2", |of| Some(seconds(of.told.as_ref()?.any))),
            ("edited", "", |of| Some(seconds(of.told.as_ref()?.edited))),
        ],
    },
    Group {
        title: "SIGKILL, s",
        columns: &[
            ("call", "20", |of| Some(seconds(of.killed.as_ref()?.any))),
            ("edited", "", |of| Some(seconds(of.killed.as_ref()?.edited))),
        ],
    },
];

/// What the titles say in short.
pub const LEGEND: &str = "\
s: until every object is Ready, or until every group was looked at. writes: to Kubernetes, the lease apart.
again: after a restart. edit: from the request to the first call that names the group, one edit at a time.
SIGTERM, SIGKILL: from the end of the leader to the first call of the standby, and to that about an object edited then.";

/// The lines above the rows.
pub fn head() -> String {
    let titles = line(|group| format!("{:<width$}", group.title, width = width(group)));
    let units = line(|group| cells(group, |(unit, ..)| (*unit).to_owned()));
    let goals = line(|group| cells(group, |(_, goal, _)| (*goal).to_owned()));
    [titles, units, goals].join("\n")
}

/// The row of one size, and below it what does not fit into columns.
pub fn row(figures: &Figures) -> String {
    let cell = |(.., cell): &Column| cell(figures).unwrap_or_else(|| "-".to_owned());
    let mut lines = vec![line(|group| cells(group, cell))];
    if let Some(rest) = &figures.usual {
        lines.push(format!("        {}", usual(rest)));
    }
    if let Some(stopped) = &figures.stopped {
        lines.push(format!("        stopped: {stopped}"));
    }
    lines.join("\n")
}

fn usual(rest: &Rest) -> String {
    let Rest {
        lasted,
        cpu,
        calls,
        writes,
        resident,
    } = rest;
    let (cpu, lasted) = (cpu.as_secs_f64(), lasted.as_secs_f64());
    format!(
        "intervalSeconds {lasted}, all of it: {cpu:.2} CPU s ({:.2} in 30 s), {} reads, {} changes, {writes} writes, {} MiB",
        cpu * 30.0 / lasted,
        calls.reads,
        calls.changes,
        mebibytes(*resident),
    )
}

fn line(of: impl Fn(&Group) -> String) -> String {
    let groups: Vec<_> = GROUPS.iter().map(of).collect();
    groups.join(" |").trim_end().to_owned()
}

fn cells(group: &Group, of: impl Fn(&Column) -> String) -> String {
    let cell = |column| format!("{:>width$}", of(column), width = column_width(column));
    let cells: Vec<_> = group.columns.iter().map(cell).collect();
    cells.concat()
}

/// Room for a space and the longest cell there may be.
fn column_width((unit, goal, _): &Column) -> usize {
    unit.len().max(goal.len()).max(5) + 1
}

fn width(group: &Group) -> usize {
    let columns: usize = group.columns.iter().map(column_width).sum();
    columns.max(group.title.len())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn mebibytes(kib: u64) -> String {
    (kib / 1024).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_shows_as_a_dash_and_why_below() {
        let figures = Figures {
            stopped: Some("no progress".to_owned()),
            ..Figures::of(4000)
        };
        let row = row(&figures);
        let (cells, why) = row.split_once('\n').unwrap();
        assert!(cells.contains("4000") && cells.contains('-'), "{cells}");
        assert!(why.contains("no progress"), "{why}");
    }

    #[test]
    fn rows_are_as_wide_as_their_head() {
        let columns = |line: &str| line.match_indices('|').map(|at| at.0).collect::<Vec<_>>();
        let (head, row) = (head(), row(&Figures::of(10_000)));
        for line in head.lines() {
            assert_eq!(columns(line), columns(&row), "{head}\n{row}");
        }
    }
}
