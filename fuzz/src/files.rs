//! What lies on the disk of a store: rows of its database, files of its vault, in any state.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;
use securemail_core::backend::{
    AuditSink as _, Directory as _, DomainMemory as _, DueMail, Pickups as _, Spool as _,
    Vault as _,
};
use securemail_core::seal::{RecordCipher, open};
use securemail_core::secret::Key32;
use securemail_core::vocab::{DnsName, Identity, QueueId, TenantId, UnixTime, VaultId, VaultKey};
use securemail_store_sqlite::{FileVault, SqliteStore, StoreSettings};
use securemail_testkit::sim::SeededEntropy;
use tokio::runtime::Runtime;

type Failure = Box<dyn std::error::Error>;

const NOW: UnixTime = UnixTime::from_secs(1_795_262_400);
const TENANT: &str = "gemeente";
const ID: [u8; 16] = [1; 16];

/// A row of a table, made of any values: what is read back is an error, or is read, and nothing more comes of it. The first
/// octet is the table, each column begins with its kind and its length. A row of values that are all known is given back.
pub(crate) fn rows(octets: &[u8]) {
    let Some(disk) = &*DISK else {
        return assert!(octets.is_empty(), "no store could be opened");
    };
    let _alone = disk.turn.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((table, rest)) = octets.split_first() else {
        return;
    };
    let Some((table, columns)) = TABLES.get(usize::from(*table) % TABLES.len()) else {
        return;
    };
    let Ok(db) = Connection::open(&disk.database) else {
        return;
    };
    // Nothing of this must survive a crash.
    let set = db.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;");
    assert!(set.is_ok(), "{set:?}");
    let row: Vec<(&str, Value)> = columns.iter().copied().zip(values(rest, columns)).collect();
    let written = insert(&db, table, &row);
    let written = written.and_then(|_| match beside(table) {
        Some((beside, columns)) => insert(&db, beside, &joined(&row, columns)),
        None => Ok(1),
    });
    let is_known = rest.is_empty();
    assert!(written.is_ok() || !is_known, "{table}: {written:?}");
    if written.is_ok() {
        let read = disk.runtime.block_on(read(&disk.store, table));
        assert!(read.is_some(), "the names are names");
        assert!(!is_known || read == Some(true), "{table}: it is not read");
    }
    for table in beside(table)
        .map(|(table, _)| *table)
        .into_iter()
        .chain([*table])
    {
        let emptied = db.execute(&format!("DELETE FROM {table}"), []);
        assert!(emptied.is_ok(), "the table stays full");
    }
}

fn insert(db: &Connection, table: &str, row: &[(&str, Value)]) -> rusqlite::Result<usize> {
    let names: Vec<&str> = row.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=row.len()).map(|place| format!("?{place}")).collect();
    let sql = format!(
        "INSERT OR REPLACE INTO {table} ({}) VALUES ({})",
        names.join(", "),
        places.join(", ")
    );
    db.execute(
        &sql,
        rusqlite::params_from_iter(row.iter().map(|(_, value)| value)),
    )
}

/// The table without whose row nobody reads one of this.
fn beside(table: &str) -> Option<&'static Table> {
    let beside = match table {
        "deliveries" => "items",
        "items" => "deliveries",
        "tls_days" => "tls_sessions",
        "tls_sessions" => "tls_days",
        _ => return None,
    };
    TABLES.iter().find(|(name, _)| *name == beside)
}

/// A row of known values that belongs to `row`: what both have is the same.
fn joined<'a>(row: &[(&str, Value)], columns: &[&'a str]) -> Vec<(&'a str, Value)> {
    let value = |column: &str| {
        let same = row.iter().find(|(name, _)| *name == column);
        same.map_or_else(|| known(column), |(_, value)| value.clone())
    };
    columns
        .iter()
        .map(|column| (*column, value(column)))
        .collect()
}

