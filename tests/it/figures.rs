//! Rows of the table that `make bench` prints, each of which fails when it is above its bound.

/// What others take for the same, in calls: the cloud controller manager (CCM) at eeb0ddc and the Terraform provider at
/// 81c43b6, one resource a member, against a local cloud that keeps the documented limits.
const PEERS: &[(&str, &str)] = &[
    (
        "CLB: calls for 1000 additions",
        "CCM 39, of 40 each where 20 are documented; Terraform 2004",
    ),
    (
        "CLB: calls for 500 removals",
        "CCM 22, of 40 each; Terraform 1502",
    ),
    (
        "CLB: calls for 1000, every third throttled",
        "CCM 880 members after a minute; Terraform stops at 20",
    ),
    ("NLB: calls for 1000 additions", "CCM 63, polls included"),
    ("NLB: calls for 500 removals", "CCM 44, polls included"),
    ("ESS: calls for 100 x 10 attachments", "Terraform 2000"),
    ("ESS: reads of the next interval", "Terraform 1000"),
    (
        "CLB: writes and reads of it, 2 looks",
        "CCM 10219, of 1000 Services",
    ),
    ("CLB: reads after a restart, 1000 groups", "CCM 6920 calls"),
];

/// One row of the table; fails if ours is above the bound.
pub fn row(what: &str, floor: usize, ours: usize, bound: usize) {
    #[expect(clippy::cast_precision_loss, reason = "the figures are small")]
    let ratio = ours as f64 / floor.max(1) as f64;
    let peers = PEERS.iter().find(|(situation, _)| *situation == what);
    let peers = peers.map_or("", |(_, took)| took);
    eprintln!("count | {what:<50} | floor {floor:>4} | ours {ours:>4} | {ratio:>4.2} | {peers}");
    assert!(ours <= bound, "{what}: {ours} is more than {bound}");
}
