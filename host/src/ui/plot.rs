//! The picture of a run: steps, containers, nginx's workers and the front door over one axis of time. Pure: SVG out.

use maud::{Markup, html};

use crate::model::{Container, ServiceName};
use crate::plan::Step;
use crate::run::trace::{Bucket, Probed};
use crate::run::{Event, Outcome};

use super::facts::seconds;
use super::spans::{Ending, RunRecord, Span};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 944.0;
const LABEL_ROW: f64 = 15.0;
const LANE: f64 = 22.0;
const LATENCY: f64 = 130.0;
const REQUESTS: f64 = 46.0;

/// Time → place. Time in which no process was at the run takes no room.
pub(super) struct Scale {
    began: i64,
    gaps: Vec<(i64, i64)>,
    busy: f64,
}

impl Scale {
    pub(super) fn of(told: &RunRecord) -> Self {
        let began = told.began();
        let ended = told.spans().iter().map(|span| span.ended).chain([told.ended(), began + 1]).max().unwrap_or(1);
        let left = told.entries.windows(2).filter(|pair| matches!(pair[1].event, Event::Resumed { .. }));
        let gaps: Vec<(i64, i64)> =
            left.map(|pair| (pair[0].at_ms, pair[1].at_ms)).filter(|(from, to)| to - from > 2000).collect();
        let idle: i64 = gaps.iter().map(|(from, to)| to - from).sum();
        Self { began, gaps, busy: ((ended - began - idle) as f64).max(1.0) }
    }

    fn x(&self, at: i64) -> f64 {
        LEFT + (RIGHT - LEFT) * self.share(at)
    }

    /// Returns the share of the run that has passed by then, 0 to 1.
    pub(super) fn share(&self, at: i64) -> f64 {
        let idle: i64 = self.gaps.iter().map(|(from, to)| (at.min(*to) - from).max(0)).sum();
        ((at - self.began - idle) as f64 / self.busy).clamp(0.0, 1.0)
    }
}

/// How far a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Gone,
    Created,
    Runs,
    Live,
}

/// A container, or nginx's workers, with when it became what.
struct Lane {
    label: String,
    new: bool,
    changes: Vec<(i64, Life)>,
}

/// Returns the picture of a run.
pub(super) fn plot(told: &RunRecord) -> Markup {
    let scale = Scale::of(told);
    let spans: Vec<Span> = told.spans().into_iter().filter(|span| span.step != Step::Commit).collect();
    let labels = labels(&spans, &scale);
    let rows = labels.iter().map(|label| label.row + 1).max().unwrap_or(0);
    let lanes = lanes(told, &spans);
    let top = 8.0 + LABEL_ROW * rows as f64;
    let lanes_end = top + 8.0 + LANE * lanes.len() as f64;
    let probes: Vec<&Probed> = told.probes().filter(|probed| !probed.buckets.is_empty()).collect();
    let bottom = lanes_end + probes.len() as f64 * (LATENCY + REQUESTS + 56.0);
    let height = bottom + 34.0;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-labelledby="plot-title plot-text" {
            title id="plot-title" { "The run over time" }
            desc id="plot-text" { (described(told, &spans)) }
            @for (index, span) in spans.iter().enumerate() {
                @let (from, to) = (scale.x(span.began), scale.x(span.ended));
                rect class=(band_class(span, index)) x=(n(from)) y=(n(top)) width=(n((to - from).max(0.5)))
                    height=(n(bottom - top)) {}
            }
            @for label in &labels {
                @let y = 12.0 + LABEL_ROW * label.row as f64;
                line class="tick" x1=(n(label.at)) x2=(n(label.at)) y1=(n(y + 3.0)) y2=(n(top)) {}
                text class={ "step" @if label.failed { " bad" } } x=(n(label.x)) y=(n(y)) { (label.text) }
            }
            @for (index, lane) in lanes.iter().enumerate() {
                (draw_lane(lane, top + 8.0 + LANE * index as f64, &scale))
            }
            @for (index, probed) in probes.iter().enumerate() {
                (draw_probe(probed, lanes_end + 14.0 + index as f64 * (LATENCY + REQUESTS + 56.0), &scale, probes.len() > 1))
            }
            @for (from, to) in &scale.gaps {
                @let x = scale.x(*from);
                line class="gap" x1=(n(x)) x2=(n(x)) y1=(n(top)) y2=(n(bottom)) {}
                text class="note" x=(n(x - 6.0)) y=(n(lanes_end + 4.0)) text-anchor="end" { "left for " (seconds(to - from)) }
            }
            @if let Some(at) = committed(told) {
                line class="commit" x1=(n(scale.x(at))) x2=(n(scale.x(at))) y1=(n(top)) y2=(n(bottom)) {}
            }
            (axis(&scale, bottom))
        }
    }
}

