//! The relay's file of settings.

use toml::{Table, Value};

/// Settings are read, or the error names the line or a key.
pub(crate) fn settings(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let Err(error) = securemail_relay::read_settings(&text) else {
        return;
    };
    let said = error.to_string();
    let Ok(table) = text.parse::<Table>() else {
        assert!(said.contains("line "), "{said}");
        return;
    };
    let names_key = said.contains("missing field `") || names_any(&said, &table);
    assert!(names_key, "no key is named: {said}");
}

fn names_any(said: &str, table: &Table) -> bool {
    table
        .iter()
        .any(|(key, value)| said.contains(key.as_str()) || names_within(said, value))
}

fn names_within(said: &str, value: &Value) -> bool {
    match value {
        Value::Table(table) => names_any(said, table),
        Value::Array(values) => values.iter().any(|value| names_within(said, value)),
        Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::String(_) => false,
    }
}
