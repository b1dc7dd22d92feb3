//! What of each service is live now, for people.

use futures_util::future::join_all;
use serde::Serialize;

use super::senders::{Receiver, Sender};
use super::serving::{Serving, is_obeyed, serving};
use super::survey::Survey;
use crate::claim::Holding;
use crate::docker::ContainerFacts;
use crate::model::{Failure, ServiceName, Settings};
use crate::nginx;
use crate::site::Site;
use crate::text::short;

/// What is known of a service now.
#[derive(Debug, Serialize)]
pub struct ServiceStatus {
    /// The service.
    pub service: String,
    /// The running containers that get requests, or all running ones of a worker.
    pub live: Vec<String>,
    /// Running containers that get no requests.
    pub beside: Vec<String>,
    /// Whether the front door finds the live ones by the service's DNS name alone, because none that its file names runs.
    pub by_dns: bool,
    /// The short id of the live image.
    pub image: String,
    /// What the live containers were created from, as `demo-app` or `php:8-apache`.
    pub image_name: String,
    /// Since when the oldest live container runs, by the engine's clock, in RFC 3339; nothing where none is live.
    pub started: Option<String>,
    /// The full ids of the live containers.
    #[serde(skip)]
    pub ids: Vec<String>,
    /// The upstream's file, and where several nginxes have one, of whom; nothing for a worker or before the first swap.
    pub upstream: Option<String>,
    /// The unfinished runs.
    pub unfinished: Vec<String>,
    /// The run that is at work on it.
    pub holder: Option<Holding>,
}

impl Site {
    /// Tells what of each service is live now.
    pub async fn status(&self, services: &[ServiceName]) -> Result<Vec<ServiceStatus>, Failure> {
        let all = self.containers().await?;
        let settings: Vec<Settings> = services.iter().map(|name| self.settings(name)).collect();
        let upstreams =
            services.iter().zip(&settings).map(|(name, settings)| settings.upstream(name).clone()).collect();
        let survey = Survey::new(self, &all, upstreams);
        let each = services.iter().zip(&settings).map(|(name, settings)| self.status_of(name, settings, &survey));
        Ok(join_all(each).await)
    }

    async fn status_of(&self, name: &ServiceName, settings: &Settings, survey: &Survey<'_>) -> ServiceStatus {
        let running = survey.running_of(name);
        let known = self.upstreams_of(name, settings, &running, survey).await;
        let serving: Vec<Serving> = known.iter().map(|(_, file, obeyed)| serving(file, *obeyed, &running)).collect();
        let by_dns = serving.contains(&Serving::ByDns);
        let by_one = |seen: &ContainerFacts, serving: &Serving| match serving {
            Serving::Named(ids) => ids.contains(&seen.id),
            Serving::ByDns | Serving::All => true,
        };
        let gets = |seen: &&ContainerFacts| serving.is_empty() || serving.iter().any(|serving| by_one(seen, serving));
        let (live, beside): (Vec<&ContainerFacts>, Vec<&ContainerFacts>) = running.into_iter().partition(gets);
        ServiceStatus {
            service: name.to_string(),
            image: live.first().map(|seen| short(&seen.image).to_owned()).unwrap_or_default(),
            image_name: live.first().map(|seen| seen.image_name.clone()).unwrap_or_default(),
            started: live.iter().filter_map(|seen| seen.started_at.clone()).min(),
            ids: live.iter().map(|seen| seen.id.clone()).collect(),
            live: live.iter().map(|seen| seen.name.clone()).collect(),
            beside: beside.iter().map(|seen| seen.name.clone()).collect(),
            by_dns: by_dns && !live.is_empty(),
            upstream: (!known.is_empty()).then(|| {
                known.iter().map(|(path, file, _)| format!("{path} (run {})", file.run)).collect::<Vec<_>>().join(", ")
            }),
            unfinished: Vec::new(),
            holder: None,
        }
    }

    /// Returns the upstream files of a service that there are, each with its place, and whether nginx obeys the addresses of one
    /// that is at rest.
    async fn upstreams_of(
        &self,
        name: &ServiceName,
        settings: &Settings,
        live: &[&ContainerFacts],
        survey: &Survey<'_>,
    ) -> Vec<(String, nginx::UpstreamFile, bool)> {
        let of_compose = self.project.services.get(name).cloned().unwrap_or_default();
        let receiver = Receiver { name, settings, of_compose: &of_compose, live };
        let senders = self.senders(receiver, survey).await.fronts;
        let known = senders.iter().filter_map(|Sender { choice, observation, .. }| {
            let file = nginx::parse(observation.folder.upstream.as_deref()?).ok()?;
            let (ours, obeyed) = (file.project == self.project.name, is_obeyed(&file, observation));
            let path = format!("{}/{}", observation.nginx.folder, nginx::file_name(receiver.upstream()));
            let path = if senders.len() > 1 { format!("{path} of {choice}") } else { path };
            ours.then_some((path, file, obeyed))
        });
        known.collect()
    }
}
