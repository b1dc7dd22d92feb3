//! A container that is started once to see what becomes of it, and is gone afterwards.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::{Docker, Owned, ask};
use crate::model::Failure;
use crate::os::token;
use crate::text::{printable, short_or_name};

/// What is started, and with what. It has no network, and what it mounts it can't change, but for copies that were made for it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trial {
    /// The image.
    pub image: String,
    /// A container whose command, environment and user it has; `None`: what is said below.
    pub like: Option<String>,
    /// Its entrypoint; `None`: the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Its command; `None`: the image's.
    pub command: Option<Vec<String>>,
    /// Its environment over the image's, as `NAME=value`.
    pub environment: Vec<String>,
    /// The user that it runs as; `None`: the image's.
    pub user: Option<String>,
    /// Its working directory; `None`: the image's.
    pub folder: Option<String>,
    /// What is mounted.
    pub mounts: Vec<TrialMount>,
    /// Names that it finds, all at 127.0.0.1.
    pub hosts: Vec<String>,
    /// Files that are put into it before it starts: path, text, mode.
    pub files: Vec<(String, String, u32)>,
}

/// Something that a trial sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialMount {
    /// A path of the engine's machine.
    Bind {
        /// The path there.
        source: String,
        /// The path in the container.
        target: String,
        /// Whether it is a copy that the trial may write.
        copy: bool,
    },
    /// A volume of the engine's that is there.
    Volume {
        /// Its name.
        name: String,
        /// The path in the container.
        target: String,
    },
    /// An empty folder in memory.
    Empty {
        /// The path in the container.
        target: String,
    },
}

/// Where the program that takes nginx's place leaves what it found out.
const ANSWERS: &str = "/swap-trial";

/// What a trial of nginx gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrialAnswer {
    /// The exit code of `nginx -T`; `None`: the container's command never came to it.
    pub code: Option<i32>,
    /// The whole configuration as nginx printed it.
    pub dump: String,
    /// What nginx said beside that.
    pub said: Vec<String>,
    /// What the container printed before.
    pub log: Vec<String>,
}

impl Docker {
    /// Starts a container as it would start, but with a program of its own name in nginx's place, which lets nginx test its
    /// configuration and print it. It is removed whatever happens, also where this is dropped.
    ///
    /// # Errors
    /// The container can't be made or started: the engine's words are in the failure.
    pub async fn try_nginx(&self, trial: &Trial, limit: Duration) -> Result<TrialAnswer, Failure> {
        let name = format!("swap-trial-{}", &token()[..16]);
        let tried =
            |what: &str| format!("{what} a container of `{}` to try the configuration", printable(&trial.image));
        let body = self.trial_body(trial).await?;
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let created = ask(self.api.create_container(Some(options), body)).await;
        let id = created.map_err(|fault| fault.when(tried("making")))?.id;
        let gone = Gone { docker: self.clone(), id: Some(id.clone()) };
        let answer = self.run_trial(&id, trial, limit).await;
        gone.now().await;
        answer
    }

    async fn run_trial(&self, id: &str, trial: &Trial, limit: Duration) -> Result<TrialAnswer, Failure> {
        let everybody = |mode| Owned { mode, uid: 0, gid: 0 };
        for program in ["nginx", "openresty"] {
            let path = format!("/usr/local/sbin/{program}");
            self.put_file(id, &path, include_bytes!("trial.sh"), everybody(0o755), false).await?;
        }
        for answer in ["dump", "said", "code"] {
            self.put_file(id, &format!("{ANSWERS}/{answer}"), b"", everybody(0o666), false).await?;
        }
        for (path, text, mode) in &trial.files {
            self.put_file(id, path, text.as_bytes(), everybody(*mode), false).await?;
        }
        self.start(id).await?;
        let over = tokio::time::timeout(limit, self.exited(id, 0)).await;
        let mut answer = self.answers(id).await?;
        if over.is_err() && answer.code.is_none() {
            // It was called by its path, and runs, or the container waits for what it can't reach.
            let test = super::Command::new(["/usr/local/sbin/nginx"]);
            if tokio::time::timeout(limit, self.output(id, &test)).await.is_ok_and(|output| output.is_ok()) {
                answer = self.answers(id).await?;
            }
        }
        answer.log = self.logs_tail(id, 12).await.unwrap_or_default();
        Ok(answer)
    }

    async fn answers(&self, id: &str) -> Result<TrialAnswer, Failure> {
        let read = async |name: &str| {
            let bytes = self.read_file(id, &format!("{ANSWERS}/{name}")).await?.unwrap_or_default();
            Ok::<_, Failure>(String::from_utf8_lossy(&bytes).into_owned())
        };
        let said = read("said").await?.lines().map(printable).collect();
        Ok(TrialAnswer {
            code: read("code").await?.trim().parse().ok(),
            dump: read("dump").await?,
            said,
            log: Vec::new(),
        })
    }

    async fn trial_body(&self, trial: &Trial) -> Result<ContainerCreateBody, Failure> {
        let mut body = ContainerCreateBody::default();
        match &trial.like {
            Some(id) => {
                let tried = || format!("looking at container `{}`", short_or_name(id));
                let seen = ask(self.api.inspect_container(id, None)).await.map_err(|fault| fault.when(tried()))?;
                let config = seen.config.unwrap_or_default();
                (body.entrypoint, body.cmd, body.env) = (config.entrypoint, config.cmd, config.env);
                (body.user, body.working_dir) = (config.user, config.working_dir);
            }
            None => {
                (body.entrypoint, body.cmd) = (trial.entrypoint.clone(), trial.command.clone());
                body.env = Some(trial.environment.clone());
                (body.user, body.working_dir) = (trial.user.clone(), trial.folder.clone());
            }
        }
        let mount = |mount: &TrialMount| {
            let of = |kind, source: Option<&String>, target: &String, read_only| Mount {
                typ: Some(kind),
                source: source.cloned(),
                target: Some(target.clone()),
                read_only: Some(read_only),
                ..Default::default()
            };
            match mount {
                TrialMount::Bind { source, target, copy } => of(MountType::BIND, Some(source), target, !copy),
                TrialMount::Volume { name, target } => of(MountType::VOLUME, Some(name), target, true),
                TrialMount::Empty { target } => of(MountType::TMPFS, None, target, false),
            }
        };
        body.image = Some(trial.image.clone());
        body.labels = Some(HashMap::from([("swap.trial".to_owned(), "init".to_owned())]));
        body.host_config = Some(HostConfig {
            network_mode: Some("none".to_owned()),
            mounts: Some(trial.mounts.iter().map(mount).collect()),
            extra_hosts: Some(trial.hosts.iter().map(|host| format!("{host}:127.0.0.1")).collect()),
            ..Default::default()
        });
        Ok(body)
    }

    /// Tells whether the engine has a volume.
    pub async fn has_volume(&self, name: &str) -> bool {
        ask(self.api.inspect_volume(name)).await.is_ok()
    }
}

/// Removes a trial's container, at once or when nobody waits for it any more.
struct Gone {
    docker: Docker,
    id: Option<String>,
}

impl Gone {
    async fn now(mut self) {
        if let Some(id) = self.id.take() {
            let _ = self.docker.remove_aside(&id).await;
        }
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        if let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) {
            let docker = self.docker.clone();
            runtime.spawn(async move { docker.remove_aside(&id).await });
        }
    }
}
