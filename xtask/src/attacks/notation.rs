//! The part of TOML that removals are written in: tables of one list, texts, lists of texts. It is read here, because
//! this tool must build in seconds.

use std::collections::BTreeMap;

use crate::failure::Failure;

/// One table: keys and values.
#[derive(Debug, Default)]
pub(super) struct Entry(BTreeMap<String, Value>);

#[derive(Debug)]
enum Value {
    List(Vec<String>),
    Text(String),
}

/// Reads `[[removal]]` tables, in their order.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, Failure> {
    let mut found: Vec<Entry> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        if line.starts_with('#') {
            rest = behind.trim_start();
        } else if line.trim_end() == "[[removal]]" {
            found.push(Entry::default());
            rest = behind.trim_start();
        } else {
            let pair = rest.split_once('=').zip(found.last_mut());
            let ((key, value), entry) = pair.ok_or_else(|| wrong(line))?;
            let (value, behind) = value_at(value.trim_start()).ok_or_else(|| wrong(line))?;
            let known = entry.0.insert(key.trim().to_owned(), value);
            if known.is_some() {
                return Err(wrong(line));
            }
            rest = behind.trim_start();
        }
    }
    Ok(found)
}

fn wrong(line: &str) -> Failure {
    Failure::new(format!("`{line}` is no [[removal]] and no key = value"))
}

fn value_at(text: &str) -> Option<(Value, &str)> {
    if let Some(list) = text.strip_prefix('[') {
        return list_at(list);
    }
    text_at(text).map(|(value, rest)| (Value::Text(value), rest))
}

fn list_at(text: &str) -> Option<(Value, &str)> {
    let (mut values, mut rest) = (Vec::new(), text.trim_start());
    loop {
        if let Some(rest) = rest.strip_prefix(']') {
            return Some((Value::List(values), rest));
        }
        let (value, behind) = text_at(rest)?;
        values.push(value);
        let behind = behind.trim_start();
        rest = behind.strip_prefix(',').unwrap_or(behind).trim_start();
    }
}

fn text_at(text: &str) -> Option<(String, &str)> {
    if let Some(whole) = text.strip_prefix("'''") {
        // A line end directly behind the quotes is none of the text.
        let whole = whole.strip_prefix('\n').unwrap_or(whole);
        return whole
            .split_once("'''")
            .map(|(value, rest)| (value.to_owned(), rest));
    }
    if let Some(line) = text.strip_prefix('\'') {
        return line
            .split_once('\'')
            .map(|(value, rest)| (value.to_owned(), rest));
    }
    escaped_at(text.strip_prefix('"')?)
}

fn escaped_at(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                same @ ('"' | '\\') => same,
                _ => return None,
            }),
            letter => value.push(letter),
        }
    }
    None
}

impl Entry {
    /// A text that must be there.
    pub(super) fn take(&mut self, key: &str) -> Result<String, Failure> {
        match self.0.remove(key) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(Failure::new(format!("a removal lacks the text `{key}`"))),
        }
    }

    /// A list that must be there.
    pub(super) fn take_list(&mut self, key: &str) -> Result<Vec<String>, Failure> {
        match self.0.remove(key) {
            Some(Value::List(list)) => Ok(list),
            _ => Err(Failure::new(format!("a removal lacks the list `{key}`"))),
        }
    }

    /// The end of the table: no key may be left over.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.0.into_keys().next() {
            Some(key) => Err(Failure::new(format!("a removal has no `{key}`"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::entries;

    #[test]
    fn texts_are_read_as_toml_has_them() {
        let text = "# x\n[[removal]]\na = \"q\\\"\\\\\\n\"\nb = 'l\\n'\nc = '''\n  x\n'''\nd = [\"1\", '2']\n";
        let mut entry = entries(text).unwrap().remove(0);
        assert_eq!(entry.take("a").unwrap(), "q\"\\\n");
        assert_eq!(entry.take("b").unwrap(), "l\\n");
        assert_eq!(entry.take("c").unwrap(), "  x\n");
        assert_eq!(entry.take_list("d").unwrap(), ["1", "2"]);
        assert!(entry.take("a").is_err(), "it is there once");
        assert!(entry.end().is_ok());
    }

    #[test]
    fn what_is_something_else_is_refused() {
        for text in [
            "a = 'x'",
            "[[removal]]\na = x",
            "[[removal]]\na = 'x",
            "[[removal]]\na = 'x'\na = 'y'",
            "[[removal]]\na = \"\\q\"",
            "[[other]]",
        ] {
            assert!(entries(text).is_err(), "{text}");
        }
    }
}