/// A name, and columns.
type Table = (&'static str, &'static [&'static str]);

/// Tables with their columns. A key that is looked for stands for an empty value.
const TABLES: &[Table] = &[
    ("accounts", &["tenant", "identity", "sealed"]),
    (
        "deliveries",
        &[
            "tenant",
            "queue",
            "recipient",
            "state",
            "fence",
            "since",
            "leased",
            "due",
            "woken",
            "sealed_state",
            "first_queue",
            "first_recipient",
            "holder",
        ],
    ),
    ("domains", &["domain", "history"]),
    (
        "events",
        &[
            "tenant", "position", "time", "queue", "chained", "personal", "chain",
        ],
    ),
    ("items", &["tenant", "queue", "class", "sealed_header"]),
    ("logs", &["tenant", "size", "chain"]),
    (
        "pickups",
        &["tenant", "id", "version", "due", "sealed_state"],
    ),
    ("policies", &["domain", "policy"]),
    ("tenants", &["tenant", "sealed"]),
    (
        "tls_days",
        &["domain", "day", "first_due", "due", "tries", "fence"],
    ),
    ("tls_received", &["domain", "key", "day", "report"]),
    ("tls_sessions", &["domain", "day", "session", "count"]),
    ("watched", &["domain", "due", "until"]),
];

fn values(mut octets: &[u8], columns: &[&str]) -> Vec<Value> {
    let mut values = Vec::new();
    for column in columns {
        let Some((&[kind, length], rest)) = octets.split_first_chunk() else {
            values.push(known(column));
            continue;
        };
        let (data, rest) = rest.split_at(usize::from(length).min(rest.len()));
        octets = rest;
        let number = data
            .iter()
            .take(8)
            .fold(0_i64, |sum, octet| sum << 8 | i64::from(*octet));
        values.push(match kind % 5 {
            0 => known(column),
            1 => Value::Integer(number),
            2 => Value::Text(String::from_utf8_lossy(data).into_owned()),
            3 => Value::Blob(data.to_vec()),
            _ => Value::Null,
        });
    }
    values
}

/// What is looked for, and can be read.
fn known(column: &str) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    match column {
        "tenant" => text(TENANT),
        "domain" => text("a.test"),
        "id" | "queue" => Value::Blob(ID.to_vec()),
        "identity" => Value::Blob(cipher().hash("certificate", &[0; 32]).as_bytes().to_vec()),
        "chain" => Value::Blob(vec![0; 32]),
        "first_queue" | "first_recipient" | "leased" | "woken" | "holder" | "personal" => {
            Value::Null
        }
        "history" => text("{}"),
        "key" => text("1"),
        "policy" => text(POLICY),
        "report" => text(REPORT),
        "session" => text(SESSION),
        "until" => Value::Integer(i64::MAX),
        "chained" | "sealed" | "sealed_header" | "sealed_state" => Value::Blob(Vec::new()),
        _ => Value::Integer(2),
    }
}

const POLICY: &str = r#"{"id":"1","body":"","fetched":1,"expires":2}"#;
const SESSION: &str =
    r#"{"policy":{"kind":"sts","domain":"a.test","strings":[],"mx_hosts":[]},"failure":null}"#;
const REPORT: &str = r#"{"domain":"a.test","day":2,"key":"1","received":1,"report":{"organization-name":"x",
    "date-range":{"start-datetime":"2026-11-21T00:00:00Z","end-datetime":"2026-11-21T23:59:59Z"},
    "contact-info":"a@b.test","report-id":"1","policies":[]}}"#;

/// Whatever is asked of a table is answered, or is an error; what was sealed is made up by nobody. Says whether the row was
/// read; `None` where a name is none.
async fn read(store: &SqliteStore, table: &str) -> Option<bool> {
    let (tenant, domain) = (
        TENANT.parse::<TenantId>().ok()?,
        DnsName::parse("a.test").ok()?,
    );
    let id = VaultId::from_bytes(ID);
    let key = VaultKey {
        tenant: tenant.clone(),
        id,
    };
    Some(match table {
        "accounts" => {
            let found = store.account(&Identity::Certificate([0; 32])).await;
            assert!(!matches!(found, Ok(Some(_))), "nobody makes up an account");
            found.is_err()
        }
        "tenants" => {
            let found = store.tenant(&tenant).await;
            assert!(!matches!(found, Ok(Some(_))), "nobody makes up a tenant");
            found.is_err()
        }
        "deliveries" | "items" => {
            drop(store.oldest().await);
            let leased = store.lease_due(DueMail::All, NOW, MINUTE, 10).await;
            // A row that is damaged keeps nobody from the others.
            let leased = leased.map(|leased| leased.len());
            assert!(matches!(leased, Ok(0 | 1)), "{leased:?}");
            leased.is_ok_and(|leased| leased == 1)
        }
        "domains" => store
            .recall(&domain)
            .await
            .is_ok_and(|found| found.is_some()),
        "events" => {
            let page = store.page(&tenant, 0, 10).await;
            drop(store.of_message(&tenant, QueueId::from_bytes(ID)).await);
            let count = page.map_or(0, |page| page.events.len());
            assert!(count <= 1);
            count == 1
        }
        "logs" => store
            .page(&tenant, 0, 10)
            .await
            .is_ok_and(|page| page.size > 0),
        "policies" => store
            .policy(&domain)
            .await
            .is_ok_and(|found| found.is_some()),
        "tls_days" | "tls_sessions" => {
            let claim = store.claim_report(NOW, MINUTE).await;
            claim.is_ok_and(|claim| claim.is_some_and(|claim| claim.sessions.len() == 1))
        }
        "tls_received" => {
            let found = store.received_reports(&domain, 10).await;
            found.is_ok_and(|found| found.len() == 1)
        }
        "watched" => {
            let due = store.claim_due(NOW, NOW.plus(MINUTE), 10).await;
            let count = due.map_or(0, |due| due.len());
            assert!(count <= 1);
            count == 1
        }
        _ => {
            let found = store.load(&key).await;
            drop((store.locate(id).await, store.due(NOW, 10).await));
            assert!(found.as_ref().map_or(true, |found| found.key == key));
            found.is_ok()
        }
    })
}

