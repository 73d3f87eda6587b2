//! The master key: read from its file, never beside the data, and always the same one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use securemail_core::backend::{Entropy, MasterKey};
use securemail_core::seal::{LocalMasterKey, RecordCipher};

use crate::assemble::{Trouble, at};
use crate::settings::{Settings, SettingsError};

/// The master key, which never lies where data lies (design: three places for keys).
///
/// # Errors
/// Where the file cannot be read, is no key, or lies inside `data_dir` or the vault.
pub fn master_key(
    settings: &Settings,
    entropy: Arc<dyn Entropy>,
) -> Result<Arc<dyn MasterKey>, Trouble> {
    let file = &settings.keys.master_key_file;
    let real = fs::canonicalize(file).map_err(|error| {
        SettingsError::Invalid(format!(
            "keys.master_key_file = {}: {error}; make one, outside data_dir, with: \
             head -c 32 /dev/urandom | base64 > FILE && chmod 600 FILE",
            file.display()
        ))
    })?;
    let mut places = vec![("relay.data_dir", settings.relay.data_dir.clone())];
    let vault = settings
        .vault
        .url
        .as_deref()
        .and_then(|url| url.strip_prefix("file:"));
    places.extend(vault.map(|vault| ("vault.url", PathBuf::from(vault))));
    for (key, place) in places {
        if fs::canonicalize(&place).is_ok_and(|place| real.starts_with(place)) {
            return Err(SettingsError::Invalid(format!(
                "keys.master_key_file lies inside {key}: whoever takes the data has the key too; \
                 move it elsewhere"
            ))
            .into());
        }
    }
    let octets = fs::read(file).map_err(|error| at(file, error))?;
    let key = LocalMasterKey::from_file_octets(&octets, entropy).map_err(|error| {
        let text = format!("keys.master_key_file = {}: {error}", file.display());
        SettingsError::Invalid(text)
    })?;
    Ok(Arc::new(key))
}

/// Whether this is the key that `data_dir` was begun with. What is sealed under one key is lost under
/// another: better not to start than to hold everything and say nothing.
///
/// # Errors
/// Where it is another key, or the file with its fingerprint cannot be read or written.
pub async fn must_be_the_same(master: &dyn MasterKey, data_dir: &Path) -> Result<(), Trouble> {
    // A keyed hash of nothing: it tells keys apart, and nothing about them.
    let cipher = RecordCipher::new(master.derive("relay/fingerprint").await?);
    let fingerprint = cipher.hash("master-key", b"").as_bytes().to_vec();
    let file = data_dir.join("master-key.fingerprint");
    match fs::read(&file) {
        Ok(known) if known == fingerprint => Ok(()),
        Ok(_) => {
            let text = format!(
                "keys.master_key_file holds another master key than the one that {} was begun with; \
                 give back that one (nothing sealed under it can be opened without it)",
                data_dir.display()
            );
            Err(SettingsError::Invalid(text).into())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Renamed into place: a start that was cut off leaves no half of it.
            let new = file.with_extension("new");
            let written = fs::write(&new, fingerprint).and_then(|()| fs::rename(&new, &file));
            Ok(written.map_err(|error| at(&file, error))?)
        }
        Err(error) => Err(at(&file, error).into()),
    }
}
