//! What is left of a message on the disk: nothing in clear, and nothing at all once it is destroyed
//! (promises P3, P5 and P10).

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::smtp::Submitter;
use common::visitor::{Visitor, between};
use common::world::{World, arrival};
use common::{ANNA, PATIENCE, Place, Running, TENANT, delivery, eventually, link_in};
use reqwest::StatusCode;
use securemail_core::backend::{
    KeyPurpose, KeyRef, KeyStore as _, Pickups as _, Spool as _, Vault as _,
};
use securemail_core::vocab::{UnixTime, VaultId, VaultKey};
use securemail_store_sqlite::{FileVault, SqliteKeyStore};
use securemail_testkit::sink::Conduct;

/// In the subject, the body and the attachment of every message here. Its length is a multiple of
/// three, so that its BASE64 form at the beginning of an attachment is that of the marker alone.
const MARKER: &str = "M4RK3R-0F-TH1S-T3ST-0N1Y";
const MIB: usize = 1024 * 1024;

/// What is looked for in files.
#[derive(Clone)]
struct Wanted(Vec<(String, Vec<u8>)>);

impl Wanted {
    /// The marker, as it is and as it stands in the attachment.
    fn marker() -> Self {
        let encoded = STANDARD.encode(MARKER);
        Self(vec![
            ("the marker".to_owned(), MARKER.into()),
            ("the attachment".to_owned(), encoded.into()),
        ])
    }

    /// What of it stands in these octets.
    fn within(&self, octets: &[u8]) -> Vec<&str> {
        let found = self.0.iter().filter(|(_, needle)| find(octets, needle));
        found.map(|(name, _)| name.as_str()).collect()
    }
}

