//! Reads the file, lays the environment over it, and says plainly what is wrong.

use std::path::{Path, PathBuf};

use super::Settings;
use super::nearest::nearest;

/// Settings cannot be used; the text says what to change.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read {path}: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {message}")]
    Parse { path: PathBuf, message: String },
    #[error("{name}: {message}")]
    Override { name: String, message: String },
    #[error("{0}")]
    Invalid(String),
}

/// Variables that override settings begin with this: `SECUREMAIL__ROUTE__PROFILE=strict`.
const PREFIX: &str = "SECUREMAIL__";

/// Reads `path` and applies the overrides found in `environment`.
///
/// # Errors
/// Where a file cannot be read, a key is unknown, or a value does not fit.
pub fn load(
    path: &Path,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Settings, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
        path: path.to_owned(),
        source,
    })?;
    read(&text, path, environment)
}

/// Reads settings from a text; `path` is where it stands, for errors.
///
/// # Errors
/// As [`load`].
pub fn read(
    text: &str,
    path: &Path,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Settings, SettingsError> {
    // Read once as it stands, so that a wrong key is reported with its line.
    let mut table: toml::Table = text.parse().map_err(|error| parse_error(path, &error))?;
    let overrides: Vec<_> = environment
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    if overrides.is_empty() {
        return toml::from_str(text).map_err(|error| parse_error(path, &error));
    }
    for (name, value) in overrides {
        lay_over(&mut table, &name, &value)?;
    }
    table.try_into().map_err(|error| parse_error(path, &error))
}

/// Sets `section.key` from `SECUREMAIL__SECTION__KEY`. A value that is no TOML is taken as a text.
fn lay_over(table: &mut toml::Table, name: &str, value: &str) -> Result<(), SettingsError> {
    let wrong = |message: &str| SettingsError::Override {
        name: name.to_owned(),
        message: message.to_owned(),
    };
    let (section, key) = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once("__"))
        .ok_or_else(|| wrong("write SECUREMAIL__SECTION__KEY"))?;
    let value = format!("v = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let section = table
        .entry(section.to_ascii_lowercase())
        .or_insert_with(|| toml::Value::Table(toml::Table::new()))
        .as_table_mut()
        .ok_or_else(|| wrong("this section is a list; change it in the file"))?;
    drop(section.insert(key.to_ascii_lowercase(), value));
    Ok(())
}

/// Adds the nearest known name to "unknown field".
fn parse_error(path: &Path, error: &toml::de::Error) -> SettingsError {
    let mut message = error.to_string().trim_end().to_owned();
    let plain = error.message();
    if plain.starts_with("unknown field") {
        let mut quoted = plain.split('`').skip(1).step_by(2);
        let unknown = quoted.next().unwrap_or("");
        if let Some(meant) = nearest(unknown, quoted) {
            message.push_str(&format!("\ndid you mean `{meant}`?"));
        }
    }
    SettingsError::Parse {
        path: path.to_owned(),
        message,
    }
}
