//! The report of a run: one page that needs nothing else, for the eye, for paper and for screen readers. Pure: a journal
//! in, HTML out.
//!
//! **Invariant:** every text from outside goes through maud's escaping; nothing here is marked as HTML already but our
//! own style sheet.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;

use crate::model::{Failure, ServiceName};
use crate::plan::{Step, names};
use crate::run::trace::{Numbers, Probed};
use crate::run::{Event, Outcome};
use crate::text::short;

use super::facts::{first_failure, gap, ms, seconds, thousands};
use super::plot::{Scale, legend, plot};
use super::spans::{Ending, RunRecord, SaidLine, Span};
use super::story::ended;

const STYLE: &str = include_str!("report.css");

/// Returns the page of a run.
pub fn page(told: &RunRecord) -> String {
    let plan = told.plan;
    let services: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
    let title = format!("swap {}: {}", services.join(" "), ended(told));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(told, &services))
                main {
                    @if let Some(failure) = told_failure(told) { (failure_box(failure)) }
                    (cards(told))
                    section aria-labelledby="picture" {
                        h2 id="picture" { "The run over time" }
                        figure {
                            div class="scroll" role="region" aria-label="The run over time, as a picture" tabindex="0" {
                                (plot(told))
                            }
                            figcaption {
                                (legend(told))
                                "The same as tables: " a href="#steps" { "the steps" }
                                @if told.probes().next().is_some() { ", " a href="#door" { "the front door" } }
                                "."
                            }
                        }
                    }
                    (steps(told))
                    (doors(told))
                    (containers(told))
                    (the_plan(told))
                    (journal(told))
                }
                footer { "Written by " code { "swap report" } " from the journal of the run. Times are those of the machine that ran it." }
            }
        }
    };
    page.into_string()
}

fn outcome(told: &RunRecord) -> (&'static str, &'static str, &'static str) {
    match told.outcome() {
        Some(Outcome::Swapped) => ("good", "✓", "swapped"),
        Some(Outcome::RolledBack) => ("back", "↩", "rolled back"),
        None => ("open", "…", "unfinished"),
    }
}

fn head(told: &RunRecord, services: &[&str]) -> Markup {
    let plan = told.plan;
    let (class, sign, word) = outcome(told);
    let facts = told.facts();
    let serves = told.outcome() == Some(Outcome::Swapped);
    html! {
        header {
            p class={ "outcome " (class) } { span aria-hidden="true" { (sign) } " " (word) }
            h1 { "swap " (services.join(" ")) }
            @for service in &plan.services {
                p class="change" {
                    @if services.len() > 1 { (service.name) ": " }
                    @if serves {
                        (names(&service.live)) " → " strong { (names(facts.candidates(&service.name))) }
                    } @else if told.outcome().is_some() {
                        strong { (names(&service.live)) } " serves"
                    } @else {
                        (names(&service.live)) " is to be replaced"
                    }
                    span class="muted" { " · image " (service.image.name) " " code { (short(&service.image.id)) } }
                }
            }
            p class="muted" {
                "project " (plan.project) " · run " code { (plan.run) } " · began " (told.time(told.began()))
                " · took " (seconds(told.ended() - told.began()))
            }
        }
    }
}

/// What made a run fail, or what it is stuck at.
fn told_failure<'a>(told: &'a RunRecord) -> Option<&'a Failure> {
    match told.outcome() {
        Some(Outcome::Swapped) => None,
        _ => first_failure(told.entries),
    }
}

fn failure_box(failure: &Failure) -> Markup {
    html! {
        section class="failure" aria-labelledby="why" {
            h2 id="why" { "Why" }
            (failure_text(failure))
        }
    }
}

fn failure_text(failure: &Failure) -> Markup {
    html! {
        p { strong { (failure.what) } }
        @if !failure.tail.is_empty() { pre { (failure.tail.join("\n")) } }
        @if let Some(hint) = &failure.hint { p { "Hint: " (hint) } }
    }
}

