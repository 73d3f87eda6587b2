//! The portal as its own server: beside relays, over the same stores.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use securemail_relay::{fail, retrieve};

/// Serves what waits in a relay's vault to those it is for.
#[derive(Debug, Parser)]
#[command(name = "securemail-retrieval", version)]
struct Cli {
    /// The settings file of the relay.
    #[arg(long)]
    config: PathBuf,
    /// Where to listen, instead of listen.web.
    #[arg(long)]
    listen: Option<SocketAddr>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(2, &format!("no runtime: {error}")),
    };
    runtime.block_on(retrieve(&cli.config, cli.listen))
}
