//! Compares our decisions with those of Postfix and OpenSSL, inside the lab.
#![expect(
    clippy::print_stdout,
    reason = "a command line tool speaks on standard output"
)]

use std::process::ExitCode;

use clap::Parser;
use securemail_differential::{Options, run};

/// Makes up recipient domains and compares what becomes of mail to them. `cargo xtask lab diff` runs it.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many domains.
    #[arg(short, default_value_t = 300)]
    n: u64,
    /// All the rest follows from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this domain, with all that everybody says of it.
    #[arg(long, value_name = "ID")]
    only: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { n, seed, only } = Arguments::parse();
    let ids = only.map_or_else(|| (1..=n).collect(), |id| vec![id]);
    let options = Options {
        seed,
        ids,
        talkative: only.is_some(),
    };
    match run(&options).await {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(!report.is_clean()))
        }
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::from(2)
        }
    }
}
