//! What people see of a run afterwards: status, history, story and report.

use std::fs;
use std::path::Path;

use expect_test::expect;
use scenarios::browser::{Opened, open};
use scenarios::stack::Stack;
use scenarios::swap::{Outcome, replaced};
use scenarios::transcript::SWAPPED;

use crate::common::{shows, tells_but};

#[test]
fn a_swap_is_seen_afterwards_and_its_report_opens_in_a_browser() {
    let stack = Stack::up();
    stack.edit(
        "docker-compose.yml",
        "health: ./healthcheck",
        "health: ./healthcheck\n      probe: { url: /, rate: 200 }",
    );
    stack.deploy("v2");
    let outcome = stack.swap(["app"]).expect_exit(0);
    tells_but(
        &outcome,
        SWAPPED,
        expect![[r#"
                retire      app: [project]-app-1 stopped and removed  [time]
            + front door: [n] requests, 0 failed, p99 [time] (before [time])
        "#]],
    );

    let status = stack.swap(["status", "app"]).expect_exit(0);
    shows(
        &status,
        expect![[r#"
        > SERVICE  LIVE  SINCE  IMAGE  LAST RUN  UPSTREAM
        > app  [project]-app-2  [when]  [project]-app [id]  swapped in [time]  /etc/nginx/swap/app.conf (run [run])
    "#]],
    );
    let history = stack.swap(["history", "app", "--limit", "1"]).expect_exit(0);
    shows(
        &history,
        expect![[r#"
        > RUN  SERVICES  OUTCOME  BEGAN  TOOK  FROM  TO  IMAGE
        > [run]  app  swapped  [when]  [time]  [project]-app-1  [project]-app-2  [id]
    "#]],
    );

    let logs = stack.swap(["logs"]).expect_exit(0);
    shows(
        &timeless(logs),
        expect![[r#"
            > run [run] of project [project]: swap app, swapped in [time]
            > began [when] UTC
            >   [at]  adopt       app: /etc/nginx/swap/app.conf names [project]-app-1, so that no reload finds what is not ready
            >   [at]    done in [time]: app: /etc/nginx/swap/app.conf names [project]-app-1 ([ip]:80)
            >   [at]  create      app: 1 candidate from [project]-app ([id]) beside [project]-app-1 (compose creates, so that compose owns)
            >   [at]    done in [time]: app: [project]-app-2 from [project]-app ([id])
            >   [at]  start       app: start what was created, in [project]_default
            >   [at]    done in [time]: app: [project]-app-2 runs
            >   [at]  healthy     app: until `./healthcheck` and nginx reaches port 80, and stays so for [time], at most 1m (nothing unhealthy gets requests)
            >   [at]    done in [time]: app: [project]-app-2 is healthy
            >   [at]  switch      app: /etc/nginx/swap/app.conf names the candidates instead of [project]-app-1, test, reload nginx, confirm
            >   [at]    done in [time]: app: nginx sends new requests to [project]-app-2 ([ip]:80)
            >   [at]  drain       app: until no nginx worker uses [project]-app-1, at most [time]
            >   [at]    done in [time]: app: nothing uses [project]-app-1 any more
            >   [at]  commit      from here the run only goes forward
            >   [at]  retire      app: stop and remove [project]-app-1, grace [time] (replaced by the candidates)
            >   [at]    done in [time]: app: [project]-app-1 stopped and removed
            >   [at]  rest        app: /etc/nginx/swap/app.conf names app, for the next start of nginx (no reload)
            >   [at]  swapped
            > front door: [n] requests, 0 failed, p99 [time] (before [time])
        "#]],
    );
    let events = stack.swap(["logs", "--output", "json"]).expect_exit(0);
    let event = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("an event")["event"].clone();
    let events: Vec<serde_json::Value> = events.raw.lines().map(event).collect();
    assert_eq!((&events[0], &events[events.len() - 1]), (&"planned".into(), &"closed".into()));
    let id = history.raw.lines().nth(1).and_then(|line| line.split(' ').next()).expect("a run");
    let report = stack.swap(["report", id]).expect_exit(0);
    assert!(report.raw.starts_with("<!DOCTYPE html>"), "{}", report.raw);
    let file = stack.path("report.html");
    fs::write(&file, &report.raw).expect("writing the report");
    shows(
        &stack.swap(["report", "19"]).expect_exit(2),
        expect![[r#"
        error: no run of this project is recorded as `19`
        hint: `swap history` lists those that are
    "#]],
    );
    shows(
        &stack.swap(["report", "--output", "json"]).expect_exit(2),
        expect![[r#"
        > {"event":"error","failure":{"hint":"`swap logs --output json` prints the events","what":"a report is a page for people"},"v":2}
    "#]],
    );
    opens(&file);
}

/// Takes the time out of each line of a story, and how often it waited for nginx.
fn timeless(story: Outcome) -> Outcome {
    let patterns = [(r"(?m)^ +\d+\.\d\d    waits: .*\n", ""), (r"(?m)^ +\d+\.\d\d  ", "  [at]  ")];
    Outcome { stdout: replaced(&story.stdout, &patterns), ..story }
}

/// Opens a report in a browser: no error in its console, and all of it is there.
#[track_caller]
fn opens(report: &Path) {
    let Opened { console, document } = open(report).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(console, [""; 0]);
    for part in ["<svg", "id=\"steps\"", "id=\"door\"", "id=\"plan\"", "class=\"p99\"", "class=\"live new\""] {
        assert!(document.contains(part), "the page has no {part}");
    }
}

#[test]
fn the_browser_tells_what_a_page_does_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html");
    let scripts = "<script>document.body.append('made ' + 'here'); console.log('a word'); nobody();</script>";
    fs::write(&page, format!("<body>{scripts}")).expect("writing a page");
    let Opened { console, document } = open(&page).unwrap_or_else(|error| panic!("{error:?}"));
    assert!(document.contains("made here"), "{document}");
    let at = "source: file:///pages/page.html (1)";
    assert_eq!(
        console,
        [format!("\"a word\", {at}"), format!("\"Uncaught ReferenceError: nobody is not defined\", {at}")]
    );
}
