//! Witnesses are made only where what they assert was just checked.

use super::source::Source;

/// A witness, and where its `assertion` may be called.
struct Sites {
    witness: &'static str,
    may: &'static [&'static str],
}

const SPOOLS: [&str; 4] = [
    "crates/securemail-store-sqlite/src/",
    "crates/securemail-store-pg/src/",
    "crates/securemail-testkit/src/",
    "crates/securemail-core/src/drive/",
];

/// Where rustls is told that a handshake is fine; the proof of the peer is `route::authenticate`. `doctor` looks at
/// what our own listeners show, and sends nothing.
const HANDSHAKE: [&str; 2] = [
    "crates/securemail-smtp/src/net/tls.rs",
    "examples/relay/src/doctor/listener.rs",
];

const WITNESSES: [Sites; 7] = [
    // What just came out of the sealer, or out of a store that took it sealed.
    Sites {
        witness: "SealedContent",
        may: &[
            "crates/securemail-core/src/seal/",
            "crates/securemail-smtp/src/net/body.rs",
            "crates/securemail-store-sqlite/src/",
            "crates/securemail-store-pg/src/",
            "crates/securemail-store-s3/src/",
            "crates/securemail-testkit/src/",
            "examples/custom-vault/src/",
            // What a damaged store would give back, which must not open.
            "fuzz/src/sealed.rs",
        ],
    },
    Sites {
        witness: "Committed",
        may: &SPOOLS,
    },
    Sites {
        witness: "HandedOver",
        may: &SPOOLS,
    },
    Sites {
        witness: "DsnCommitted",
        may: &SPOOLS,
    },
    Sites {
        witness: "ClientCertVerified",
        may: &HANDSHAKE,
    },
    Sites {
        witness: "HandshakeSignatureValid",
        may: &HANDSHAKE,
    },
    Sites {
        witness: "ServerCertVerified",
        may: &HANDSHAKE,
    },
];

/// Finds calls outside the listed places. Tests may call: they ship nothing.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| source.is_rust() && is_shipped(&source.path))
        .flat_map(breaches)
        .collect()
}

fn is_shipped(path: &str) -> bool {
    path.contains("/src/") && !path.starts_with("xtask/") && !path.starts_with("benches/")
}

fn breaches(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1_usize..).zip(source.code().lines()) {
        let Some(witness) = witness_called(line) else {
            continue;
        };
        let allowed = WITNESSES
            .iter()
            .find(|sites| sites.witness == witness)
            .is_some_and(|sites| sites.may.iter().any(|place| source.path.starts_with(place)));
        if !allowed {
            found.push(format!(
                "{}:{number}: `{witness}::assertion` is called here; xtask/src/tidy/witness.rs \
                 lists where that may be",
                source.path
            ));
        }
    }
    found
}

/// The type in `Type::assertion(`, if the line calls one.
fn witness_called(line: &str) -> Option<&str> {
    let (before, _) = line.split_once("::assertion(").or_else(|| {
        // A path handed to `map`, which is a call all the same.
        line.split_once("::assertion)")
    })?;
    before
        .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    fn found(path: &str, line: &str) -> usize {
        let text = format!("//! X.\n{line}\n");
        check(&[Source {
            path: path.to_owned(),
            text,
        }])
        .len()
    }

    #[test]
    fn a_witness_is_made_in_its_place_only() {
        let call = "let c = Committed::assertion(id);";
        assert_eq!(
            found("crates/securemail-store-sqlite/src/spool.rs", call),
            0
        );
        assert_eq!(found("crates/securemail-smtp/src/server.rs", call), 1);
        assert_eq!(
            found(
                "crates/securemail-smtp/src/server.rs",
                "x.map(Committed::assertion)"
            ),
            1
        );
    }

    #[test]
    fn an_unknown_witness_has_no_place() {
        assert_eq!(
            found(
                "crates/securemail-core/src/seal/a.rs",
                "Proof::assertion(1)"
            ),
            1
        );
    }
}
