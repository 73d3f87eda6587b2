//! Hands what libFuzzer makes up to the target that `FUZZ_TARGET` names. `cargo xtask fuzz` sets both up.
#![cfg_attr(coverage_fuzzing, no_main)]

#[cfg(coverage_fuzzing)]
mod fuzzing {
    use std::sync::LazyLock;

    use fuzz_targets::{Target, targets};

    static TARGET: LazyLock<Target> = LazyLock::new(named);

    #[expect(
        clippy::disallowed_methods,
        reason = "libFuzzer reads the command line, and asks this program nothing"
    )]
    fn named() -> Target {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let Some((_, target)) = targets().find(|(known, _)| *known == name) else {
            panic!("FUZZ_TARGET names no target: `{name}`");
        };
        target
    }

    libfuzzer_sys::fuzz_target!(|octets: &[u8]| TARGET(octets));
}

#[cfg(not(coverage_fuzzing))]
fn main() -> std::process::ExitCode {
    eprintln!("this is built and run by `cargo xtask fuzz TARGET`");
    std::process::ExitCode::FAILURE
}
