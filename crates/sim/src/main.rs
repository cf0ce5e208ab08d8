//! The simulator as a program of its own, for the demo and for looking around.

use std::net::SocketAddr;

use clap::Parser;
use server_group_sim::{Options, Simulator};
use tokio::io::AsyncReadExt;

/// Imitates the cloud APIs on a loopback address.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on.
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
    /// End when standard input ends.
    #[arg(long)]
    until_stdin_ends: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    if !arguments.listen.ip().is_loopback() {
        return Err(std::io::Error::other(
            "the simulator listens on loopback addresses only",
        ));
    }
    let keys = vec![(
        arguments.key_id,
        arguments.key_secret,
        "1000000000000001".to_owned(),
    )];
    let options = Options {
        seed: arguments.seed,
        listen: arguments.listen,
        speed: arguments.speed,
        keys,
    };
    let simulator = Simulator::start(options).await?;
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
