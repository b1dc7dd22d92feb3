//! What stands in the way of a swap, and what the operator should know of it.

use std::time::Duration;

use humantime::format_duration;

use super::make::{HANG_SHOWS, JUDGED_FROM};
use super::observed::{AnonymousVolume, ObservedService, Sidecar};
use super::print::names;
use crate::model::{
    Check, Failure, FixedPort, Harm, Notice, OldVolumes, PROBE_RATE, Phase, ProxyChoice, Reaches, ServiceName, Shared,
};

/// Returns every reason why this service can't be swapped.
pub fn refusals(seen: &ObservedService) -> Vec<Failure> {
    let service = &seen.name;
    let mut refusals = seen.problems.clone();
    if seen.live.is_empty() && seen.paused {
        refusals.push(
            Failure::new(format!("service `{service}` is paused, so there is nothing that serves to replace"))
                .hint(format!("let it go on with `docker compose unpause {service}`")),
        );
    } else if seen.live.is_empty() {
        refusals.push(
            Failure::new(format!("service `{service}` is not running, so there is nothing to replace"))
                .hint(not_running(seen)),
        );
    }
    refusals.extend(single(seen));
    if seen.settings.sidecars == Harm::Refuse {
        refusals.extend(bereft(seen).map(|(what, command)| {
            Failure::new(what).hint(format!(
                "give it its own, or write `x-swap: {{ sidecars: accept }}` under `services: {service}:` and type `{command}` \
                 after each swap"
            ))
        }));
    }
    refusals.extend(blind_probe(seen));
    if seen.image.is_none() && seen.problems.is_empty() {
        refusals.push(
            Failure::new(format!("the image `{}` of service `{service}` is not there", seen.image_name))
                .hint(format!("`docker compose build {service}` or `docker compose pull {service}`")),
        );
    }
    refusals
}

/// Refuses a watch that nothing but the probe judges where the probe can't see the application.
fn blind_probe(seen: &ObservedService) -> Option<Failure> {
    let settings = &seen.settings;
    let front = seen.front().filter(|_| settings.probe.is_some() && !settings.watch.is_zero())?;
    let service = &seen.name;
    let health = seen.hooks.iter().any(|hook| hook.phases.contains(&Phase::Health));
    if health || seen.healthcheck.is_some() || settings.health.iter().any(Check::asks) {
        return None;
    }
    let alone = "nothing but the probe judges the watch of";
    let what = match (&front.probe, front.probe_way.as_ref().map(|way| &way.reaches)) {
        (Some(_), None | Some(Reaches::Live { .. })) => return None,
        (None, _) => format!("{alone} `{service}`, and there is no URL that it could ask"),
        (Some(url), Some(Reaches::NotLive { why })) => {
            format!("{alone} `{service}`, and what it asks, {url}, does not reach the application: {why}")
        }
        (Some(url), Some(Reaches::Unknown { why })) => {
            format!("{alone} `{service}`, and nobody knows whether what it asks, {url}, reaches the application: {why}")
        }
    };
    Some(Failure::new(what).hint(format!(
        "name a page of the application, as `--probe /up` or `--probe https://shop.example.com/up`, or give `{service}` a \
         health check; `--watch 0s` swaps without a watch"
    )))
}

fn not_running(seen: &ObservedService) -> String {
    let service = &seen.name;
    let start = format!("start it with `docker compose up -d {service}`");
    match &seen.stopped[..] {
        [] => start,
        stopped => format!(
            "see `docker logs {}`; {start}, or bring the version before back with `swap rollback {service}`",
            stopped[stopped.len() - 1].name
        ),
    }
}

