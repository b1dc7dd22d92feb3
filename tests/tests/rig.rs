//! The rig itself: it must see every way in which a request can be lost, and invent none.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scenarios::clients::Kind;
use scenarios::eventually::eventually;
use scenarios::http::Cause;
use scenarios::load::{Load, Paths, Running};
use scenarios::report::{Posts, Report};
use scenarios::stack::Stack;

use crate::door::{self, Act};

#[test]
fn every_way_of_losing_a_request_has_its_name() {
    let raw = |text: &str| Act::Raw(text.replace('\n', "\r\n"));
    check(Act::Close, Cause::Closed);
    check(Act::Reset, Cause::Reset);
    check(raw("HTTP/1.1 502 Bad Gateway\nContent-Length: 0\n\n"), Cause::Status(502));
    check(raw("HTTP/1.1 204 No Content\n\n"), Cause::Status(204));
    check(raw("HTTP/1.1 200 OK\nContent-Len"), Cause::ShortBody);
    check(raw("HTTP/1.1 200 OK\nContent-Length: 10\n\nhalf"), Cause::ShortBody);
    check(raw("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nhalf\n"), Cause::ShortBody);
    check(raw("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nx\n"), Cause::Malformed);
    check(raw("HTTP/1.1 200 OK\n\nno length"), Cause::Malformed);
    check(raw("SSH-2.0-OpenSSH\n\n"), Cause::Malformed);
    check(Act::Hang, Cause::Timeout);

    fn check(act: Act, cause: Cause) {
        for kind in [Kind::Get, Kind::NewGet] {
            let acts = act.clone();
            let report = one_failure(door::open(move |_, _| acts.clone()), kind);
            assert_eq!(report.causes[0].cause, cause, "{kind:?} against {act:?}");
            assert_eq!(report.total.answered, 0, "{kind:?} against {act:?}");
        }
    }
}

#[test]
fn a_port_where_nobody_listens_is_a_failed_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binding a free port");
    let target = listener.local_addr().expect("reading the port");
    drop(listener);
    assert_eq!(one_failure(target, Kind::NewGet).causes[0].cause, Cause::Connect);
}

#[test]
fn chunked_bodies_and_announced_closes_are_good_answers() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    ] {
        let running = start(door::open(move |_, _| Act::Raw(answer.into())), Kind::Get, 2);
        eventually("ten answers", Duration::from_secs(10), || running.counts().0 >= 10);
        let report = running.stop().expect("stopping");
        assert_eq!((report.total.failed, report.failures), (0, vec![]), "{answer:?}");
    }
}

#[test]
fn a_connection_that_is_closed_between_requests_is_opened_again_without_a_failure() {
    let running = start(door::open(|_, _| Act::AnswerThenClose("hello".into())), Kind::Get, 4);
    eventually("fifty answers", Duration::from_secs(10), || running.counts().0 >= 50);
    let report = running.stop().expect("stopping");
    assert_eq!(report.failures, []);
    assert!(report.reopened >= 40, "{}", report.reopened);
}

#[test]
fn a_kept_connection_that_is_reset_under_a_request_is_a_failure() {
    let count = AtomicUsize::new(0);
    let door = door::open(move |_, _| match count.fetch_add(1, Ordering::Relaxed) {
        3 => Act::Reset,
        _ => Act::Answer("hello".into()),
    });
    let running = start(door, Kind::Get, 1);
    eventually("ten answers", Duration::from_secs(10), || running.counts().0 >= 10);
    let report = running.stop().expect("stopping");
    assert_eq!((report.total.failed, report.failed(Kind::Get)), (1, 1));
}

#[test]
fn a_download_that_changes_is_a_wrong_sum() {
    let count = AtomicUsize::new(0);
    let door = door::open(move |_, _| {
        Act::Answer(if count.fetch_add(1, Ordering::Relaxed) < 2 { "same" } else { "diff" }.into())
    });
    let report = one_failure(door, Kind::Download);
    assert_eq!((report.total.answered, &report.causes[0].cause), (2, &Cause::Checksum));
}

