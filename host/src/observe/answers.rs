//! What the front door answers, and what the probe asks for.

use super::senders::Sender;
use crate::measure::way::{self, Answers, Home};
use crate::model::{Notice, Reaches};
use crate::plan::{Front, ObservedService};
use crate::site::Site;

/// So many pages are asked for until an answer of the service is seen.
const MOST_PAGES: usize = 3;

impl Site {
    /// Settles what the probe asks for, by which door of which nginx: what the operator wants; for hooks that judge its numbers, the
    /// front page.
    pub(super) async fn settle_probe(&self, observed: &mut ObservedService, front: &mut Front, senders: &[Sender]) {
        let judged = || observed.hooks.iter().any(|hook| hook.weighs_numbers).then(|| "/".to_owned());
        let Some(wanted) = observed.settings.probe.clone().or_else(judged) else { return };
        // What has these addresses here is not that machine's front door.
        if wanted.starts_with('/') && !self.docker.is_local() {
            let what = format!(
                "`{wanted}` is not asked for: from here nobody knows the front door of an engine on another machine"
            );
            let cure = format!("name it by its URL, as `--probe http://shop.example.com{wanted}`");
            return observed.notices.push(Notice::new(what).cure(cure));
        }
        let ways: Vec<way::Way> = senders.iter().flat_map(|sender| ways_to(observed, sender)).collect();
        match way::settle(&self.docker, &wanted, &ways, &observed.live).await {
            Ok(settled) => {
                observed.notices.extend(way::notice(&settled, &observed.live));
                front.probe = Some(settled.url);
                front.probe_way = Some(settled.way);
            }
            Err(failure) => {
                observed.notices.push(Notice::new(format!("`{wanted}` is not asked for: {}", failure.what)));
            }
        }
    }

    /// Asks the front door of each nginx before a service: what the first one tells from which no answer of it comes, else any.
    pub(crate) async fn answers(&self, observed: &ObservedService, senders: &[Sender]) -> Option<Answers> {
        let mut seen = None;
        for sender in senders {
            let answers = self.answers_of(observed, sender).await;
            if answers.as_ref().is_some_and(|answers| !matches!(answers.reaches, Reaches::Live { .. })) {
                return answers;
            }
            seen = seen.or(answers);
        }
        seen
    }

    /// Asks nginx's front door for pages of a service until an answer comes from its live containers. `None`: from here nobody knows
    /// that door, or there is nobody who could answer.
    async fn answers_of(&self, observed: &ObservedService, sender: &Sender) -> Option<Answers> {
        if !self.docker.is_local() || observed.live.is_empty() || observed.down || observed.fronts.is_empty() {
            return None;
        }
        let upstream = observed.settings.upstream(&observed.name);
        let mut pages: Vec<String> = observed.settings.probe.iter().cloned().collect();
        let configuration = sender.observation.configuration.as_ref().ok();
        let paths = configuration.into_iter().flat_map(|told| told.doors.iter()).flat_map(|door| door.paths(upstream));
        // The front page first, where it is the service's.
        let (front, others): (Vec<&str>, Vec<&str>) = paths.partition(|path| *path == "/");
        for path in front.into_iter().chain(others).chain(["/"]) {
            if !pages.iter().any(|page| page == path) && pages.len() < MOST_PAGES {
                pages.push(path.to_owned());
            }
        }
        let ways = ways_to(observed, sender);
        let mut first = None;
        for page in pages {
            let Ok(settled) = way::settle(&self.docker, &page, &ways, &observed.live).await else { continue };
            let is_live = matches!(settled.way.reaches, Reaches::Live { .. });
            let silent = match is_live {
                true => way::silent(&self.docker, &settled, &observed.live).await.unwrap_or_default(),
                false => observed.live.iter().map(|container| container.name.clone()).collect(),
            };
            let way::Settled { url, way, status } = settled;
            let answers = Answers { url, reaches: way.reaches, status, silent };
            if is_live {
                return Some(answers);
            }
            first.get_or_insert(answers);
        }
        first
    }
}

/// Returns how this machine reaches the doors of the nginx before a service.
fn ways_to(observed: &ObservedService, sender: &Sender) -> Vec<way::Way> {
    let home = match sender.container.as_ref().filter(|proxy| proxy.network_mode != "host") {
        Some(proxy) => Home::Container(proxy.published.clone(), proxy.address(None)),
        None => Home::Host,
    };
    let doors = sender.observation.configuration.as_ref().map_or(&[][..], |configuration| &configuration.doors[..]);
    way::ways(doors, observed.settings.upstream(&observed.name), &home)
}