/// Returns every reason why two containers of this service can't run beside each other, as the compose file alone tells.
pub fn single(seen: &ObservedService) -> Vec<Failure> {
    let service = &seen.name;
    let mut refusals = Vec::new();
    if let Some(name) = &seen.container_name {
        refusals.push(
            Failure::new(format!(
                "service `{service}` has `container_name: {name}`, and two containers can't share a name"
            ))
            .hint(format!(
                "remove `container_name` from `services: {service}:`, then `docker compose up -d {service}` once"
            )),
        );
    }
    for address in &seen.fixed_addresses {
        refusals.push(
            Failure::new(format!("service `{service}` has `{address}`, and two containers can't share an address"))
                .hint(format!(
                    "remove `{}` from `services: {service}:` (others find it by its name), then `docker compose up -d \
                     {service}` once",
                    address.key
                )),
        );
    }
    for port in &seen.fixed_ports {
        refusals.push(
            Failure::new(format!("service `{service}` publishes the fixed port `{port}`, and two containers can't share it"))
                .hint(match seen.on_machine {
                    true => off_published_port(seen, *port),
                    false => format!("let nginx publish the port: remove `ports` from `services: {service}:` (use `expose` for the inner port)"),
                }),
        );
    }
    refusals
}

/// Returns how an nginx on the machine leaves a published port for the containers' addresses, so that somebody answers at each moment.
fn off_published_port(seen: &ObservedService, FixedPort { outer, inner }: FixedPort) -> String {
    let ObservedService { name: service, settings, .. } = seen;
    let upstream = settings.upstream(service);
    let proxy = settings.proxy.as_ref().map_or("host".to_owned(), ProxyChoice::setting);
    format!(
        "nginx reaches containers on this machine by their addresses, so the port need not be published; in this order the site \
         answers all the time: (1) write `x-swap: {{ proxy: {proxy}, port: {inner} }}` under `services: {service}:`; (2) write \
         `upstream {upstream} {{ server 127.0.0.1:{outer}; }}` into `/etc/nginx/swap/{upstream}.conf`, `include \
         /etc/nginx/swap/*.conf;` into nginx's `http`, and `http://{upstream}` in the place of `http://127.0.0.1:{outer}`, then \
         reload nginx; (3) remove `ports` from `services: {service}:` and run `swap {service}`, without `docker compose up` before: \
         the live container keeps its port until nginx has left it"
    )
}

/// Returns the port that nginx talks to: the settled one, else the only exposed one.
pub fn port(service: &ServiceName, settled: Option<u16>, exposed: &[u16]) -> Result<u16, Failure> {
    match (settled, exposed) {
        (Some(port), _) => Ok(port),
        (None, [port]) => Ok(*port),
        (None, []) => Err(Failure::new(format!(
            "service `{service}` exposes no port, so the port that nginx talks to is unknown"
        ))
        .hint(format!("write `x-swap: {{ port: 8000 }}` under `services: {service}:` in the compose file"))),
        (None, several) => {
            let list: Vec<String> = several.iter().map(u16::to_string).collect();
            Err(Failure::new(format!("service `{service}` exposes several ports ({})", list.join(", "))).hint(format!(
                "write the one that nginx talks to as `x-swap: {{ port: {} }}` under `services: {service}:`",
                several[0]
            )))
        }
    }
}

pub(super) fn notices(seen: &ObservedService) -> Vec<Notice> {
    let mut notices = seen.notices.clone();
    notices.extend(seen.room.iter().chain(&seen.leftovers).cloned());
    notices.extend(unshared(seen));
    notices.extend(blind_watch(seen));
    if seen.down {
        let what = format!("{} does not run: nobody serves until the candidates are live", names(&seen.live));
        notices.push(Notice::new(what));
    }
    if let Some(image) = seen.image.as_ref().filter(|image| seen.live.iter().all(|live| live.image == image.id)) {
        notices.push(Notice::new(format!("`{}` is the image that runs already: right for a change of the compose file, but a new version is built first", image.name)));
    }
    if seen.settings.sidecars == Harm::Accept {
        notices.extend(bereft(seen).map(|(what, command)| Notice::new(format!("{what}: type `{command}` afterwards"))));
    }
    let volumes = seen.sidecars.iter().filter(|sidecar| sidecar.what == Shared::Volumes);
    notices.extend(volumes.map(|Sidecar { name, of, .. }| {
        Notice::new(format!("{name} mounts the volumes of {of}: it keeps them, and has not those of the candidate"))
    }));
    notices.extend(numbers(seen));
    if !seen.left_behind.is_empty() {
        notices.push(Notice::new(format!(
            "removed with the live ones, as a run has left it that died and nginx's file does not name it: {}",
            names(&seen.left_behind)
        )));
    }
    if !seen.stopped.is_empty() {
        notices.push(Notice::new(format!(
            "removed once the candidates serve, as `up -d` would start it in the old version: {}",
            names(&seen.stopped)
        )));
    }
    notices
}