/// Returns the picture in words.
fn described(told: &RunRecord, spans: &[Span]) -> String {
    let steps: Vec<String> = spans
        .iter()
        .map(|span| {
            let how = match span.ending {
                Ending::Done(_) => "",
                Ending::Failed(_) => ", failed",
                Ending::Left => ", left",
            };
            format!("{} {}{how}", span.step.verb(), seconds(span.ended - span.began))
        })
        .collect();
    let doors: Vec<String> = told.probes().map(super::facts::front_door).collect();
    [steps.join(", "), doors.join(". ")].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(". ")
}

fn committed(told: &RunRecord) -> Option<i64> {
    told.entries.iter().find_map(|entry| match entry.event {
        Event::Done { step, .. } if told.plan.steps.get(step) == Some(&Step::Commit) => Some(entry.at_ms),
        _ => None,
    })
}

fn band_class(span: &Span, index: usize) -> &'static str {
    match span.ending {
        Ending::Failed(_) => "band bad",
        _ if span.undo => "band undo",
        _ if index.is_multiple_of(2) => "band",
        _ => "band odd",
    }
}

struct Label {
    text: String,
    at: f64,
    x: f64,
    row: usize,
    failed: bool,
}

/// Puts the name of each step above its begin, in the first row that has room for it.
fn labels(spans: &[Span], scale: &Scale) -> Vec<Label> {
    let mut ends: Vec<f64> = Vec::new();
    let mut labels = Vec::new();
    for span in spans {
        let failed = matches!(span.ending, Ending::Failed(_));
        let cross = if failed { "✗ " } else { "" };
        let text = format!("{cross}{} {}", span.step.verb(), seconds(span.ended - span.began));
        let at = scale.x(span.began);
        let width = 6.6 * text.chars().count() as f64;
        let x = at.min(RIGHT - width);
        let row = ends.iter().position(|end| *end <= x).unwrap_or(ends.len());
        if row == ends.len() {
            ends.push(0.0);
        }
        ends[row] = x + width + 8.0;
        labels.push(Label { text, at, x, row, failed });
    }
    labels
}

/// Returns what lived when: the old containers, the candidates, and nginx's workers of both generations.
fn lanes(told: &RunRecord, spans: &[Span]) -> Vec<Lane> {
    let facts = told.facts();
    let mut lanes = Vec::new();
    for planned in &told.plan.services {
        let service = &planned.name;
        let live = if planned.fronts.is_empty() { Life::Runs } else { Life::Live };
        lanes.extend(planned.live.iter().map(|old| container_lane(old, service, spans, told, false, live)));
        let candidates = facts.candidates(service);
        lanes.extend(candidates.iter().map(|new| container_lane(new, service, spans, told, true, live)));
        lanes.extend(worker_lanes(service, spans, told));
    }
    lanes
}

fn container_lane(
    container: &Container,
    service: &ServiceName,
    spans: &[Span],
    told: &RunRecord,
    new: bool,
    live: Life,
) -> Lane {
    let mut changes = Vec::new();
    if !new {
        changes.push((told.began(), live));
    }
    for span in spans.iter().filter(|span| span.step.service() == Some(service)) {
        let done = matches!(span.ending, Ending::Done(_));
        let change = match (&span.step, new) {
            (Step::Create { .. }, true) if done => Some(Life::Created),
            (Step::Start { .. }, true) if done => Some(Life::Runs),
            (Step::AwaitHealthy { .. }, true) if done && live == Life::Runs => Some(Life::Runs),
            (Step::Switch { .. }, true) if done => Some(Life::Live),
            (Step::Switch { .. }, false) if done => Some(Life::Runs),
            (Step::SwitchBack { .. }, true) if done => Some(Life::Runs),
            (Step::SwitchBack { .. } | Step::StartOld { .. }, false) if done => Some(live),
            (Step::StopOld { .. }, false) if done => Some(Life::Created),
            (Step::StopCandidates { .. }, true) if done => Some(Life::Created),
            (Step::RemoveCandidates { .. }, true) if done => Some(Life::Gone),
            (Step::Retire { .. }, false) if done => Some(Life::Gone),
            _ => None,
        };
        changes.extend(change.map(|life| (span.ended, life)));
    }
    changes.dedup_by_key(|(_, life)| *life);
    Lane { label: container.name.clone(), new, changes }
}

