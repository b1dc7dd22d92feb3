//! `swap init`: what a project lacks so that a service can be swapped, as changes of its files, proved before they stand.

use std::fs;

use super::change::{locked, put_back, write};
use super::found::{FolderPlace, Found, Proposal};
use super::look::Asking;
use super::proof::{self, Proved};
use super::propose::{folder_place, proposal};
use crate::compose::{Compose, Options, Project, Tool};
use crate::model::{Failure, Overrides, ServiceName, unknown_service};
use crate::nginx::{self, DEFAULT_FOLDER};
use crate::site::{Looks, Site};
use crate::ui::Display;

/// What was asked for, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    /// The flags of this command beside those of compose, as `--proxy nginx`.
    pub flags: Vec<String>,
}

/// Reads a project for [`prepare`].
pub async fn read(options: &Options) -> Result<(Compose, Project), Failure> {
    let compose = Compose::new(Tool::find()?, options.clone());
    let project = compose.read().await?;
    Ok((compose, project))
}

/// Looks at a project and returns what to change for a service, proved on a copy. Changes nothing.
///
/// `overrides` is laid over the settings of the compose file.
///
/// # Errors
/// The project has no such service, or no nginx that could be found.
pub async fn prepare(
    compose: &Compose,
    project: &Project,
    service: &ServiceName,
    typed: &Typed,
    overrides: &Overrides,
    display: &Display,
) -> Result<Prepared, Failure> {
    let known: Vec<ServiceName> = project.services.keys().cloned().collect();
    let of_service = project.services.get(service).ok_or_else(|| unknown_service(service.as_str(), &known))?;
    let settings = overrides.over(of_service.settings.clone(), None);
    let swap = compose.swap_line();
    if settings.no_proxy {
        return Err(Failure::new(format!(
            "`{service}` has `proxy: none`: a worker needs no nginx, and nothing to be added"
        ))
        .hint(format!("`{swap} {service}`")));
    }
    let (site, mut notes) = match Site::open(&compose.options, Looks::AtNginx, display).await {
        Ok(site) => (Some(site), Vec::new()),
        Err(failure) => {
            let why = format!(
                "the engine could not be asked, so the ports of the image and the version of nginx are unknown, and nothing is \
                 proved ({})",
                failure.what
            );
            (None, vec![why])
        }
    };
    let all = match &site {
        Some(site) => site.docker.of_project(&project.name).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let asking = Asking { compose, project, service, settings: &settings, of_service, site: site.as_ref(), all: &all };
    let files = asking.compose_files()?;
    let flags = typed.flags.iter().map(|flag| format!(" {flag}")).collect::<String>();
    let again = format!("{swap} init {service}{flags}");
    let (home, sent) = asking.home(&files, &again).await?;
    let mut found = asking.found(home, files, swap, again, sent).await?;
    let folder = folder_place(
        &found,
        &nginx::propose(&found.files, &found.names, &found.home.origins.environment, DEFAULT_FOLDER)?,
    );
    let there = fs::read_dir(&folder.here).into_iter().flatten().flatten();
    found.there = there.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let mut proposal = proposal(&found)?;
    notes.append(&mut proposal.notes);
    let locked = locked(&proposal);
    if !locked.is_empty() {
        notes.push(format!("root must write {}: `sudo {} --write`", locked.join(", "), proposal.again));
    }
    proposal.notes = notes;
    let mut prepared = Prepared { proposal, found, folder, site };
    prepared.prove(compose, project).await;
    Ok(prepared)
}

/// A proposal, and what it needs to be written and proved.
pub struct Prepared {
    /// The proposal.
    pub proposal: Proposal,
    found: Found,
    folder: FolderPlace,
    site: Option<Site>,
}

impl Prepared {
    /// Proves the proposal on copies of the files. What is refused is left to people.
    async fn prove(&mut self, compose: &Compose, project: &Project) {
        let Some(site) = &self.site else { return };
        if self.proposal.changes.is_empty() || !self.proposal.by_hand.is_empty() {
            return;
        }
        let read = proof::compose_reads(compose, project, &self.found, &self.proposal).await;
        let tested = match &read {
            Proved::Refused(_) => Proved::Yes,
            _ => proof::nginx_accepts(site, project, &self.found, &self.proposal, &self.folder).await,
        };
        for proved in [read, tested] {
            match proved {
                Proved::Yes => {}
                Proved::Unknown(why) => self.proposal.notes.push(why),
                Proved::Refused(failures) => self.proposal.by_hand.extend(failures),
            }
        }
    }

    /// Writes the proposal, and lets compose and nginx read what was written. If one of them refuses it, everything is put back
    /// as it was.
    ///
    /// # Errors
    /// A file can't be written or is not as it was, or the new files are refused; then nothing is changed.
    pub async fn write(&self, compose: &Compose, project: &Project) -> Result<(), Vec<Failure>> {
        let locked = locked(&self.proposal);
        if !locked.is_empty() {
            let failure = Failure::new(format!("{} can't be written by this user", locked.join(", ")))
                .hint(format!("`sudo {} --write`", self.proposal.again));
            return Err(vec![failure]);
        }
        if let Err(failure) = write(&self.proposal) {
            return Err(vec![failure]);
        }
        let mut refused = Vec::new();
        if let Err(failure) = compose.read().await {
            refused.push(Failure { what: format!("compose refuses the new files: {}", failure.what), ..failure });
        }
        if let (Some(site), true) = (&self.site, refused.is_empty()) {
            // As they lie there now: nothing stands in their place.
            let written = Proposal { changes: Vec::new(), ..self.proposal.clone() };
            if let Proved::Refused(failures) =
                proof::nginx_accepts(site, project, &self.found, &written, &self.folder).await
            {
                refused = failures;
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let back = put_back(&self.proposal);
        let what = match &back {
            Ok(()) => "all files are as they were before".to_owned(),
            Err(failure) => failure.what.clone(),
        };
        refused.push(
            Failure::new(what).hint(format!("do what the lines above say, then run `{}` again", self.proposal.again)),
        );
        Err(refused)
    }
}
