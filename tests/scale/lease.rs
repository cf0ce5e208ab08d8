//! The lease of an operator that has more to do than its machine can.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use server_group_operator::leader::LEASE_NAME;
use server_group_sim::world::Product;

use crate::{
    ALONE, Membership,
    stage::{Stage, instances, timing},
};

/// How long every worker is busy: two leases.
const BUSY: Duration = Duration::from_secs(30);

/// Four thousand objects once kept the workers from renewing the lease, after each restart again.
#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_held_while_every_worker_is_busy_for_half_a_minute() {
    let _alone = ALONE.lock().await;
    let mut stage = Stage::without_operator("busy").await;
    stage
        .simulator
        .world()
        .create_group(Product::Clb, "rsp-web");
    let workers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let lease = stage.elects_on_a_thread("busy").await;
    let production = server_group_operator::timing::Timing::production();
    let mut timing = timing();
    timing.mutation_deadline = production.mutation_deadline;
    let running = {
        let _there = workers.enter();
        stage.run_with(stage.operator_client(), timing)
    };
    let record = || async {
        let leases = Api::<Lease>::namespaced(stage.client.clone(), &stage.namespace);
        leases.get_opt(LEASE_NAME).await.unwrap()?.spec
    };
    stage
        .eventually("it leads", || async {
            (record().await?.holder_identity? == "busy").then_some(())
        })
        .await;
    let first = record().await.unwrap();
    let until = Instant::now() + BUSY;
    for _ in 0..2 {
        workers.spawn(async move {
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        });
    }
    let renewals = std::cell::RefCell::new(std::collections::BTreeSet::new());
    stage
        .eventually("the end of it", || async {
            let now = record().await.unwrap();
            assert_eq!(now.holder_identity.as_deref(), Some("busy"));
            assert_eq!(now.lease_transitions, first.lease_transitions);
            renewals.borrow_mut().insert(now.renew_time.unwrap().0);
            (Instant::now() >= until).then_some(())
        })
        .await;
    let renewals = renewals.borrow().len();
    println!("renewed {renewals} times in {BUSY:?}");
    assert!(renewals >= 3, "it would have been over twice");
    // And it goes on with its work.
    stage
        .membership("web", "rsp-web", &instances(0, 3, Some(80)), json!({}))
        .await;
    stage.reason::<Membership>("web", "Converged").await;
    drop((running, lease));
    workers.shutdown_background();
}
