//! Ends containers. Nothing else in swap stops or removes one.
//!
//! **The invariant that covers every crash: a container that the durable upstream file names is never stopped.** Whoever
//! ends a container asks [`Performer::refuse_if_named`] first, whatever he believes that he wrote there: retiring, unwinding,
//! and what is presumed of a journal that is lost, alike. Only `order: stop-first` stops what the file names, because there
//! the operator has settled that nobody serves for a moment.

use std::time::Duration;

use futures_util::future::join_all;

use super::performer::Performer;
use crate::model::{Container, Failure, RouteFile};
use crate::plan::{Front, PlannedService, files};
use crate::text::short;
use crate::world::{Edge, Engine, Ports};

/// What the upstream file says about containers that are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mention {
    /// It names others.
    Others,
    /// It names this one.
    Names(String),
    /// It is not there, or not as swap wrote it, and mentions none of them.
    Unclear,
}

/// Tells what the upstream file says about containers.
fn mentioned(file: Option<&RouteFile>, going: &[Container]) -> Mention {
    let Some(file) = file else { return Mention::Unclear };
    let names = |container: &&Container| match &file.said {
        Some(said) => said.route.targets.iter().any(|target| container.id.starts_with(&target.id)),
        // Others have changed it, or wrote it: nginx may obey any word of it.
        None => {
            let address = container.address.map(|address| address.to_string());
            file.text.contains(short(&container.id)) || address.is_some_and(|address| file.text.contains(&address))
        }
    };
    match going.iter().find(names) {
        Some(container) => Mention::Names(container.name.clone()),
        None if file.said.is_some() => Mention::Others,
        None => Mention::Unclear,
    }
}

impl<P: Ports> Performer<'_, P> {
    /// Fails if the durable upstream file of an nginx before the service names one of these containers.
    ///
    /// `certain`: fails also where the file does not say whom it names. Who goes back need not be so strict: the file came
    /// before the candidates, and an nginx that is gone sends nobody anywhere.
    pub(super) async fn refuse_if_named(
        &self,
        of: &PlannedService,
        going: &[Container],
        certain: bool,
    ) -> Result<(), Failure> {
        for front in &of.fronts {
            self.refuse_if_named_by(of, front, going, certain).await?;
        }
        Ok(())
    }

    async fn refuse_if_named_by(
        &self,
        of: &PlannedService,
        front: &Front,
        going: &[Container],
        certain: bool,
    ) -> Result<(), Failure> {
        let (service, file) = (&of.name, files(of, &[front]));
        let now = match self.ports.edge().durable(service, front).await {
            Err(failure) if certain => return Err(failure),
            now => now.unwrap_or_default(),
        };
        match mentioned(now.as_ref(), going) {
            Mention::Others => Ok(()),
            Mention::Unclear if !certain => Ok(()),
            Mention::Unclear => {
                Err(Failure::new(format!("`{file}` is not as this run wrote it, so what it names may be in use"))
                    .hint(format!("see who changed it, then `swap resume {service}`")))
            }
            Mention::Names(name) => Err(Failure::new(format!("`{file}` names {name} again, so it is not stopped"))
                .hint(format!("somebody changed the file after the switch; see who, then `swap resume {service}`"))),
        }
    }

    /// Stops containers; `for_good`: also a restart of the engine brings none of them back. Then removes them where `remove`
    /// is given, which tells whether their anonymous volumes go with them.
    ///
    /// All of them, also if one fails. Before each of them, and before each is removed, the lock is looked at again: to stop
    /// one may take long, and somebody may have taken over meanwhile.
    pub(super) async fn end(
        &self,
        containers: &[Container],
        grace: Option<Duration>,
        for_good: bool,
        remove: Option<bool>,
    ) -> Result<(), Failure> {
        let engine = self.ports.engine();
        let ended = containers.iter().map(|container| async move {
            self.ports.holds().await?;
            if for_good {
                // A container that always restarts would come back if the engine restarted right now.
                engine.disable_restart(&container.id).await?;
            }
            engine.stop(&container.id, grace).await?;
            let Some(volumes) = remove else { return Ok(()) };
            self.ports.holds().await?;
            engine.remove(&container.id, volumes).await
        });
        join_all(ended).await.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx;
    use crate::site::edge::route_file;

    const OLD: &str = "0123456789abcdef";
    const NEW: &str = "fedcba9876543210";

    fn container(id: &str, address: &str) -> Container {
        Container {
            id: id.to_owned(),
            name: format!("demo-app-{}", &id[..1]),
            image: "sha256:1".to_owned(),
            address: Some(address.parse().expect("an address")),
        }
    }

    fn file(container: &Container) -> String {
        nginx::render(&nginx::UpstreamFile {
            run: crate::model::RunId("20260131-154502-9f3a".to_owned()),
            project: "demo".to_owned(),
            service: "app".parse().expect("a name"),
            upstream: "app".parse().expect("a name"),
            servers: vec![nginx::Server {
                address: container.address.expect("an address"),
                container: container.name.clone(),
                id: container.id.clone(),
            }],
            fallback: None,
            kept: nginx::Kept::default(),
            rest: None,
        })
    }

    #[test]
    fn only_who_is_not_named_may_go() {
        let (old, new) = (container(OLD, "172.18.0.4:80"), container(NEW, "172.18.0.5:80"));
        let check = |text: Option<&str>, expected: Mention| {
            assert_eq!(mentioned(text.map(route_file).as_ref(), std::slice::from_ref(&old)), expected);
        };
        check(Some(&file(&new)), Mention::Others);
        check(Some(&file(&old)), Mention::Names("demo-app-0".to_owned()));
        // Another container has got the address since: the id is what counts.
        check(Some(&file(&container(NEW, "172.18.0.4:80"))), Mention::Others);
        check(None, Mention::Unclear);
        check(Some("upstream app { server app:80; }\n"), Mention::Unclear);
        check(Some("upstream app { server 172.18.0.4:80; }\n"), Mention::Names("demo-app-0".to_owned()));
        // Somebody has changed what swap wrote.
        check(
            Some(&file(&old).replace("upstream app {", "upstream app {\n  ntlm;")),
            Mention::Names("demo-app-0".into()),
        );
        check(Some(&file(&new).replace("upstream app {", "upstream app {\n  ntlm;")), Mention::Unclear);
    }
}
