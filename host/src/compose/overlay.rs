//! The `x-swap` sections that compose 1.29 drops: those of the second and later files, and that of the top.
//!
//! They are read from the files, merged as v2 does it, and sent through `config` once more as a project of their
//! own, so that variables are replaced by compose itself.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::place::ProjectPlace;
use super::read::yaml;
use super::settings::KEY;
use crate::model::Failure;

/// A service name that no service has beside those that are prefixed.
const TOP: &str = "top";
const PREFIX: &str = "service.";

/// Returns the project to send through `config`, or `None` if 1.29 prints all there is.
///
/// # Errors
/// A file is not YAML; it names the file. Files that can't be read are compose's to report.
pub(super) fn project(place: &ProjectPlace, here: &Path) -> Result<Option<String>, Failure> {
    let mut top = Value::Null;
    let mut services: Map<String, Value> = Map::new();
    let mut dropped = false;
    for (index, file) in place.files.iter().enumerate() {
        let Ok(text) = std::fs::read_to_string(here.join(file)) else { continue };
        if !text.contains(KEY) {
            continue;
        }
        let content =
            yaml(&text).map_err(|error| Failure::new(format!("reading {KEY} in `{}`: {error}", file.display())))?;
        if let Some(settings) = content.get(KEY) {
            top = merged(&top, settings);
            dropped = true;
        }
        for (name, service) in content.get("services").and_then(Value::as_object).into_iter().flatten() {
            if let Some(settings) = service.get(KEY) {
                dropped |= index > 0;
                let before = services.remove(name).unwrap_or_default();
                services.insert(name.clone(), merged(&before, settings));
            }
        }
    }
    if !dropped {
        return Ok(None);
    }
    let service = |settings: Value| json!({ "image": "none", KEY: settings });
    let mut all: Map<String, Value> =
        services.into_iter().map(|(name, settings)| (format!("{PREFIX}{name}"), service(settings))).collect();
    all.insert(TOP.to_owned(), service(top));
    Ok(Some(json!({ "services": all }).to_string()))
}

/// Puts the sections of the printed project where v2 would print them.
pub(super) fn lay_over(config: &mut Value, printed: &Value) {
    let sections = printed.get("services").and_then(Value::as_object);
    for (name, service) in sections.into_iter().flatten() {
        let settings = service.get(KEY).cloned().unwrap_or_default();
        match name.strip_prefix(PREFIX) {
            Some(name) => {
                if let Some(service) = config.pointer_mut("/services").and_then(|all| all.get_mut(name))
                    && let Some(service) = service.as_object_mut()
                {
                    service.insert(KEY.to_owned(), settings);
                }
            }
            None => {
                if let Some(config) = config.as_object_mut() {
                    config.insert(KEY.to_owned(), settings);
                }
            }
        }
    }
}

/// Merges as v2 merges files: maps key by key, lists are joined, all else is replaced.
fn merged(before: &Value, after: &Value) -> Value {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut all = before.clone();
            for (key, value) in after {
                let value = before.get(key).map_or_else(|| value.clone(), |before| merged(before, value));
                all.insert(key.clone(), value);
            }
            Value::Object(all)
        }
        (Value::Array(before), Value::Array(after)) => Value::Array(before.iter().chain(after).cloned().collect()),
        (_, after) => after.clone(),
    }
}
