//! Registry files, as `reg export` writes them and a double click takes them over.

use super::policy::Policy;
use anyhow::bail;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

/// First line of a registry file.
const HEADING: &str = "Windows Registry Editor Version 5.00";

/// The data of a registry value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Data {
    /// `REG_DWORD`.
    Number(u32),
    /// `REG_SZ`.
    Text(String),
}

impl Data {
    /// Whether Windows takes both for the same: addresses in any case, with a slash at their end or without.
    pub fn is_same_setting(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one == other,
            (Self::Text(one), Self::Text(other)) => one
                .trim_end_matches('/')
                .eq_ignore_ascii_case(other.trim_end_matches('/')),
            (Self::Number(_), Self::Text(_)) | (Self::Text(_), Self::Number(_)) => false,
        }
    }

    /// The type of the value, as the registry names it.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Number(_) => "REG_DWORD",
            Self::Text(_) => "REG_SZ",
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Values by key and name, both without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<(String, String), Data>);

impl Values {
    /// A value.
    pub fn get(&self, key: &str, name: &str) -> Option<&Data> {
        self.0.get(&(canonical(key), name.to_lowercase()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A key in one spelling: the short name of the hive, lower case.
fn canonical(key: &str) -> String {
    key.to_lowercase().replacen("hkey_local_machine", "hklm", 1)
}

/// The text of a registry file: UTF-16 with a mark at its beginning, or UTF-8.
///
/// # Errors
/// When it is neither.
pub fn decode(bytes: &[u8]) -> anyhow::Result<String> {
    let Some(units) = bytes.strip_prefix(&[0xff, 0xfe]) else {
        let text = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
        return match std::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => bail!("it is not a registry file: neither UTF-16 nor UTF-8"),
        };
    };
    let units = units.chunks(2).map(|pair| match *pair {
        [low, high] => u16::from_le_bytes([low, high]),
        // Half a character.
        _ => 0xfffd,
    });
    Ok(char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect())
}

/// The numbers and texts of a registry file. Values of other types, and lines that are none, are passed over.
pub fn read(text: &str) -> Values {
    let mut values = BTreeMap::new();
    let mut key = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            key = canonical(name.trim_end_matches(']'));
        } else if let Some((name, data)) = value(line) {
            values.insert((key.clone(), name.to_lowercase()), data);
        }
    }
    Values(values)
}

fn value(line: &str) -> Option<(String, Data)> {
    let (name, rest) = quoted(line)?;
    let rest = rest.strip_prefix('=')?;
    if let Some(hex) = rest.strip_prefix("dword:") {
        return Some((name, Data::Number(u32::from_str_radix(hex, 16).ok()?)));
    }
    let (text, _) = quoted(rest)?;
    Some((name, Data::Text(text)))
}

/// A text in quotes, and what follows it.
fn quoted(line: &str) -> Option<(String, &str)> {
    let inner = line.strip_prefix('"')?;
    let mut text = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, inner.get(at + 1..)?)),
            '\\' => text.push(characters.next()?.1),
            _ => text.push(character),
        }
    }
    None
}

/// A registry file that sets these values.
pub fn file(policies: &[Policy]) -> String {
    let mut text = format!("{HEADING}\r\n");
    let keys: BTreeSet<&str> = policies.iter().map(|policy| policy.key).collect();
    for key in keys {
        let long = key.replacen("HKLM", "HKEY_LOCAL_MACHINE", 1);
        // Writing to a text does not fail.
        let _ = write!(text, "\r\n[{long}]\r\n");
        for policy in policies.iter().filter(|policy| policy.key == key) {
            let _ = match &policy.value {
                Data::Number(number) => write!(text, "\"{}\"=dword:{number:08x}\r\n", policy.name),
                Data::Text(data) => {
                    let data = data.replace('\\', r"\\").replace('"', "\\\"");
                    write!(text, "\"{}\"=\"{data}\"\r\n", policy.name)
                }
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_read_in_either_encoding() {
        let text =
            format!("{HEADING}\r\n\r\n[HKEY_LOCAL_MACHINE\\A\\B]\r\n\"N\"=dword:0000000a\r\n");
        let mut utf16 = vec![0xff, 0xfe];
        utf16.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        for bytes in [text.clone().into_bytes(), utf16] {
            let values = read(&decode(&bytes).unwrap());
            assert_eq!(values.get(r"hklm\a\b", "n"), Some(&Data::Number(10)));
        }
        assert!(decode(&[0x80]).is_err());
    }

    #[test]
    fn what_is_no_value_is_passed_over() {
        let text = "[HKLM\\A]\n\"open=1\n\"h\"=hex:01,\\\n  02\n@=\"x\"\n\"q\"=\"a\\\"b\\\\\"\n\"d\"=dword:zz\n";
        let values = read(text);
        assert_eq!(values.0.len(), 1);
        assert_eq!(
            values.get(r"HKLM\A", "q"),
            Some(&Data::Text("a\"b\\".into()))
        );
    }
}