fn cards(told: &RunRecord) -> Markup {
    let took = |verb: &str| {
        let times = super::facts::step_times(told.plan, told.entries);
        times.into_iter().find(|(known, _)| *known == verb).map(|(_, ms)| seconds(ms))
    };
    let card = |value: String, name: &str, note: String, class: &str| {
        html! { div class={ "card " (class) } { dt { (name) } dd { b { (value) } @if !note.is_empty() { span { (note) } } } } }
    };
    let probes: Vec<&Probed> = told.probes().collect();
    html! {
        dl class="cards" {
            (card(seconds(told.ended() - told.began()), "whole run", String::new(), ""))
            @for probed in &probes {
                @let since = probed.since.unwrap_or_default();
                @let failed = probed.before.failures + since.failures;
                @let of = if probes.len() > 1 { format!(", {}", probed.service) } else { String::new() };
                (card(thousands(failed), &format!("requests failed{of}"), format!("of {}", thousands(probed.before.requests + since.requests)),
                    if failed == 0 { "good" } else { "bad" }))
                @match probed.since {
                    Some(since) => (card(format!("{} ms", ms(since.p99)), &format!("p99 after the switch{of}"), format!("before {} ms", ms(probed.before.p99)), "")),
                    None => (card(format!("{} ms", ms(probed.before.p99)), &format!("p99{of}"), String::new(), "")),
                }
            }
            @if let Some(time) = took("healthy") { (card(time, "until healthy", String::new(), "")) }
            @if let Some(time) = took("switch") { (card(time, "switch", String::new(), "")) }
            @if let Some(time) = took("drain") { (card(time, "drain", String::new(), "")) }
            @if let Some(gap) = gap(told.plan, told.entries) { (card(seconds(gap), "nobody served", "stop-first".to_owned(), "bad")) }
        }
    }
}

fn steps(told: &RunRecord) -> Markup {
    let spans = told.spans();
    let scale = Scale::of(told);
    html! {
        section aria-labelledby="steps" {
            h2 id="steps" { "Steps" }
            div class="scroll" role="region" aria-label="Steps" tabindex="0" {
                table class="steps" {
                    thead { tr {
                        th scope="col" class="number" { "at" }
                        th scope="col" { "step" }
                        th scope="col" { "what" }
                        th scope="col" class="number" { "took" }
                        th scope="col" { "how it ended" }
                    } }
                    tbody {
                        @for span in spans.iter().filter(|span| span.step != Step::Commit) { (step_row(told, span, &scale)) }
                    }
                }
            }
        }
    }
}

fn step_row(told: &RunRecord, span: &Span, scale: &Scale) -> Markup {
    let (from, to) = (scale.share(span.began), scale.share(span.ended));
    let share = |share: f64| format!("{:.2}%", 100.0 * share);
    // Where there is one service, nobody needs to be told which.
    let several = told.plan.services.len() > 1;
    let of = span.step.service().filter(|_| several).map(|service| format!("{service}: ")).unwrap_or_default();
    let (class, sign, word) = match span.ending {
        Ending::Done(_) if span.undo => ("back", "↩", "undone"),
        Ending::Done(_) => ("good", "✓", "done"),
        Ending::Failed(_) => ("bad", "✗", "failed"),
        Ending::Left => ("open", "…", "left"),
    };
    html! {
        tr {
            td class="number" { (seconds(span.began - told.began())) }
            th scope="row" { (span.step.verb()) }
            td class="what" {
                @match &span.ending {
                    Ending::Done(Some(fact)) => { (of) (fact.text) }
                    Ending::Failed(failure) => { (failure_text(failure)) }
                    _ => {}
                }
                div class="planned" { (of) (told.plan.deed(&span.step)) }
                (said(told, &span.said))
            }
            td class="number" {
                (seconds(span.ended - span.began))
                div class="bar" aria-hidden="true" {
                    i class=(class) style={ "margin-left:" (share(from)) ";width:" (share(to - from)) } {}
                }
            }
            td class={ "end " (class) } { span aria-hidden="true" { (sign) } " " (word) }
        }
    }
}

/// What was said during a step, folded: the reasons to wait, and the lines of hooks and their commands.
fn said(told: &RunRecord, lines: &[SaidLine]) -> Markup {
    let (waits, lines): (Vec<&SaidLine>, Vec<&SaidLine>) = lines.iter().partition(|said| said.waiting);
    let list = |lines: &[&SaidLine]| {
        html! {
            ul class="said" {
                @for said in lines {
                    li {
                        span class="at" { (seconds(said.at - told.began())) } " "
                        @if let Some(by) = &said.by { span class="by" { (by) } " " }
                        (said.text)
                    }
                }
            }
        }
    };
    html! {
        @if !waits.is_empty() {
            details { summary { "what it waited for (" (waits.len()) ")" } (list(&waits)) }
        }
        @if !lines.is_empty() {
            details open[lines.len() <= 8] { summary { "what was said (" (lines.len()) ")" } (list(&lines)) }
        }
    }
}