/// The workers of the generation before the switch end while the step `drain` waits for them.
fn worker_lanes(service: &ServiceName, spans: &[Span], told: &RunRecord) -> Vec<Lane> {
    let ended = |wanted: fn(&Step) -> bool| {
        let mine = spans.iter().filter(|span| span.step.service() == Some(service) && wanted(&span.step));
        mine.filter(|span| matches!(span.ending, Ending::Done(_))).map(|span| span.ended).next()
    };
    let Some(switched) = ended(|step| matches!(step, Step::Switch { .. })) else { return Vec::new() };
    let drained = ended(|step| matches!(step, Step::Drain { .. } | Step::SwitchBack { .. }));
    let mut old = vec![(told.began(), Life::Live), (switched, Life::Runs)];
    old.extend(drained.map(|at| (at, Life::Gone)));
    let mut new = vec![(switched, Life::Live)];
    if let Some(at) = ended(|step| matches!(step, Step::SwitchBack { .. })) {
        new.push((at, Life::Gone));
    }
    let lane = |label: &str, new, changes| Lane { label: label.to_owned(), new, changes };
    vec![lane("nginx, old workers", false, old), lane("nginx, new workers", true, new)]
}

fn draw_lane(lane: &Lane, y: f64, scale: &Scale) -> Markup {
    let end = scale.began + i64::MAX / 4;
    let ends = lane.changes.iter().skip(1).map(|(at, _)| *at).chain([end]);
    let side = if lane.new { "new" } else { "old" };
    html! {
        text class="lane" x=(n(LEFT - 8.0)) y=(n(y + 14.0)) text-anchor="end" { (shortened(&lane.label)) }
        @for ((from, life), to) in lane.changes.iter().zip(ends) {
            @let (from, to) = (scale.x(*from), scale.x(to));
            @let width = n((to - from).max(0.5));
            @match life {
                Life::Gone => {},
                Life::Created => line class={ "created " (side) } x1=(n(from)) x2=(n(to)) y1=(n(y + 10.0)) y2=(n(y + 10.0)) {},
                Life::Runs => rect class={ "runs " (side) } x=(n(from)) y=(n(y + 6.0)) width=(width) height="8" {},
                Life::Live => {
                    rect class={ "live " (side) } x=(n(from)) y=(n(y + 3.0)) width=(width) height="14" rx="2" {}
                    @if to - from > 40.0 {
                        text class="inside" x=(n(from + 6.0)) y=(n(y + 14.0)) { "live" }
                    }
                },
            }
        }
    }
}

/// The space for names is small.
fn shortened(label: &str) -> String {
    let count = label.chars().count();
    if count <= 22 { label.to_owned() } else { format!("…{}", label.chars().skip(count - 21).collect::<String>()) }
}

fn draw_probe(probed: &Probed, top: f64, scale: &Scale, several: bool) -> Markup {
    let floor = |us: u32| f64::from(us.max(1)).log10().floor();
    let low = probed.buckets.iter().map(|bucket| floor(bucket.p50)).fold(f64::INFINITY, f64::min);
    let high = probed.buckets.iter().map(|bucket| floor(bucket.p99) + 1.0).fold(low + 1.0, f64::max);
    let base = top + 14.0 + LATENCY;
    let y = |us: u32| base - LATENCY * ((f64::from(us.max(1)).log10() - low) / (high - low)).clamp(0.0, 1.0);
    let at = |bucket: &Bucket, share: f64| {
        let ms = (f64::from(bucket.index) + share) * f64::from(probed.bucket_ms);
        scale.x(probed.began_ms + ms as i64)
    };
    let most = probed.buckets.iter().map(|bucket| bucket.requests).max().unwrap_or(1).max(1);
    let ground = base + 26.0 + REQUESTS;
    let tall = |count: u32| REQUESTS * f64::from(count) / f64::from(most);
    let of = if several { format!(" of {}", probed.service) } else { String::new() };
    let whole = probed.before.requests + probed.since.map_or(0, |since| since.requests);
    html! {
        text class="lane" x=(n(LEFT + 6.0)) y=(n(top + 6.0)) { "front door" (of) ": latency, logarithmic" }
        @for decade in (low as i32)..=(high as i32) {
            @let line = y(10_u32.saturating_pow(decade.unsigned_abs()));
            line class="grid" x1=(n(LEFT)) x2=(n(RIGHT)) y1=(n(line)) y2=(n(line)) {}
            text class="note" x=(n(LEFT - 8.0)) y=(n(line + 4.0)) text-anchor="end" {
                (decade_label(decade))
            }
        }
        path class="p99" d=(path(probed, |bucket| (at(bucket, 0.5), y(bucket.p99)))) {}
        path class="p50" d=(path(probed, |bucket| (at(bucket, 0.5), y(bucket.p50)))) {}
        text class="note" x=(n(LEFT - 8.0)) y=(n(ground - 2.0)) text-anchor="end" { "requests" }
        @for bucket in &probed.buckets {
            @let (from, to) = (at(bucket, 0.0), at(bucket, 1.0));
            @let width = n((to - from - 0.6).max(0.6));
            @for (class, below, count) in stacked(bucket) {
                rect class={ "answers " (class) } x=(n(from)) y=(n(ground - tall(below + count))) width=(width)
                    height=(n(tall(count))) {}
            }
            @if bucket.failures > 0 {
                @let x = (from + to) / 2.0;
                @let y = base + 20.0;
                path class="failed" d=(format!("M{0} {2}L{1} {3}M{1} {2}L{0} {3}", n(x - 4.0), n(x + 4.0), n(y - 4.0), n(y + 4.0))) {
                    title { (bucket.failures) " of " (bucket.requests) " requests failed" }
                }
            }
        }
        line class="ground" x1=(n(LEFT)) x2=(n(RIGHT)) y1=(n(ground)) y2=(n(ground)) {}
        @if whole == 0 { text class="note" x=(n(LEFT + 6.0)) y=(n(ground - 6.0)) { "no request was answered" } }
    }
}

