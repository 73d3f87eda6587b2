//! Content that is delivered directly touches no disk, in clear or sealed.

use std::fs;
use std::path::Path;

use super::relay::{Relay, Start, contains, mail_with};

const CANARY: &str = "canary-c0ffee-of-the-body";
/// Everything by which octets could reach a file, and every file that is made.
const TRACED: &str = "trace=open,openat,creat,memfd_create,write,writev,pwrite64,pwritev,pwritev2";

#[test]
fn direct_delivery_writes_no_content_and_makes_no_file_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let trace = deliver_traced(folder.path(), "");
    assert!(trace.contains("write("), "strace saw nothing:\n{trace}");
    assert!(!trace.contains(CANARY), "content was written in clear");
    assert!(
        !trace.contains("O_TMPFILE"),
        "a file was made for content that fits in memory"
    );
}

#[test]
fn content_above_the_memory_budget_goes_to_a_nameless_file_and_never_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let trace = deliver_traced(folder.path(), "memory_bytes = 1024");
    assert!(
        trace.contains("O_TMPFILE"),
        "this test sees no file being made"
    );
    assert!(!trace.contains(CANARY), "content was written in clear");
}

/// Delivers the canary under strace and gives what strace saw.
fn deliver_traced(folder: &Path, limits: &str) -> String {
    let file = folder.join("strace");
    let output = file.to_str().unwrap();
    let under = [
        "strace", "-f", "-qq", "-s", "4096", "-e", TRACED, "-o", output,
    ];
    let mut relay = Relay::start_with(&Start {
        limits,
        under: &under,
        ..Start::default()
    });
    let subject = format!("Subject: traced {}", folder.display());
    let body = format!("{CANARY}\n").repeat(200);
    relay.accepted(
        &["somebody@dane.test"],
        &["--header", &subject, "--body", &body],
    );
    relay.arrived("dane.test", &subject);
    assert!(mail_with(&relay.lab, "dane.test", CANARY).is_some());
    no_canary_below(&relay.data_dir());
    drop(relay);
    fs::read_to_string(file).unwrap()
}

fn no_canary_below(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_canary_below(&path);
        } else if let Ok(octets) = fs::read(&path) {
            assert!(!contains(&octets, CANARY), "{}", path.display());
        }
    }
}