fn doors(told: &RunRecord) -> Markup {
    let row = |name: &str, numbers: Numbers| {
        html! {
            tr {
                th scope="row" { (name) }
                td class="number" { (thousands(numbers.requests)) }
                td class={ "number" @if numbers.failures > 0 { " bad" } } { (thousands(numbers.failures)) }
                @for time in [numbers.p50, numbers.p90, numbers.p99, numbers.max] { td class="number" { (ms(time)) " ms" } }
            }
        }
    };
    html! {
        @for (index, probed) in told.probes().enumerate() {
            @let id = if index == 0 { "door".to_owned() } else { format!("door-{index}") };
            section aria-labelledby=(id) {
                h2 id=(id) { "The front door of " (probed.service) }
                p { code { "GET " (probed.url) } ", " (probed.rate) " times a second." @if probed.reconnected > 0 {
                    " nginx closed a kept connection under a request " (thousands(probed.reconnected))
                    " times; it was asked again on a new one, as browsers do."
                } }
                div class="scroll" role="region" aria-label={ "Numbers of the front door of " (probed.service) } tabindex="0" {
                    table {
                        thead { tr {
                            th scope="col" { "requests that began" }
                            @for name in ["requests", "failed", "half within", "90 % within", "99 % within", "all within"] {
                                th scope="col" class="number" { (name) }
                            }
                        } }
                        tbody {
                            (row("before the switch", probed.before))
                            @if let Some(since) = probed.since { (row("after it", since)) }
                        }
                    }
                }
                @if let (Some(first), Some(last)) = (probed.first_new, probed.last_old) {
                    p { "A candidate answered from " (at(told, probed, first)) " on, an old container until " (at(told, probed, last)) "." }
                }
                @if !probed.failures.is_empty() {
                    h3 { "Failed requests" }
                    ul class="said" {
                        @for failure in &probed.failures {
                            li { span class="at" { (at(told, probed, failure.at)) } " " (failure.why) }
                        }
                        @let all = probed.before.failures + probed.since.map_or(0, |since| since.failures);
                        @let more = all.saturating_sub(probed.failures.len() as u64);
                        @if more > 0 { li { "and " (thousands(more)) " more" } }
                    }
                }
            }
        }
    }
}

/// Returns a time of a probe as time of the run.
fn at(told: &RunRecord, probed: &Probed, ms: u32) -> String {
    seconds(probed.began_ms + i64::from(ms) - told.began())
}

/// What a journal has of the nginx workers that obeyed the former route. Only an nginx says such a thing.
#[derive(Deserialize)]
struct Workers {
    master: Worker,
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Worker {
    pid: u32,
}

fn containers(told: &RunRecord) -> Markup {
    let facts = told.facts();
    let formers = facts
        .former
        .iter()
        .flat_map(|(service, routes)| routes.iter().enumerate().map(move |former| (service, former)));
    html! {
        section aria-labelledby="containers" {
            h2 id="containers" { "Containers and nginx" }
            div class="scroll" role="region" aria-label="Containers" tabindex="0" {
                table {
                    thead { tr {
                        @for name in ["service", "container", "was", "address", "image"] { th scope="col" { (name) } }
                    } }
                    tbody {
                        @for service in &told.plan.services {
                            @let old = service.live.iter().map(|container| (container, "live before"));
                            @let new = facts.candidates(&service.name).iter().map(|container| (container, "candidate"));
                            @for (container, was) in old.chain(new) {
                                tr {
                                    th scope="row" { (service.name) }
                                    td { (container.name) " " code { (short(&container.id)) } }
                                    td { (was) }
                                    td { @if let Some(address) = container.address { (address) } @else { "–" } }
                                    td { code { (short(&container.image)) } }
                                }
                            }
                        }
                    }
                }
            }
            @for (service, (index, former)) in formers {
                @if let Ok(Workers { master, workers }) = Workers::deserialize(&former.0) {
                    @let pids: Vec<String> = workers.iter().map(|worker| worker.pid.to_string()).collect();
                    p { (whose(told, service, index)) " of " (service) ": master " (master.pid) "; at the switch its workers "
                        (pids.join(", ")) " were told to end, and the old containers could not stop before they had." }
                }
            }
        }
    }
}

/// Returns what the nginx of this number before a service is called: where there are several, by its name.
fn whose(told: &RunRecord, service: &ServiceName, index: usize) -> String {
    let fronts = told.plan.service(service).map_or(&[][..], |planned| &planned.fronts);
    match fronts.get(index).filter(|_| fronts.len() > 1) {
        Some(front) => front.proxy.to_string(),
        None => "nginx".to_owned(),
    }
}

fn the_plan(told: &RunRecord) -> Markup {
    html! {
        section aria-labelledby="plan" {
            h2 id="plan" { "The plan" }
            pre { (told.plan) }
        }
    }
}

fn journal(told: &RunRecord) -> Markup {
    let line = |entry| serde_json::to_string(entry).unwrap_or_default();
    let lines: Vec<String> = told.entries.iter().map(line).collect();
    let resumed = told.entries.iter().filter(|entry| matches!(entry.event, Event::Resumed { .. })).count();
    html! {
        section aria-labelledby="journal" {
            h2 id="journal" { "The journal" }
            @if resumed > 0 { p { "Other processes took the run up " (resumed) " times." } }
            details { summary { "all " (lines.len()) " lines" } pre class="journal" { (lines.join("\n")) } }
        }
    }
}
