//! Vault objects in files, shared by the processes of one machine.
//!
//! ```text
//! objects/TENANT/ID                  head (magic, expiry, number), then the sealed octets
//! expiry/HOUR/MILLIS.TENANT.ID.N     empty: what expires when, found without looking at objects
//! incoming/TENANT.ID.N               being written; becomes the object by a link, whole or not at all
//! ```

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use securemail_core::StoreError;
use securemail_core::backend::Vault;
use securemail_core::vocab::{SealedContent, TenantId, UnixTime, VaultId, VaultKey};

use crate::db::OpenError;
use crate::files::{FileContent, Fresh, blocking, make_dir, of_io, remove, sweep, sync_dir};

const MAGIC: &[u8; 8] = b"smvault1";
const HEAD: usize = 24;
/// What expires within an hour stands in one folder: at most 2,160 folders for 90 days.
const HOUR_MILLIS: u64 = 3_600_000;

/// A vault whose objects are files below one folder.
#[derive(Clone, Debug)]
pub struct FileVault {
    dir: PathBuf,
}

impl FileVault {
    /// Opens the vault in `dir`, making it where it is missing, and removes what a process that ended
    /// left half written.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        for part in ["objects", "expiry", "incoming"] {
            make_dir(&dir.join(part))?;
        }
        sweep(&dir.join("incoming"), |_| false)?;
        let dir = dir.to_path_buf();
        Ok(Self { dir })
    }

    fn object(&self, key: &VaultKey) -> PathBuf {
        let owner = self.dir.join("objects").join(key.tenant.as_str());
        owner.join(key.id.to_string())
    }

    fn incoming(&self, key: &VaultKey, number: u64) -> PathBuf {
        let name = format!("{}.{}.{number}", key.tenant, key.id);
        self.dir.join("incoming").join(name)
    }

    fn hour(&self, hour: u64) -> PathBuf {
        self.dir.join("expiry").join(hour.to_string())
    }

    fn entry(&self, key: &VaultKey, head: Head) -> PathBuf {
        let millis = head.expires.as_millis();
        let name = format!("{millis}.{}.{}.{}", key.tenant, key.id, head.number);
        self.hour(millis / HOUR_MILLIS).join(name)
    }

    /// Gives the written octets their name: first the entry by which they expire, then the object.
    fn publish(&self, key: &VaultKey, head: Head, fresh: &Fresh) -> io::Result<()> {
        let entry = self.entry(key, head);
        if let Some(hour) = entry.parent() {
            create_entry(hour, &entry)?;
            sync_dir(hour)?;
        }
        let object = self.object(key);
        let owner = object.parent().unwrap_or(&self.dir);
        let linked = make_dir(owner).and_then(|()| fs::hard_link(&fresh.path, &object));
        // Where another attempt won under the same number and expiry, the entry is its.
        if linked.is_err() && !self.stands(key, head)? {
            remove(&entry)?;
        }
        linked?;
        sync_dir(owner)
    }

    fn erase_now(&self, key: &VaultKey) -> io::Result<()> {
        let object = self.object(key);
        let head = match File::open(&object) {
            Ok(file) => Head::read(&file).ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // A writer that was killed may have left the other name of the same octets.
        if let Some(head) = head {
            remove(&self.incoming(key, head.number))?;
        }
        remove(&object)?;
        match object.parent() {
            // Also where nothing was there: an earlier call may have ended before this.
            Some(owner) if owner.is_dir() => sync_dir(owner)?,
            _ => {}
        }
        head.map_or(Ok(()), |head| remove(&self.entry(key, head)))
    }

    fn expired_now(&self, now: UnixTime, limit: usize) -> io::Result<Vec<VaultKey>> {
        let mut hours: Vec<u64> = names(&self.dir.join("expiry"))?
            .iter()
            .filter_map(|name| name.parse().ok())
            .filter(|hour| *hour <= now.as_millis() / HOUR_MILLIS)
            .collect();
        hours.sort_unstable();
        let mut found = Vec::new();
        for hour in hours {
            self.expired_in(hour, now, limit, &mut found)?;
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    fn expired_in(
        &self,
        hour: u64,
        now: UnixTime,
        limit: usize,
        found: &mut Vec<VaultKey>,
    ) -> io::Result<()> {
        let dir = self.hour(hour);
        let names = names(&dir)?;
        if names.is_empty() && hour < now.as_millis() / HOUR_MILLIS {
            // It stays where somebody just put an entry into it.
            drop(fs::remove_dir(&dir));
            return Ok(());
        }
        let mut entries: Vec<_> = names
            .iter()
            .filter_map(|name| Head::of_entry(name))
            .filter(|(head, _)| head.expires <= now)
            .collect();
        entries.sort();
        for (head, key) in entries {
            if found.len() >= limit {
                break;
            }
            // In this order: when its writer has ended, the object stands or never will.
            let ended = !self.incoming(&key, head.number).exists();
            if self.stands(&key, head)? {
                found.push(key);
            } else if ended {
                remove(&self.entry(&key, head))?;
            }
        }
        Ok(())
    }

    /// Whether the object to which an entry belongs is there.
    fn stands(&self, key: &VaultKey, entry: Head) -> io::Result<bool> {
        match File::open(self.object(key)) {
            Ok(file) => Ok(Head::read(&file).is_ok_and(|head| head == entry)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// An object that is being written. The name under which that happens goes, however it ends.
struct Incoming(Fresh);

impl Drop for Incoming {
    fn drop(&mut self) {
        // What cannot be removed now is swept at the next start.
        drop(remove(&self.0.path));
    }
}

/// What stands before the octets of an object.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Head {
    expires: UnixTime,
    /// Which of several attempts to store this key it was.
    number: u64,
}

impl Head {
    fn write(self) -> Vec<u8> {
        let mut octets = MAGIC.to_vec();
        octets.extend_from_slice(&self.expires.as_millis().to_be_bytes());
        octets.extend_from_slice(&self.number.to_be_bytes());
        octets
    }

    fn read(file: &File) -> Result<Self, StoreError> {
        let damaged = StoreError::Corrupt("the head of a vault object");
        let mut octets = [0; HEAD];
        match file.read_exact_at(&mut octets, 0) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(damaged),
            Err(error) => return Err(of_io(error)),
            Ok(()) => {}
        }
        let Some((MAGIC, rest)) = octets.split_first_chunk() else {
            return Err(damaged);
        };
        let (expires, number) = rest.split_at(8);
        let whole = |part: &[u8]| part.try_into().map(u64::from_be_bytes);
        let (Ok(expires), Ok(number)) = (whole(expires), whole(number)) else {
            return Err(damaged);
        };
        let expires = UnixTime::from_millis(expires);
        Ok(Self { expires, number })
    }

    /// `MILLIS.TENANT.ID.N`
    fn of_entry(name: &str) -> Option<(Self, VaultKey)> {
        let mut parts = name.split('.');
        let expires = UnixTime::from_millis(parts.next()?.parse().ok()?);
        let tenant: TenantId = parts.next()?.parse().ok()?;
        let id: VaultId = parts.next()?.parse().ok()?;
        let number = parts.next()?.parse().ok()?;
        let head = Self { expires, number };
        parts
            .next()
            .is_none()
            .then_some((head, VaultKey { tenant, id }))
    }
}

/// The names in a folder; none where it is not there.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// Makes an entry; its folder may be removed as empty by another process at the same moment.
fn create_entry(hour: &Path, entry: &Path) -> io::Result<()> {
    make_dir(hour)?;
    match File::create(entry) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_dir(hour)?;
            File::create(entry).map(drop)
        }
        made => made.map(drop),
    }
}

#[async_trait]
impl Vault for FileVault {
    async fn store(
        &self,
        key: &VaultKey,
        expires: UnixTime,
        body: &SealedContent,
    ) -> Result<(), StoreError> {
        let (this, wanted) = (self.clone(), key.clone());
        let fresh = blocking(move || {
            if this.object(&wanted).exists() {
                return Err(StoreError::AlreadyExists);
            }
            let stem = format!("{}.{}", wanted.tenant, wanted.id);
            let fresh = Fresh::create(&this.dir.join("incoming"), &stem);
            fresh.map(Incoming).map_err(of_io)
        });
        let incoming = fresh.await??;
        let number = incoming.0.number;
        let head = Head { expires, number };
        incoming.0.fill(head.write(), body).await?;
        let (this, key) = (self.clone(), key.clone());
        blocking(move || {
            let published = this.publish(&key, head, &incoming.0);
            published.map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => StoreError::AlreadyExists,
                _ => of_io(error),
            })
        })
        .await?
    }

    async fn open(&self, key: &VaultKey) -> Result<SealedContent, StoreError> {
        let object = self.object(key);
        blocking(move || {
            let file = File::open(object).map_err(|error| match error.kind() {
                ErrorKind::NotFound => StoreError::NotFound,
                _ => of_io(error),
            })?;
            Head::read(&file)?;
            let size = file.metadata().map_err(of_io)?.len();
            let size = size.saturating_sub(HEAD as u64);
            Ok(FileContent::sealed(file, HEAD as u64, size))
        })
        .await?
    }

    async fn erase(&self, key: &VaultKey) -> Result<(), StoreError> {
        let (this, key) = (self.clone(), key.clone());
        blocking(move || this.erase_now(&key)).await?.map_err(of_io)
    }

    async fn expired(&self, now: UnixTime, limit: usize) -> Result<Vec<VaultKey>, StoreError> {
        let this = self.clone();
        let found = blocking(move || this.expired_now(now, limit)).await?;
        found.map_err(of_io)
    }
}
