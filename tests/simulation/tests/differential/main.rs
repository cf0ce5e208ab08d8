//! The same requests to a real kube-apiserver and to the one in memory: they have to answer alike.
//!
//! Equal are codes, reasons and objects. What differs by nature is compared by what it means: uids and versions by who
//! has the same one as whom and by their order, generated names and times by being there. Texts of messages, causes of
//! what is invalid and `managedFields` are left out.

#![allow(unreachable_pub, reason = "a test binary exports nothing")]
#![expect(
    clippy::unwrap_used,
    reason = "tests may unwrap, and helpers count as tests"
)]

mod alike;
mod ask;
mod play;
mod random;
mod real;
mod scripts;

use std::{collections::BTreeSet, path::Path};

use control_plane::ControlPlane;
use simulation::kubernetes::shape;
use tokio::sync::OnceCell;

use crate::play::Play;

/// The control plane of both tests, with the definitions.
async fn control_plane() -> &'static ControlPlane {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await;
    INSTALLED
        .get_or_init(|| async {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
            tokio::task::spawn_blocking(move || control_plane.apply(&path))
                .await
                .unwrap()
                .unwrap();
            real::served(&control_plane.admin().client().await.unwrap()).await;
        })
        .await;
    control_plane
}

#[tokio::test(flavor = "multi_thread")]
async fn both_servers_answer_written_scripts_alike_and_all_that_the_operator_sends_is_in_one() {
    let control_plane = control_plane().await;
    let mut asked = BTreeSet::new();
    for (name, script) in scripts::ALL {
        let mut play = Play::new(control_plane, name).await;
        script(&mut play).await;
        asked.append(&mut play.asked());
    }
    let sent = shape::lines(include_str!("../../requests.txt"));
    // In the simulation nobody reads namespaces: no grant selects by labels there, and no rights go.
    let sent = sent.filter(|line| !line.starts_with("GET /api/v1/namespaces"));
    let missing: Vec<_> = sent.filter(|line| !asked.contains(*line)).collect();
    assert!(missing.is_empty(), "no script asks {missing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_servers_answer_random_scripts_alike() {
    let control_plane = control_plane().await;
    for seed in 1..=20 {
        let mut play = Play::new(control_plane, &format!("random-{seed}")).await;
        random::script(&mut play, seed, 60).await;
    }
}