#[test]
fn posts_are_compared_with_what_the_application_recorded() {
    let mut load = load(door::recording(), Kind::Post, 4);
    load.mix.insert(Kind::NewPost, 4);
    load.paths = Paths::default();
    let running = load.start().expect("starting");
    eventually("fifty answers", Duration::from_secs(10), || running.counts().0 >= 50);
    let report = running.stop().expect("stopping");
    let posts = report.posts.clone().expect("the posts");
    assert_eq!(posts, Posts { sent: posts.sent, answered: posts.sent, ..Posts::default() });
    assert!(report.is_clean() && posts.sent >= 50);
}

#[test]
fn lost_and_doubled_posts_are_told_apart() {
    // 0 is fine, 1 lost, 2 doubled, 3 failed and recorded, 4 failed and not; the rest of the page is not ours.
    let page = "x-0\nx-2\nx-2\nx-3\nother-1\nx-99\nx-\n";
    let answered = [true, true, true, false, false];
    let expected = Posts { sent: 5, answered: 3, lost: 1, doubled: 1, unanswered: 1 };
    assert_eq!(Posts::compare(&answered, "x-", page), expected);
}

#[test]
fn silent_connections_ask_once() {
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let asked = std::sync::Arc::clone(&count);
    let door = door::open(move |_, _| {
        asked.fetch_add(1, Ordering::Relaxed);
        Act::AnswerThenClose("hello".into())
    });
    let running = start(door, Kind::Silent, 4);
    eventually("ten answers", Duration::from_secs(10), || running.counts().0 >= 10);
    let report = running.stop().expect("stopping");
    assert_eq!((report.total.failed, report.total.answered), (0, count.load(Ordering::Relaxed)));
}

#[test]
fn other_machines_are_not_put_under_load() {
    let error = Load::new("192.0.2.1:80".parse().expect("an address")).expect_err("refused");
    let expected = "`192.0.2.1:80` is not on this machine: the load goes to loopback addresses only";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_load_is_bounded() {
    let target = "127.0.0.1:1".parse().expect("an address");
    let error = Load::new(target).expect("loopback").mix([(Kind::Get, 1001)]).start().expect_err("refused");
    assert_eq!(error.to_string(), "1001 clients are too many: at most 1000");
    let mut load = load(door::recording(), Kind::Get, 1);
    load.duration = Duration::from_millis(50);
    let running = load.start().expect("starting");
    eventually("the end", Duration::from_secs(10), || running.is_over());
    assert!(running.stop().expect("the report").seconds < 5.0);
}

#[test]
fn the_versions_that_answer_are_seen_anew_after_a_mark() {
    let running = start(door::recording(), Kind::Get, 1);
    eventually("an answer", Duration::from_secs(10), || running.seen_since_mark("v1").is_some());
    running.mark();
    let marked = running.now();
    eventually("another", Duration::from_secs(10), || {
        running.seen_since_mark("v1").is_some_and(|seen| seen.first >= marked)
    });
    assert_eq!(running.seen_since_mark("v2"), None);
}

#[test]
fn a_reload_is_over_when_nobody_serves_by_the_former_configuration() {
    let stack = Stack::up();
    let former = stack.nginx_workers();
    // A worker that has one who says nothing stays longest.
    let _silent = TcpStream::connect(stack.door).expect("connecting");
    stack.reload_nginx();
    let left: Vec<_> = stack.nginx_workers().into_iter().filter(|worker| former.contains(worker)).collect();
    assert_eq!(left, [""; 0]);
}

fn load(target: SocketAddr, kind: Kind, clients: usize) -> Load {
    let mut load = Load::new(target).expect("loopback").mix([(kind, clients)]);
    load.think = Duration::from_millis(2);
    load.silence = Duration::from_millis(5);
    load.limit = Duration::from_millis(500);
    load.paths.ids = None;
    load
}

fn start(target: SocketAddr, kind: Kind, clients: usize) -> Running {
    load(target, kind, clients).start().expect("starting")
}

/// Runs one client until it fails.
fn one_failure(target: SocketAddr, kind: Kind) -> Report {
    let running = start(target, kind, 1);
    eventually("a failure", Duration::from_secs(10), || running.counts().1 > 0);
    running.stop().expect("stopping")
}