fn find(octets: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else {
        return false;
    };
    let mut left = octets;
    while let Some(at) = left.iter().position(|octet| octet == first) {
        left = &left[at + 1..];
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

/// All files below `folder`, those that vanish meanwhile left out.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// Where any of it stands below `folder`: file and what.
fn search(folder: &Path, wanted: &Wanted) -> Vec<String> {
    let mut places = Vec::new();
    for file in files(folder) {
        let octets = fs::read(&file).unwrap_or_default();
        for what in wanted.within(&octets) {
            places.push(format!("{what} in {}", file.display()));
        }
    }
    places
}

/// The files without a name that a process holds open below `folder`, where they can be read.
fn unnamed(pid: u32, folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let is_unnamed = |file: &PathBuf| {
        let target = fs::read_link(file).unwrap_or_default();
        target.starts_with(folder) && target.to_string_lossy().ends_with(" (deleted)")
    };
    entries
        .map(|entry| entry.path())
        .filter(is_unnamed)
        .collect()
}

/// Looks for the marker all the time: in every file of the data, and in files without a name.
struct Watch {
    enough: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    thread: JoinHandle<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    places: Vec<String>,
    /// Octets of the largest file without a name.
    unnamed: u64,
    /// Octets of the largest file with one.
    named: u64,
}

impl Watch {
    fn begin(pid: u32, data: PathBuf) -> Self {
        let (enough, looks) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let thread = {
            let (enough, looks) = (enough.clone(), looks.clone());
            thread::spawn(move || {
                let (mut seen, wanted) = (Seen::default(), Wanted::marker());
                while !enough.load(Ordering::Relaxed) {
                    seen.places.extend(search(&data, &wanted));
                    let length = |file: &PathBuf| fs::metadata(file).map_or(0, |data| data.len());
                    let largest = files(&data).iter().map(length).max().unwrap_or(0);
                    seen.named = seen.named.max(largest);
                    let unnamed = unnamed(pid, &data);
                    // To read them all takes longer than a file may be whole.
                    let largest = unnamed.iter().map(length).max().unwrap_or(0);
                    seen.unnamed = seen.unnamed.max(largest);
                    for file in unnamed {
                        // What is written last is what a reader of the disk would find.
                        let octets = fs::read(&file).unwrap_or_default();
                        let found = wanted.within(&octets).into_iter();
                        seen.places
                            .extend(found.map(|what| format!("{what} in an unnamed file")));
                    }
                    looks.fetch_add(1, Ordering::Relaxed);
                    thread::park_timeout(Duration::from_millis(5));
                }
                seen
            })
        };
        Self {
            enough,
            looks,
            thread,
        }
    }

    fn end(self) -> (Seen, usize) {
        self.enough.store(true, Ordering::Relaxed);
        let seen = self.thread.join().unwrap();
        (seen, self.looks.load(Ordering::Relaxed))
    }
}

/// A message with the marker everywhere, and `padding` octets more.
fn marked(id: &str, to: &str, padding: usize) -> Vec<u8> {
    let attachment = STANDARD.encode(MARKER);
    let mut content = format!(
        "From: Anna <{ANNA}>\r\nTo: <{to}>\r\nSubject: {MARKER}\r\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{id}@sender.test>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{MARKER}\r\n\
         --b\r\nContent-Type: application/octet-stream\r\n\
         Content-Disposition: attachment; filename=\"a.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{attachment}\r\n"
    )
    .into_bytes();
    let line = format!("{}\r\n", attachment.repeat(2));
    while content.len() < padding {
        content.extend_from_slice(line.as_bytes());
    }
    content.extend_from_slice(b"--b--\r\n");
    content
}

async fn submit(submitter: &Submitter, to: &str, content: &[u8]) -> String {
    let reply = submitter.submit(&[to], content).await.unwrap();
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    reply
}

#[test]
fn the_search_finds_what_is_there() {
    let folder = tempfile::TempDir::new().unwrap();
    fs::create_dir(folder.path().join("deep")).unwrap();
    let content = marked("1", "eva@proved.test", 0);
    fs::write(folder.path().join("deep/file"), &content).unwrap();
    assert_eq!(search(folder.path(), &Wanted::marker()).len(), 2);
    let hidden = tempfile::tempfile_in(folder.path()).unwrap();
    let found = unnamed(std::process::id(), &folder.path().canonicalize().unwrap());
    assert_eq!(found.len(), 1);
    drop(hidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_content_stands_on_the_disk_in_clear() {
    let world = World::start().await;
    let place = Place::new(&world);
    let relay = place.start();
    let data = place.data_dir();
    let watch = Watch::begin(relay.pid(), data.clone());
    let anna = relay.submitter();
    let mut held = Vec::new();
    for n in 0..3 {
        // Small, beyond what the spool keeps with its records, and large.
        let size = [0, 400_000, 3 * MIB][n];
        for to in [
            "eva@proved.test",
            "kim@slow.test",
            "kim@mismatch.test",
            "jan@open.test",
        ] {
            let content = marked(&format!("{n}-{to}"), to, size);
            let reply = submit(&anna, to, &content).await;
            if to == "kim@mismatch.test" {
                held.push(reply);
            }
        }
    }
    eventually("three notices", || {
        (world.open.messages().len() >= 3).then_some(())
    })
    .await;
    let log = relay.log();
    assert!(!log.contains(MARKER), "the log has it");
    assert!(!log.contains("eva@"), "the log has an address");
    // The held ones go out, and their content goes away. A new relay has nothing in its DNS cache.
    world.heal_mismatch();
    assert!(relay.stop().success());
    let relay = place.start();
    let store = place.store().await;
    for reply in &held {
        store
            .wake(&delivery(reply), UnixTime::from_secs(0))
            .await
            .unwrap();
    }
    drop(store);
    eventually("the held messages", || {
        (world.mismatch.messages().len() >= 3).then_some(())
    })
    .await;
    assert_eq!(world.proved.messages().len(), 3);
    let (seen, looks) = watch.end();
    assert!(looks > 3, "it was looked {looks} times only");
    assert!(seen.places.is_empty(), "{:?}", seen.places);
    assert!(
        seen.named > 3 * MIB as u64,
        "the sealed content was not even seen"
    );
    assert!(!relay.log().contains(MARKER), "the log has it");
    drop(relay);
    let left = search(place.folder(), &Wanted::marker());
    assert!(left.is_empty(), "after the end: {left:?}");
}

/// Peak memory of a process, in octets.
fn peak(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_stay_out_of_memory_and_lie_sealed_without_a_name() {
    const AT_ONCE: usize = 4;
    let world = World::start().await;
    let mut place = Place::new(&world);
    // A sender who is answered later has a sealed copy with a name; a slow machine must not come to that.
    place.set("route.budget", "\"5m\"");
    // Long enough to be looked at whole.
    let at_dot = Duration::from_secs(10);
    world.slow.behave(Conduct::DelayAtDot(at_dot));
    place.set("limits.memory_bytes", "1048576");
    let relay = place.start();
    let idle = peak(relay.pid());
    let watch = Watch::begin(relay.pid(), place.data_dir());
    let anna = relay.submitter();
    let senders: Vec<_> = (0..AT_ONCE)
        .map(|n| {
            let anna = anna.clone();
            tokio::spawn(async move {
                let content = marked(&format!("large-{n}"), "kim@slow.test", 55 * 1_000_000);
                submit(&anna, "kim@slow.test", &content).await
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let (seen, looks) = watch.end();
    let grown = peak(relay.pid()).saturating_sub(idle) / MIB;
    eventually("all of them", || {
        (world.slow.messages().len() == AT_ONCE).then_some(())
    })
    .await;
    let said = format!(
        "{AT_ONCE} messages of 55 MB at once: {} MiB idle, {grown} MiB more at the peak; {looks} looks, \
         largest unnamed file {} octets\n",
        idle / MIB,
        seen.unnamed,
    );
    std::io::Write::write_all(&mut std::io::stdout(), said.as_bytes()).unwrap();
    assert!(seen.places.is_empty(), "{:?}", seen.places);
    assert!(
        seen.unnamed > 50 * MIB as u64,
        "the content was nowhere: {said}"
    );
    assert!(
        seen.named < 16 * MIB as u64,
        "the content has a name: {said}"
    );
    assert!(grown < 64, "{said}");
}

/// Opens Jan's message, and destroys it.
async fn pick_up_and_destroy(place: &Place, relay: &Running, link: &str) {
    let page = format!("/b/{}", between(link, "/m/", "/").unwrap());
    let from = place.web().ip();
    let mut jan = Visitor::new(&place.origin(), place.web(), &relay.certificate(), from);
    let landing = jan.get(link).await;
    let form = jan.post(&format!("{page}/code"), &landing, &[]).await;
    let code = eventually("the code", || {
        let log = relay.log();
        let (_, rest) = log.rsplit_once('#')?;
        let code: String = rest.chars().take_while(char::is_ascii_digit).collect();
        (code.len() >= 6).then_some(code)
    })
    .await;
    let opened = jan
        .post(&format!("{page}/open"), &form, &[("code", &code)])
        .await;
    assert!(opened.says(MARKER), "{}", opened.text());
    let question = jan.get(&format!("{page}/destroy")).await;
    let over = jan.post(&format!("{page}/destroy"), &question, &[]).await;
    assert_eq!(over.status, StatusCode::OK, "{}", over.text());
}

/// What must be gone after the destruction: the keys as they are wrapped, the record as it was, with the
/// wrapped content key and the number in it, and pieces of the sealed content.
async fn remains(place: &Place, key: &VaultKey) -> Wanted {
    let data = place.data_dir();
    let keys = SqliteKeyStore::open(&data.join("keys.db")).unwrap();
    let mut wanted = Vec::new();
    for (name, purpose) in [
        ("the server share", KeyPurpose::ServerShare),
        ("the link secret", KeyPurpose::LinkSecret),
    ] {
        let reference = KeyRef::of_message(&key.tenant, purpose, key.id);
        wanted.push((name.to_owned(), keys.fetch(&reference).await.unwrap().0));
    }
    let record = place.store().await.load(key).await.unwrap();
    let middle = record.sealed_state.len() / 2;
    let piece = record.sealed_state[middle..middle + 40].to_vec();
    wanted.push(("the pickup's record".to_owned(), piece));
    let vault = FileVault::open(&data.join("vault")).unwrap();
    let sealed = vault.open(key).await.unwrap();
    let content = sealed.ciphertext();
    for offset in [100, content.size() / 2, content.size() - 64] {
        let piece = content.read(offset, 64).await.unwrap();
        wanted.push((format!("content at {offset}"), piece[..40].to_vec()));
    }
    Wanted(wanted)
}

/// The same, once all of it is found: the record is written anew when the notice is taken and told.
async fn all_there(place: &Place, key: &VaultKey) -> Wanted {
    let begun = std::time::Instant::now();
    loop {
        let wanted = remains(place, key).await;
        let found = search(&place.data_dir(), &wanted);
        let missing = wanted
            .0
            .iter()
            .find(|(name, _)| !found.iter().any(|place| place.starts_with(name.as_str())));
        let Some((name, _)) = missing else {
            return wanted;
        };
        assert!(begun.elapsed() < PATIENCE, "{name}: {found:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_destroyed_message() {
    let world = World::start().await;
    let place = Place::new(&world);
    let relay = place.start();
    let jan = "jan@open.test";
    let small = marked("small", jan, 20_000);
    submit(&relay.submitter(), jan, &small).await;
    let notice = arrival(&world.open, |mail| mail.to == [jan]).await;
    let link = link_in(&notice.data).unwrap();
    let id: VaultId = between(&link, "/m/", "/").unwrap().parse().unwrap();
    let key = VaultKey {
        tenant: TENANT.parse().unwrap(),
        id,
    };
    let data = place.data_dir();
    let wanted = all_there(&place, &key).await;
    pick_up_and_destroy(&place, &relay, &link).await;
    // The write-ahead log is cleared a moment after something was erased.
    let begun = std::time::Instant::now();
    let mut left = search(&data, &wanted);
    while !left.is_empty() && begun.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        left = search(&data, &wanted);
    }
    assert!(left.is_empty(), "after {:?}: {left:?}", begun.elapsed());
    // What stays until retention ends is a record that says nothing of when it was opened.
    let stays = place.store().await.load(&key).await.unwrap();
    let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let days = Duration::from_secs(20 * 24 * 3600);
    assert!(stays.due > UnixTime::from_secs((since_1970 + days).as_secs()));
    drop(relay);
    let left = search(&data, &wanted);
    assert!(left.is_empty(), "after a kill: {left:?}");
    assert!(search(place.folder(), &Wanted::marker()).is_empty());
}