/// Returns what those lose that share a namespace of a live container, and how they get a new one.
fn bereft(seen: &ObservedService) -> impl Iterator<Item = (String, String)> {
    seen.sidecars.iter().filter(|sidecar| sidecar.what != Shared::Volumes).map(|Sidecar { service, name, what, of }| {
        (
            format!("{name} uses the {what} of {of}, and loses it when that is removed"),
            format!("docker compose up -d --no-deps --force-recreate {service}"),
        )
    })
}

/// Returns what a watch can't see as it is settled, and what would let it.
fn blind_watch(seen: &ObservedService) -> Option<Notice> {
    let watch = seen.settings.watch;
    if watch.is_zero() {
        return None;
    }
    let front = seen.front()?;
    let asked = seen.checks().iter().any(Check::asks) || !seen.hooks_of(Phase::Health).is_empty();
    if front.probe.is_none() {
        return (!asked).then(|| {
            Notice::new(
                "the watch sees only that the candidate runs and its port is open, which a version that hangs or fails does too",
            )
            .cure("a `health` check or a `probe` asks it")
        });
    }
    let shows = HANG_SHOWS + Duration::from_secs(JUDGED_FROM) / front.probe_rate.unwrap_or(PROBE_RATE).max(1);
    (watch < shows).then(|| {
        Notice::new(format!(
            "a watch of {} is shorter than what a failure needs to show: a request hangs after a second, and {JUDGED_FROM} must \
             have failed; {} is enough",
            format_duration(watch),
            format_duration(Duration::from_secs(shows.as_secs() + 1))
        ))
    })
}

/// Returns how many candidates there are to be: as many as the compose file wants, unless more run.
pub(super) fn wanted(seen: &ObservedService) -> usize {
    seen.replicas.max(seen.live.len())
}

/// Says where not as many run as the compose file wants.
fn numbers(seen: &ObservedService) -> Option<Notice> {
    let (service, wants, run) = (&seen.name, seen.replicas, seen.live.len());
    if wants == 0 || run == 0 || run == wants {
        return None;
    }
    Some(Notice::new(match run < wants {
        true => format!("the compose file wants {wants} containers of `{service}` and {run} runs: {wants} are made"),
        false => format!(
            "{run} containers of `{service}` run and the compose file wants {wants}: {run} are made, and the next \
             `docker compose up -d` removes what is more than {wants}"
        ),
    }))
}

/// Returns what a candidate does not share with the live containers, and how it would.
pub fn unshared(seen: &ObservedService) -> Vec<Notice> {
    let notice = |AnonymousVolume { path, volume }: &AnonymousVolume| {
        let what = format!("`{}` has an anonymous volume at `{path}`: the candidate gets an empty one", seen.name);
        let share = "name it under `volumes:` to share it";
        match seen.settings.anonymous_volumes {
            OldVolumes::Keep => Notice::new(format!("{what}, the old one is kept"))
                .cure(format!("{share}; when nobody needs the old one: `docker volume rm {volume}`")),
            OldVolumes::Remove => Notice::new(format!("{what}, the old one is removed with its container")).cure(share),
        }
    };
    seen.anonymous_volumes.iter().map(notice).collect()
}
