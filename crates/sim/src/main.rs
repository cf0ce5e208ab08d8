//! The simulator as a program of its own, for the demo and for looking around.

use std::net::SocketAddr;

use clap::Parser;
use server_group_sim::{Options, Simulator, world::Rate};
use tokio::io::AsyncReadExt;

/// Imitates the cloud APIs on a loopback address: ESS, CLB, ALB, NLB, GWLB, ECS, STS and instance metadata, all on one port.
///
/// Requests are signed as for the real ones. What happened is at /_sim/audit?text, what there is at /_sim/groups;
/// things are made and faults scripted by posting deeds to /_sim/do (docs/simulator.md).
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Loopback address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Where ids come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seconds of simulated time pass in one.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Access key id that may sign.
    #[arg(long, default_value = "simulated-key")]
    key_id: String,
    /// Its secret.
    #[arg(long, default_value = "simulated-secret")]
    key_secret: String,
    /// The cloud account it belongs to.
    #[arg(long, default_value = "1000000000000001")]
    account: String,
    /// A further key, as ID:SECRET:ACCOUNT; may be given several times.
    #[arg(long = "key", value_name = "ID:SECRET:ACCOUNT", value_parser = key)]
    keys: Vec<(String, String, String)>,
    /// Take no more calls in a minute than the documentation allows.
    #[arg(long)]
    throttle: bool,
    /// How many backend servers one call of CLB may name: 20 are documented, and the cloud controller manager sends 40.
    #[arg(long, default_value_t = 20)]
    backends_per_call: usize,
    /// Refuse calls with parameters that are not documented, and do not only note them.
    #[arg(long)]
    strict: bool,
    /// End when standard input ends.
    #[arg(long)]
    until_stdin_ends: bool,
}

fn key(text: &str) -> Result<(String, String, String), String> {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [id, secret, account] => Ok(((*id).into(), (*secret).into(), (*account).into())),
        _ => Err("it is not of the form ID:SECRET:ACCOUNT".into()),
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    if !arguments.listen.ip().is_loopback() {
        return Err(std::io::Error::other(
            "the simulator listens on loopback addresses only",
        ));
    }
    let mut keys = arguments.keys;
    keys.push((arguments.key_id, arguments.key_secret, arguments.account));
    let options = Options {
        seed: arguments.seed,
        listen: arguments.listen,
        speed: arguments.speed,
        keys,
    };
    let simulator = Simulator::start(options).await?;
    {
        let mut world = simulator.world();
        world.strict = arguments.strict;
        world.backends_max = arguments.backends_per_call;
        if arguments.throttle {
            world.rates = Rate::documented();
        }
    }
    eprintln!(
        "simulating the cloud at {} with seed {}",
        simulator.url(),
        arguments.seed
    );
    if arguments.until_stdin_ends {
        let mut rest = Vec::new();
        tokio::io::stdin().read_to_end(&mut rest).await?;
    } else {
        std::future::pending::<()>().await;
    }
    Ok(())
}