/// Returns the parts of a bucket's column, each with how many requests are below it.
fn stacked(bucket: &Bucket) -> impl Iterator<Item = (&'static str, u32, u32)> {
    let unknown = bucket.requests.saturating_sub(bucket.old + bucket.new);
    let parts =
        [("old", 0, bucket.old), ("new", bucket.old, bucket.new), ("unknown", bucket.old + bucket.new, unknown)];
    parts.into_iter().filter(|(_, _, count)| *count > 0)
}

fn decade_label(decade: i32) -> String {
    match decade {
        ..3 => format!("{} µs", 10_u32.pow(decade.max(0).unsigned_abs())),
        3..6 => format!("{} ms", 10_u32.pow((decade - 3).unsigned_abs())),
        _ => format!("{} s", 10_u32.pow((decade - 6).unsigned_abs())),
    }
}

/// Returns a line through the buckets, broken where buckets are missing.
fn path(probed: &Probed, place: impl Fn(&Bucket) -> (f64, f64)) -> String {
    let mut text = String::new();
    let mut before = None;
    for bucket in &probed.buckets {
        let (x, y) = place(bucket);
        let follows = before.is_some_and(|before: u32| bucket.index - before <= 3);
        text.push_str(&format!("{}{} {}", if follows { 'L' } else { 'M' }, n(x), n(y)));
        before = Some(bucket.index);
    }
    text
}

fn axis(scale: &Scale, y: f64) -> Markup {
    let whole = scale.busy / 1000.0;
    let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
    let step = steps.into_iter().find(|step| whole / step <= 9.0).unwrap_or(7200.0);
    // With time left out, only its begin is a time that everybody understands.
    let count = if scale.gaps.is_empty() { (whole / step) as i64 } else { 0 };
    html! {
        line class="ground" x1=(n(LEFT)) x2=(n(RIGHT)) y1=(n(y + 6.0)) y2=(n(y + 6.0)) {}
        @for index in 0..=count {
            @let x = scale.x(scale.began + (index as f64 * step * 1000.0) as i64);
            line class="tick" x1=(n(x)) x2=(n(x)) y1=(n(y + 6.0)) y2=(n(y + 10.0)) {}
            text class="note" x=(n(x)) y=(n(y + 23.0)) text-anchor="middle" {
                @if step < 1.0 { (format!("{:.1} s", index as f64 * step)) } @else { (format!("{:.0} s", index as f64 * step)) }
            }
        }
    }
}

/// Returns what each mark of the picture means.
pub(super) fn legend(told: &RunRecord) -> Markup {
    let undone = told.outcome() == Some(Outcome::RolledBack);
    html! {
        ul class="legend" {
            li { span class="key live old" {} "live: gets new requests" }
            li { span class="key live new" {} "the candidate, live" }
            li { span class="key runs" {} "runs" }
            li { span class="key created" {} "created, stopped" }
            @if told.probes().next().is_some() {
                li { span class="key p50" {} "half of the answers within" }
                li { span class="key p99" {} "99 % within" }
                li { span class="cross" aria-hidden="true" { "×" } "failed" }
            }
            @if undone { li { span class="key undo" {} "undoing" } } @else { li { span class="key commit" {} "commit" } }
        }
    }
}

/// Returns a coordinate: one digit is finer than a pixel.
fn n(value: f64) -> String {
    format!("{value:.1}")
}