const MINUTE: Duration = Duration::from_secs(60);

fn cipher() -> RecordCipher {
    RecordCipher::new(Key32::from_bytes([7; 32]))
}

/// A file of the vault with any octets: it opens to nothing that its key made, and is never a reason to stop. The first
/// line is the name of an entry of those that expire, the rest the file.
pub(crate) fn vault(octets: &[u8]) {
    let Some(disk) = &*DISK else {
        return assert!(octets.is_empty(), "no vault could be opened");
    };
    let _alone = disk.turn.lock().unwrap_or_else(PoisonError::into_inner);
    let mut parts = octets.splitn(2, |octet| *octet == b'\n');
    let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let file = parts.next().unwrap_or_default();
    let Ok(tenant) = TENANT.parse::<TenantId>() else {
        return;
    };
    let key = VaultKey {
        tenant,
        id: VaultId::from_bytes(ID),
    };
    let object = disk.objects.join(TENANT).join(key.id.to_string());
    let entry = disk.entries.join(&name);
    let is_name = !name.contains(['/', '\0']) && !matches!(name.as_str(), "" | "." | "..");
    // An hour of which nothing is left is removed.
    drop(fs::create_dir_all(&disk.entries));
    if fs::write(&object, file).is_err() || is_name && fs::write(&entry, []).is_err() {
        return;
    }
    disk.runtime.block_on(async {
        if let Ok(sealed) = disk.vault.open(&key).await {
            assert!(file.starts_with(b"smvault1") && file.len() >= 24);
            assert_eq!(sealed.ciphertext().size(), (file.len() - 24) as u64);
            let opened = open(&sealed, &Key32::from_bytes([3; 32]), b"context").await;
            assert!(opened.is_err(), "nobody makes up content");
        }
        let expired = disk.vault.expired(NOW, 10).await.unwrap_or_default();
        let is_its = |found: &VaultKey| *found == key && name.contains(TENANT);
        assert!(
            expired.iter().all(is_its),
            "what expires is what stands there"
        );
        let erased = disk.vault.erase(&key).await;
        assert!(erased.is_err() || !object.exists(), "it stays");
    });
    drop(fs::remove_file(&object));
    drop(fs::remove_file(&entry));
}

/// A store and a vault that live as long as the process.
struct Disk {
    runtime: Runtime,
    store: SqliteStore,
    vault: FileVault,
    database: PathBuf,
    objects: PathBuf,
    entries: PathBuf,
    turn: Mutex<()>,
    _folder: tempfile::TempDir,
}

static DISK: LazyLock<Option<Disk>> = LazyLock::new(|| Disk::new().ok());

impl Disk {
    fn new() -> Result<Self, Failure> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let folder = tempfile::tempdir()?;
        let database = folder.path().join("store.sqlite");
        let settings =
            StoreSettings::new(cipher(), Arc::new(SeededEntropy::new(7))).with_reserve(0);
        let (store, vault) = {
            let _inside = runtime.enter();
            (
                SqliteStore::open(&database, settings)?,
                FileVault::open(folder.path())?,
            )
        };
        // Two hours ago: what stands here has expired.
        let hour = NOW.as_millis() / 3_600_000 - 2;
        let entries = folder.path().join("expiry").join(hour.to_string());
        let objects = folder.path().join("objects");
        fs::create_dir_all(&entries)?;
        fs::create_dir_all(objects.join(TENANT))?;
        Ok(Self {
            runtime,
            store,
            vault,
            database,
            objects,
            entries,
            turn: Mutex::default(),
            _folder: folder,
        })
    }
}
