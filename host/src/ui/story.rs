//! A run as a story for people: what was done and why, what it waited for, what went wrong. Pure: a journal in, text out.

use crate::model::Failure;
use crate::run::{Event, Goal, Outcome};
use crate::text::printable;

use super::facts::{Fact, front_door, seconds};
use super::spans::{Ending, RunRecord, SaidLine, Span};

/// Returns the story of a run, each line with the time since its begin.
pub fn story(told: &RunRecord) -> String {
    let plan = told.plan;
    let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
    let mut lines =
        vec![format!("run {} of project {}: swap {}, {}", plan.run, plan.project, names.join(" "), ended(told))];
    lines.push(format!("began {}", told.time(told.began())));
    lines.extend(plan.notices.iter().map(|notice| format!("note: {notice}")));
    let mut spans = told.spans().into_iter().peekable();
    for (place, entry) in told.entries.iter().enumerate() {
        while let Some(span) = spans.next_if(|span| span.place < place && comes_before(&entry.event)) {
            span_lines(told, &span, &mut lines);
        }
        let at = at(told, entry.at_ms);
        match &entry.event {
            Event::Interrupted { signal } => lines.push(format!("{at}  {signal} came")),
            Event::Resumed { goal } => {
                let goal = match goal {
                    Goal::Forward => "goes on, to the new version if it can",
                    Goal::Back => "unwinds, to the old version if it can",
                };
                lines.push(format!("{at}  another process {goal} ({})", told.time(entry.at_ms)));
            }
            Event::Closed { outcome } => lines.push(format!("{at}  {}", word(*outcome))),
            _ => {}
        }
    }
    spans.for_each(|span| span_lines(told, &span, &mut lines));
    lines.extend(told.probes().map(front_door));
    if told.outcome().is_none() {
        let names = names.join(" ");
        lines.push(format!("it is not over: `swap resume {names}` finishes, `swap rollback {names}` unwinds"));
    }
    // A journal may have been written by anybody who may write there.
    lines.iter().map(|line| printable(line) + "\n").collect()
}

/// The spans before one of these are told first.
fn comes_before(event: &Event) -> bool {
    matches!(event, Event::Interrupted { .. } | Event::Resumed { .. } | Event::Closed { .. })
}

/// Returns how the run ended and how long it took: `swapped in 1.2 s`.
pub(super) fn ended(told: &RunRecord) -> String {
    let took = seconds(told.ended() - told.began());
    match told.outcome() {
        Some(outcome) => format!("{} in {took}", word(outcome)),
        None => format!("unfinished after {took}"),
    }
}

fn word(outcome: Outcome) -> &'static str {
    super::facts::outcome_word(Some(outcome))
}

fn at(told: &RunRecord, at_ms: i64) -> String {
    format!("{:>8}", format!("{:.2}", at_ms.saturating_sub(told.began()) as f64 / 1000.0))
}

fn span_lines(told: &RunRecord, span: &Span, lines: &mut Vec<String>) {
    lines.push(format!("{}  {}", at(told, span.began), told.plan.text(&span.step)));
    for SaidLine { at: said_at, by, text, waiting } in &span.said {
        let by = by.as_ref().map(|by| format!("{by}: ")).unwrap_or_default();
        let waits = if *waiting { "waits: " } else { "" };
        lines.push(format!("{}    {waits}{by}{text}", at(told, *said_at)));
    }
    let took = seconds(span.ended - span.began);
    let end = at(told, span.ended);
    match &span.ending {
        Ending::Done(Some(Fact { service, text, .. })) => {
            lines.push(format!("{end}    done in {took}: {service}: {text}"));
        }
        Ending::Done(None) => {}
        Ending::Left => lines.push(format!("{end}    left after {took}")),
        Ending::Failed(Failure { what, hint, tail }) => {
            lines.push(format!("{end}    failed after {took}: {what}"));
            lines.extend(tail.iter().map(|line| format!("            | {line}")));
            lines.extend(hint.iter().map(|hint| format!("            hint: {hint}")));
        }
    }
}
