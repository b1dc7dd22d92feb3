//! Example runs, made up in the form of a journal, and what is told of them, compared whole. `SWAP_REWRITE=1` writes what is
//! told now.

use std::fs;
use std::path::{Path, PathBuf};

use swap::journal::parse;
use swap::plan::Plan;
use swap::run::trace::Traced;
use swap::run::{Entry, Event};
use swap::ui::{RunRecord, page, story};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/told").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("reading `{name}`: {error}"))
}

/// Renders an example run, with the clock of Greenwich.
fn told(run: &str, render: fn(&RunRecord) -> String) -> String {
    let entries: Vec<Entry> = parse(&read(&format!("{run}.jsonl"))).expect("a journal");
    let trace: Vec<Traced> = read(&format!("{run}.trace"))
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of a trace"))
        .collect();
    let plan: Plan = match &entries[0].event {
        Event::Planned { plan } => plan.clone(),
        other => panic!("{other:?} begins the journal"),
    };
    let clock = |at_ms: i64| {
        let at = jiff::Timestamp::from_millisecond(at_ms).expect("a time");
        at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    };
    render(&RunRecord { plan: &plan, entries: &entries, trace: &trace, clock: &clock })
}

#[track_caller]
fn check(run: &str, ending: &str, render: fn(&RunRecord) -> String) {
    let expected = format!("{run}.{ending}");
    let actual = told(run, render);
    if std::env::var_os("SWAP_REWRITE").is_some() {
        fs::write(file(&expected), &actual).expect("writing what is told");
    }
    let recorded = read(&expected);
    let differs = actual.lines().zip(recorded.lines()).find(|(now, then)| now != then);
    assert!(
        actual == recorded,
        "`{expected}` is told otherwise now; the first line that differs: {differs:?}\n\
         hint: if that is better, SWAP_REWRITE=1 cargo test -p swap --test told"
    );
}

#[test]
fn a_swap_is_told_as_a_story() {
    check("swapped", "txt", story);
}

#[test]
fn a_killed_and_unwound_run_is_told_as_a_story() {
    check("hostile", "txt", story);
}

#[test]
fn a_swap_of_two_services_is_told_as_a_story() {
    check("together", "txt", story);
}

#[test]
fn a_swap_of_two_services_has_a_report() {
    check("together", "html", page);
}

#[test]
fn a_swap_has_a_report() {
    check("swapped", "html", page);
}

#[test]
fn a_killed_and_unwound_run_has_a_report() {
    check("hostile", "html", page);
}

#[test]
fn a_run_that_is_not_over_and_has_no_trace_has_a_story_and_a_report() {
    let text = read("swapped.jsonl");
    let lines: Vec<&str> = text.lines().collect();
    // At every line: the reader must not be surprised by a run that is under way or was killed.
    for end in 1..=lines.len() {
        let entries = parse(&format!("{}\n", lines[..end].join("\n"))).expect("a journal");
        let Event::Planned { plan } = &entries[0].event else { panic!("no plan") };
        let told = RunRecord { plan, entries: &entries, trace: &[], clock: &|at_ms| at_ms.to_string() };
        let over = end == lines.len();
        assert_eq!(story(&told).contains("it is not over: `swap resume app` finishes"), !over, "line {end}");
        assert_eq!(page(&told).contains("unfinished</p>"), !over, "line {end}");
    }
}

#[test]
fn nothing_from_outside_becomes_a_tag() {
    let page = told("hostile", page);
    let ours = [
        "!DOCTYPE",
        "html",
        "head",
        "meta",
        "link",
        "title",
        "style",
        "body",
        "header",
        "main",
        "section",
        "footer",
        "p",
        "span",
        "h1",
        "h2",
        "h3",
        "strong",
        "code",
        "pre",
        "dl",
        "div",
        "dt",
        "dd",
        "b",
        "figure",
        "figcaption",
        "svg",
        "desc",
        "rect",
        "line",
        "text",
        "path",
        "ul",
        "li",
        "a",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "i",
        "details",
        "summary",
    ];
    for tag in page.split('<').skip(1) {
        let name =
            tag.trim_start_matches('/').split(|c: char| !c.is_alphanumeric() && c != '!').next().unwrap_or_default();
        assert!(ours.contains(&name), "`<{tag}` became a tag");
        let inside = tag.split('>').next().unwrap_or_default();
        assert!(!inside.contains(" on") && !inside.contains("src="), "`<{inside}>` does something");
    }
    // What the reader sees is what was said.
    for said in ["&lt;script&gt;alert(3)&lt;/script&gt;", "&amp;lt;already escaped&amp;gt;", "onerror=alert(2)&gt;"] {
        assert!(page.contains(said), "`{said}` is lost");
    }
    // The style sheet fetches nothing, and the page says that nothing may be fetched.
    assert!(!page.contains("url(") && !page.contains("@import"));
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\""));
}
