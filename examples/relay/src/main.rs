//! The whole relay: one binary.
//!
//! `run` serves, `demo` shows everything on one machine without settings, `check` explains how mail to
//! a domain would go, `events` shows what happened to a message, `doctor` looks at our own listeners and
//! names, `config check` reads settings.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use securemail_relay::{
    Asking, check, check_settings, demo, doctor, events, explain, fail, of_node, replay, run,
    tls_reports,
};

/// A mail relay that hands messages over only where it is proved who takes them.
#[derive(Debug, Parser)]
#[command(name = "securemail-relay", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve.
    Run {
        /// The settings file.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Show it all on this machine: no settings, no network, no root.
    Demo {
        /// Pick the waiting message up without a browser, compare, and end: 0 if all is well, 1 if not.
        #[arg(long)]
        once: bool,
    },
    /// Explain how mail to a domain would go: 0 direct, 10 vault, 20 refused, 30 held, 2 usage, 3 unknown.
    Check {
        /// The recipient domain.
        #[arg(required_unless_present = "replay")]
        domain: Option<String>,
        /// The settings file; needed, unless --replay is used.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Decide as for mail of this tenant; without it by `route.profile`.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// Also open a session with each host and prove it; nothing is sent.
        #[arg(long)]
        connect: bool,
        /// Decide as for a message that demands REQUIRETLS.
        #[arg(long)]
        requiretls: bool,
        /// Look past every answer and policy that is kept.
        #[arg(long)]
        fresh: bool,
        /// Print evidence and decision as JSON.
        #[arg(long)]
        json: bool,
        /// Also check what the domain says of itself under NTA 7516, the Dutch norm for mail in care.
        #[arg(long)]
        nta7516: bool,
        /// Decide again from what `--json` printed into this file; nothing is asked of the network.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["domain", "config", "tenant", "connect", "requiretls", "fresh", "json", "nta7516"])]
        replay: Option<PathBuf>,
    },
    /// Show what happened to a message or to the messages for a recipient, or reports about TLS.
    Events {
        /// The settings file.
        #[arg(long)]
        config: PathBuf,
        /// The tenant; may be left out where there is one.
        #[arg(long)]
        tenant: Option<String>,
        /// Show instead what others report about TLS to our domains.
        #[arg(long, conflicts_with_all = ["tenant", "message"])]
        tls_reports: bool,
        /// Show instead the alarms of the node: when each began, and when it was over.
        #[arg(long, conflicts_with_all = ["tenant", "message", "tls_reports"])]
        node: bool,
        /// The id that the sender was given, the reference of a letter or a page (K7-4QPD), an address, or
        /// a Message-ID.
        message: Option<String>,
    },
    /// Look at our own listeners and names as the world sees them: 0 good, 1 wrong, 2 usage, 3 unknown.
    Doctor {
        /// The settings file of the relay, which must be running.
        #[arg(long)]
        config: PathBuf,
        /// Print the findings as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Work on settings.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say what is wrong with a settings file, or that it is good.
    Check {
        /// The settings file.
        #[arg(long)]
        config: PathBuf,
    },
}

/// `check` has its own meaning for 1; a command that is used wrongly ends with 2, as clap does.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(UNUSABLE, &format!("no runtime: {error}")),
    };
    runtime.block_on(async {
        match cli.command {
            Command::Run {
                config: Some(config),
            } => run(&config).await,
            Command::Run { config: None } => explain(),
            Command::Demo { once } => demo(once).await,
            Command::Check {
                replay: Some(file), ..
            } => replay(&file),
            Command::Check {
                domain,
                config,
                tenant,
                connect,
                requiretls,
                fresh,
                json,
                nta7516,
                replay: None,
            } => {
                let asking = Asking {
                    tenant,
                    requiretls,
                    connect,
                    fresh,
                    json,
                    nta7516,
                };
                check(&domain.unwrap_or_default(), config.as_deref(), asking).await
            }
            Command::Events {
                config,
                tls_reports: true,
                ..
            } => tls_reports(&config).await,
            Command::Events {
                config, node: true, ..
            } => of_node(&config).await,
            Command::Events {
                config,
                tenant,
                message,
                tls_reports: false,
                node: false,
            } => events(&config, tenant.as_deref(), message.as_deref()).await,
            Command::Doctor { config, json } => doctor(&config, json).await,
            Command::Config {
                command: ConfigCommand::Check { config },
            } => check_settings(&config),
        }
    })
}
