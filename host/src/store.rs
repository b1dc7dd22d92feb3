//! What hooks remember: a small key-value store per service and hook that survives runs and crashes.
//!
//! One file per key, written beside and renamed. It is named by the key in hexadecimal; where that is too long for a name, by the
//! key's digest, and then the key stands before the value. Whatever a hook calls its keys, they stay inside the folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::os;

/// The longest key.
const LONGEST_KEY: usize = 256;
/// The longest key whose name in hexadecimal fits into a folder.
const LONGEST_NAMED: usize = 100;
/// How the name of a file begins that has a longer key.
const LONG: &str = "long-";

/// The store of one hook for one service.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Names the store of a hook below the folder of a service. Makes nothing.
    pub fn new(base: &Path, service: &str, hook: &str) -> Self {
        Self { folder: base.join("state").join(hex::encode(service)).join(hex::encode(hook)) }
    }

    /// Returns the value of a key; `None` if there is no such key.
    pub fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.file(key)?) {
            Ok(bytes) if key.len() > LONGEST_NAMED => Ok(split(&bytes).map(|(_, value)| value.to_owned())),
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the value of a key, or removes it, durably.
    pub fn set(&self, key: &str, value: Option<&[u8]>) -> io::Result<()> {
        let _lock = self.lock()?;
        self.write(key, value)
    }

    /// Sets the value of a key if it is still what the caller believes; returns whether it did.
    pub fn compare_and_set(&self, key: &str, expected: Option<&[u8]>, value: Option<&[u8]>) -> io::Result<bool> {
        let _lock = self.lock()?;
        if self.get(key)?.as_deref() != expected {
            return Ok(false);
        }
        self.write(key, value).map(|()| true)
    }

    /// Returns the keys that start with a prefix, sorted.
    pub fn keys(&self, prefix: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
        let mut keys: Vec<String> =
            names.filter_map(|name| self.key(&name)).filter(|key| key.starts_with(prefix)).collect();
        keys.sort();
        Ok(keys)
    }

    /// Returns the key that a file of this name has; `None`: it is no key's.
    fn key(&self, name: &str) -> Option<String> {
        match name.starts_with(LONG) {
            true => split(&fs::read(self.folder.join(name)).ok()?).map(|(key, _)| key.to_owned()),
            false => String::from_utf8(hex::decode(name).ok()?).ok(),
        }
    }

    fn file(&self, key: &str) -> io::Result<PathBuf> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            let why = format!("a key has 1 to {LONGEST_KEY} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let name = match key.len() > LONGEST_NAMED {
            true => format!("{LONG}{}", hex::encode(Sha256::digest(key))),
            false => hex::encode(key),
        };
        Ok(self.folder.join(name))
    }

    fn lock(&self) -> io::Result<File> {
        os::private_folder(&self.folder)?;
        let lock = os::private_file().create(true).truncate(false).write(true).open(self.folder.join(".lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    fn write(&self, key: &str, value: Option<&[u8]>) -> io::Result<()> {
        let file = self.file(key)?;
        match value {
            None => os::unless_missing(fs::remove_file(&file))?,
            Some(value) => {
                let length = (key.len() as u32).to_be_bytes();
                match key.len() > LONGEST_NAMED {
                    true => os::replace(&file, &[&length, key.as_bytes(), value].concat(), os::PRIVATE)?,
                    false => os::replace(&file, value, os::PRIVATE)?,
                }
            }
        }
        os::sync_folder(&self.folder)
    }
}

/// Splits what a file with a long key holds: how long the key is, the key, the value.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (key, value) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((std::str::from_utf8(key).ok()?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_remembers_compares_and_stays_inside_its_folder() {
        let base = tempfile::tempdir().unwrap();
        let store = Store::new(base.path(), "app", "../../migrate");
        assert_eq!(store.get("../../etc/passwd").unwrap(), None);
        store.set("../../etc/passwd", Some(b"x")).unwrap();
        store.set("done", Some(b"1")).unwrap();
        assert_eq!(store.keys("").unwrap(), ["../../etc/passwd", "done"]);
        assert!(!store.compare_and_set("done", Some(b"0"), Some(b"2")).unwrap());
        assert!(!store.compare_and_set("done", None, Some(b"2")).unwrap());
        assert!(store.compare_and_set("done", Some(b"1"), None).unwrap());
        assert_eq!(Store::new(base.path(), "app", "../../migrate").keys("").unwrap(), ["../../etc/passwd"]);
        assert_eq!(Store::new(base.path(), "app", "other").keys("").unwrap(), Vec::<String>::new());
        assert!(store.set("", Some(b"x")).is_err());
        assert!(store.set(&"k".repeat(257), Some(b"x")).is_err());
    }

    #[test]
    fn keys_of_all_lengths_are_kept_apart() {
        let base = tempfile::tempdir().unwrap();
        let store = Store::new(base.path(), "app", "migrate");
        let keys = [1, 99, 100, 101, 127, 128, 255, 256].map(|length| "/".repeat(length));
        for key in &keys {
            assert_eq!(store.get(key).unwrap(), None, "{}", key.len());
            store.set(key, Some(key.as_bytes())).unwrap();
        }
        assert_eq!(store.keys("").unwrap(), keys);
        assert_eq!(store.keys(&keys[4]).unwrap(), keys[4..]);
        for key in &keys {
            assert_eq!(store.get(key).unwrap().as_deref(), Some(key.as_bytes()));
            assert!(store.compare_and_set(key, Some(key.as_bytes()), None).unwrap(), "{}", key.len());
            assert_eq!(store.get(key).unwrap(), None);
        }
        assert_eq!(store.keys("").unwrap(), Vec::<String>::new());
    }
}
