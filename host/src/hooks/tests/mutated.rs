//! Random changes of what comes from hooks and about hooks.

use std::sync::{Arc, Mutex};

use wasmtime_wasi::p2::OutputStream;

use super::component::plain;
use crate::hooks::Limits;
use crate::hooks::grants::Grant;
use crate::hooks::inspection::examine;
use crate::hooks::log::{Channel, Speaker};
use crate::hooks::scripted::Scenario;
use crate::model::Phase;
use crate::mutated::{bytes, harmless, harmless_line, texts};

#[test]
fn whatever_a_component_holds_is_examined() {
    let corpus = [plain(Phase::Health, "(i32.const 0)"), plain(Phase::Finish, "(unreachable)")];
    bytes(&corpus.each_ref().map(Vec::as_slice), |component| {
        if let Ok(inspection) = examine("x.wasm", component) {
            inspection.imports.iter().for_each(|name| harmless("a name", name));
            inspection.built_with.iter().for_each(|tool| harmless_line("a tool", tool));
            inspection.needs.iter().for_each(|grant| harmless("a grant", &grant.to_string()));
        }
    });
}

#[test]
fn whatever_a_hook_says_becomes_harmless_lines_without_its_secrets() {
    let corpus = ["warming up\n", "panicked at src/lib.rs:4:\nno\n", "token s3cret-value\n", "\u{1b}]0;owned\u{7}"];
    bytes(&corpus.map(str::as_bytes), |said| {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let log = Arc::new(move |line: crate::hooks::log::Line| kept.lock().unwrap().push(line.text));
        let speaker = Speaker::new("judge", Phase::Health, log, Limits::default(), Arc::default());
        speaker.hide("s3cret-value");
        let mut stream = speaker.stream(Channel::Stderr);
        // In two parts, as a hook may write.
        let (first, second) = said.split_at(said.len() / 2);
        for part in [first, second] {
            stream.write(bytes::Bytes::copy_from_slice(part)).unwrap();
        }
        stream.finish();
        let told = lines.lock().unwrap().clone();
        for line in told.iter().chain(&speaker.tail()).chain(&speaker.panic()) {
            harmless_line("a line", line);
            assert!(!line.contains("s3cret-value"), "{line}");
        }
        harmless_line("an answer", &speaker.clean(&String::from_utf8_lossy(said)));
    });
}

#[test]
fn whatever_is_granted_is_written_as_it_is_read() {
    let corpus =
        ["exec:live", "exec:db", "http:hooks.example.com:443", "http:[::1]:80", "inspect:service:live", "secret:TOKEN"];
    texts(&corpus, |text| {
        if let Ok(grant) = text.parse::<Grant>() {
            harmless("a grant", &grant.to_string());
            assert_eq!(grant.to_string().parse::<Grant>().ok(), Some(grant));
        }
    });
}

#[test]
fn whatever_a_scenario_says_is_read() {
    let corpus = [include_str!("../../../../hooks/http-health/scenarios/gets-ready.yaml")];
    texts(&corpus, |text| drop(Scenario::parse("x.yaml", text)));
}
