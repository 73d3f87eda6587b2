//! What the relay logs, and what no setting makes it log (P10).

use std::io::{self, IsTerminal as _};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Logs to standard error from `info` on.
pub fn to_stderr() {
    log_from("info");
}

/// Logs to standard error what is wrong, and nothing else: for commands that talk themselves.
pub fn warnings() {
    log_from("warn");
}

fn log_from(level: &str) {
    let more =
        EnvFilter::try_from_default_env().map_or_else(|_| String::new(), |more| more.to_string());
    let wished = filter(level, &more);
    tracing_subscriber::registry()
        .with(filter_fn(may_be_logged))
        .with(wished)
        .with(
            tracing_subscriber::fmt::layer()
                .with_ansi(io::stderr().is_terminal())
                .with_writer(io::stderr),
        )
        .init();
}

/// `RUST_LOG` can ask for more of our own crates, and for less. What it does not speak of stays at `level`:
/// who looks closer at one crate must not lose the alarms of the others.
fn filter(level: &str, more: &str) -> EnvFilter {
    EnvFilter::try_new(format!("{level},{more}")).unwrap_or_else(|_| EnvFilter::new(level))
}

/// Our own crates log nothing personal at any level, and a test holds them to it. What others write is
/// not ours to promise: an HTTP library shows headers, and so cookies and passwords, at `trace`, and the
/// DNS library shows the names that it looks up at every level.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let of = |family: &str| metadata.target().starts_with(family);
    if of(OURS) {
        return true;
    }
    *metadata.level() <= Level::WARN && !NAMES_DOMAINS.iter().any(|family| of(family))
}

/// The first part of the names of all our crates.
const OURS: &str = "securemail";
/// Libraries that write the names that they look up.
const NAMES_DOMAINS: [&str; 1] = ["hickory"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_of_one_crate_leaves_the_others_as_they_were() {
        for (more, expected) in [
            ("", "info"),
            ("securemail_smtp=debug", "securemail_smtp=debug,info"),
            ("warn", "warn"),
            ("=", "info"),
        ] {
            assert_eq!(filter("info", more).to_string(), expected, "{more}");
        }
    }
}
