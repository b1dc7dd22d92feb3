//! Holding services: one run at a time, on this machine and on all others that use the engine.
//!
//! On this machine a file beside the journal is locked; it costs nothing and the kernel lets go of it. For all others a
//! volume on the engine stands for the service, and its labels name the holder. A holder that runs for long shows that
//! it lives by volumes that come and go; one that is dead is followed ([`super::holder`] decides). A holder that slept
//! may have been followed, so each effect is preceded by a look at the volume.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::holder::{
    BEAT, Evidence, Holder, PROJECT, SILENCE, TOKEN, Verdict, Watch, beat_name, file_lock_name, judge, lock_name,
};
use crate::docker::{Docker, NoMark};
use crate::journal::{self, LockError};
use crate::model::{Failure, ServiceName};
use crate::os;
use crate::plan::Plan;
use crate::site::Site;
use crate::ui::Display;

/// How long to wait between two looks at what another run holds.
const PAUSE: Duration = Duration::from_millis(100);

/// For so long a look at the volume is proof enough that nobody took us for dead.
const PROVEN: Duration = Duration::from_secs(1);

/// How long the engine may take to let go.
const PARTING: Duration = Duration::from_secs(5);

/// Why a service is not held.
#[derive(Debug)]
pub enum NotHeld {
    /// Another run holds it.
    Busy {
        /// The service, or the upstream's file.
        what: String,
        /// Who, where, since when.
        holder: String,
    },
    /// It can't be known.
    Failed(Failure),
}

impl From<Failure> for NotHeld {
    fn from(failure: Failure) -> Self {
        NotHeld::Failed(failure)
    }
}

/// Who holds a service.
#[derive(Debug, Clone, Serialize)]
pub struct Holding {
    /// His process, user and machine, and since when.
    pub who: String,
    /// Whether he is known to be dead. One of another machine may be dead too.
    pub dead: bool,
}

/// The services that this process holds, until [`Claim::release`] or its end.
#[derive(Debug)]
pub struct Claim {
    files: Vec<journal::Lock>,
    folder: journal::Folder,
    display: Display,
    volumes: Arc<Volumes>,
    keeper: Option<(oneshot::Sender<()>, JoinHandle<u64>)>,
    /// The engine makes no volumes: only the files hold.
    refused: bool,
}

impl Claim {
    /// Holds nothing yet.
    pub(crate) fn nothing(site: &Site, display: Display) -> Self {
        let volumes = Volumes {
            docker: site.docker.clone(),
            project: site.project.name.clone(),
            me: this_process(),
            services: Mutex::default(),
            proven: Mutex::default(),
            sign: Mutex::default(),
            lost: Mutex::default(),
        };
        Self {
            files: Vec::new(),
            folder: site.folder().clone(),
            display,
            volumes: Arc::new(volumes),
            keeper: None,
            refused: false,
        }
    }

    /// Takes services, in a fixed order, so that two runs never wait for each other. Waits at most so long for others.
    ///
    /// Whatever it answers, also when it is dropped, [`Claim::release`] lets go of what was taken.
    pub async fn take(&mut self, services: &[ServiceName], wait: Duration) -> Result<(), NotHeld> {
        let mut ordered = services.to_vec();
        ordered.sort();
        let deadline = Instant::now() + wait;
        for service in &ordered {
            let file = self.take_file(service, deadline).await?;
            let released = file.former().map(str::to_owned);
            self.files.push(file);
            if !self.refused {
                let name = lock_name(&self.volumes.project, service);
                self.refused = !self.take_volume(service.as_str(), name, deadline, released.as_deref()).await?;
                if !self.refused {
                    self.keep();
                }
            }
        }
        Ok(())
    }

    /// Takes the upstream files that a plan writes, in a fixed order; to be called while its services are held. Waits at most so
    /// long for others.
    ///
    /// The services alone do not keep projects apart that share an nginx, nor two checkouts of one project. Which files they
    /// are is known only when nginx was looked at, so the caller looks once more whether they are as they were then.
    pub async fn take_files(&self, plan: &Plan, wait: Duration) -> Result<(), NotHeld> {
        if self.refused {
            return Ok(());
        }
        let files = plan.fronts().filter_map(|(service, front)| {
            Some((file_lock_name(front.place.as_deref()?, front.upstream(service)), front.file(service)))
        });
        let files: BTreeMap<String, String> = files.collect();
        let deadline = Instant::now() + wait;
        for (name, file) in files {
            if !self.volumes.has(&name) {
                self.take_volume(&file, name, deadline, None).await?;
            }
        }
        Ok(())
    }

    async fn take_file(&self, service: &ServiceName, deadline: Instant) -> Result<journal::Lock, NotHeld> {
        let me = &self.volumes.me;
        let mut told = false;
        loop {
            match self.folder.lock(service, &me.to_string(), &me.token) {
                Ok(lock) => return Ok(lock),
                Err(LockError::Failed(failure)) => return Err(failure.into()),
                Err(LockError::Busy(holder)) if Instant::now() >= deadline => {
                    return Err(NotHeld::Busy { what: service.to_string(), holder });
                }
                Err(LockError::Busy(holder)) => self.waits(&mut told, service.as_str(), &holder),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes the volume that stands for a service or a file. Answers false where the engine makes no volumes.
    async fn take_volume(
        &self,
        what: &str,
        name: String,
        deadline: Instant,
        released: Option<&str>,
    ) -> Result<bool, NotHeld> {
        let volumes = Arc::clone(&self.volumes);
        let (docker, me) = (&volumes.docker, &volumes.me);
        let labels = me.labels(&volumes.project);
        let began = Instant::now();
        let mut watch = Watch::default();
        let mut told = false;
        loop {
            let mark = match docker.mark(&name, &labels).await {
                Ok(mark) => mark,
                Err(NoMark::Unanswered(failure)) => return Err(failure.into()),
                Err(NoMark::Refused(failure)) => {
                    self.display.say(&format!(
                        "note: only this machine knows that `{what}` is being swapped, because the engine makes no \
                         volume that would tell others: {}",
                        failure.what
                    ));
                    return Ok(false);
                }
            };
            let Some(holder) = Holder::of(&mark.labels) else {
                return Err(Failure::new(format!("volume `{name}` stands for a lock, and swap did not make it"))
                    .hint(format!("if nobody needs it: `docker volume rm {name}`"))
                    .into());
            };
            let gone = if docker.is_local() { gone(me, &holder) } else { None };
            let mut evidence = Evidence { released, gone, silent: Duration::ZERO, sign: false };
            if holder.token != me.token && gone.is_none() {
                let seen = docker.marks(TOKEN, &holder.token).await?;
                let seen: BTreeSet<String> = seen.into_iter().map(|mark| mark.name).collect();
                (evidence.silent, evidence.sign) = watch.look(began.elapsed(), &holder.token, seen);
            }
            match judge(me, &holder, evidence) {
                Verdict::Mine => {
                    self.volumes.add(what.to_owned(), name);
                    return Ok(true);
                }
                Verdict::Dead => {
                    self.display.say(&format!("the run that held `{what}` is dead ({holder}): taking over"));
                    docker.unmark_all(TOKEN, &holder.token).await?;
                    continue;
                }
                Verdict::Lives if Instant::now() >= deadline => {
                    return Err(NotHeld::Busy { what: what.to_owned(), holder: holder.to_string() });
                }
                Verdict::Unknown if !told => {
                    told = true;
                    self.display.say(&format!("another run holds `{what}`: {holder}; looking whether it lives"));
                }
                Verdict::Lives | Verdict::Unknown => self.waits(&mut told, what, &holder.to_string()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn waits(&self, told: &mut bool, what: &str, holder: &str) {
        if !std::mem::replace(told, true) {
            self.display.note(&format!("another run holds `{what}`: {holder}"));
        }
    }

    /// Begins to show that we live.
    fn keep(&mut self) {
        if self.keeper.is_none() {
            let (stop, stopped) = oneshot::channel();
            self.keeper = Some((stop, tokio::spawn(keep(Arc::clone(&self.volumes), stopped))));
        }
    }

    /// Makes sure that nobody took us for dead; fails with who did. What somebody else pruned is made again.
    pub async fn still(&self) -> Result<(), Failure> {
        if self.volumes.recently_proven() { self.volumes.not_lost() } else { self.volumes.prove().await }
    }

    /// Tells whether the engine makes no volumes.
    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Lets go of everything. An engine that does not answer is not waited for: what stays there names a dead process.
    pub async fn release(mut self) {
        let keeper = self.keeper.take();
        let volumes = &self.volumes;
        let release = async {
            if let Some((stop, keeper)) = keeper {
                // Not aborted: what it has just asked for would be made after all is removed.
                let _ = stop.send(());
                // First the sign of life: a kill between them leaves a lock, which the next contender finds with all that
                // belongs to it; a sign without a lock would never be found.
                if let Ok(last @ 1..) = keeper.await {
                    let _ = volumes.docker.unmark(&beat_name(&volumes.me.token, last)).await;
                }
            }
            if !self.files.is_empty() && !self.refused {
                // Also what was asked for and given up.
                let _ = volumes.docker.unmark_all(TOKEN, &volumes.me.token).await;
            }
        };
        let _ = tokio::time::timeout(PARTING, release).await;
    }
}

/// The volumes of the services that are held.
#[derive(Debug)]
struct Volumes {
    docker: Docker,
    project: String,
    me: Holder,
    /// What is held, service or file, with the volume that stands for it.
    services: Mutex<Vec<(String, String)>>,
    /// When it was seen for the last time that they are ours.
    proven: Mutex<Option<Moment>>,
    /// When we gave the last sign of life.
    sign: Mutex<Option<Moment>>,
    /// Who took us for dead.
    lost: Mutex<Option<Failure>>,
}

impl Volumes {
    fn has(&self, name: &str) -> bool {
        locked(&self.services).iter().any(|(_, held)| held == name)
    }

    fn add(&self, what: String, name: String) {
        locked(&self.services).push((what, name));
        *locked(&self.proven) = Some(Moment::now());
        *locked(&self.sign) = Some(Moment::now());
    }

    fn recently_proven(&self) -> bool {
        locked(&self.proven).is_some_and(|then| then.elapsed() < PROVEN)
    }

    fn not_lost(&self) -> Result<(), Failure> {
        locked(&self.lost).clone().map_or(Ok(()), Err)
    }

    /// Asks the engine whether every service is still ours.
    async fn prove(&self) -> Result<(), Failure> {
        self.not_lost()?;
        let before = Moment::now();
        let services = locked(&self.services).clone();
        for (service, name) in services {
            let silent = locked(&self.sign).map_or(Duration::MAX, |then| then.elapsed());
            let seen = match self.docker.marked(&name).await {
                Ok(None) if silent < SILENCE => {
                    // Nobody can have taken us for dead already, so somebody pruned volumes.
                    self.docker.mark(&name, &self.me.labels(&self.project)).await.ok().map(Some)
                }
                seen => seen.ok(),
            };
            // An engine that does not answer refuses the effect itself.
            let Some(seen) = seen else { return Ok(()) };
            let holder = seen.as_ref().and_then(|mark| Holder::of(&mark.labels));
            let who = match (seen, holder) {
                (_, Some(holder)) if holder.token == self.me.token => continue,
                (_, Some(holder)) => holder.to_string(),
                (Some(mark), None) => format!("whoever made volume `{}`", mark.name),
                (None, None) => "a run that is over".to_owned(),
            };
            let failure = Failure::new(format!(
                "`{service}` was taken over by {who}: this process gave no sign of life for too long"
            ))
            .hint("`swap status` tells what serves now");
            *locked(&self.lost) = Some(failure.clone());
            return Err(failure);
        }
        *locked(&self.proven) = Some(before);
        Ok(())
    }
}

/// Shows again and again that we live, and looks whether anybody thinks otherwise. Returns the number of the last sign, 0 if
/// there was none.
async fn keep(volumes: Arc<Volumes>, mut stopped: oneshot::Receiver<()>) -> u64 {
    let labels = volumes.me.labels(&volumes.project);
    let token = &volumes.me.token;
    let mut number = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            _ = &mut stopped => return number,
        }
        if volumes.prove().await.is_err() {
            return number;
        }
        number += 1;
        let before = Moment::now();
        // A sign that can't be given is missed by those who watch, and the next one is not.
        if volumes.docker.mark(&beat_name(token, number), &labels).await.is_ok() {
            *locked(&volumes.sign) = Some(before);
        }
        let _ = volumes.docker.unmark(&beat_name(token, number - 1)).await;
    }
}

impl Site {
    /// Begins to hold services: nothing yet.
    pub fn hold_nothing(&self, display: &Display) -> Claim {
        Claim::nothing(self, display.clone())
    }

    /// Returns who holds each of these services now, on whatever machine; those that nobody holds are not in it.
    pub async fn holders(&self, services: &[ServiceName]) -> Result<BTreeMap<ServiceName, Holding>, Failure> {
        let marks = self.docker.marks(PROJECT, &self.project.name).await?;
        let marks: BTreeMap<&str, Holder> =
            marks.iter().filter_map(|mark| Some((mark.name.as_str(), Holder::of(&mark.labels)?))).collect();
        let me = this_process();
        let holding = |service: &ServiceName| {
            let holder = marks.get(lock_name(&self.project.name, service).as_str())?;
            let dead = self.docker.is_local() && gone(&me, holder) == Some(true);
            Some((service.clone(), Holding { dead, who: holder.to_string() }))
        };
        Ok(services.iter().filter_map(holding).collect())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns this process as others know it.
pub(crate) fn this_process() -> Holder {
    let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").map(|path| path.to_string_lossy().into_owned());
    Holder {
        token: os::token(),
        pid: std::process::id(),
        start: stat("self").map(|(start, _)| start).unwrap_or_default(),
        space: space.unwrap_or_default(),
        boot: boot.trim().to_owned(),
        node,
        user: user(),
        since: Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
    }
}

/// Returns who this is as the system's list of users names it, whatever the environment says. The list may not be there, as in
/// a container.
pub(crate) fn user() -> String {
    let id = rustix::process::geteuid();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id.as_raw())).then(|| name.to_owned())
    });
    if let Some(name) = named {
        return name;
    }
    match id {
        id if id.is_root() => "root".to_owned(),
        id => format!("uid {}", id.as_raw()),
    }
}

/// Tells whether the holder's process is gone; `None` where its pid means nothing here.
pub(crate) fn gone(me: &Holder, holder: &Holder) -> Option<bool> {
    if !me.shares_processes_with(holder) {
        return None;
    }
    let pid = Pid::from_raw(i32::try_from(holder.pid).ok()?)?;
    // Asks the kernel and not `/proc`, which may hide other users' processes.
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return Some(true);
    }
    // The pid may have been given again; a zombie is a process that has ended.
    stat(&holder.pid.to_string()).map(|(start, state)| start != holder.start || matches!(state, 'Z' | 'X'))
}

/// Returns when a process started, in ticks since the boot, and its state's letter.
fn stat(process: &str) -> Option<(u64, char)> {
    let words = os::stat(&Path::new("/proc").join(process))?;
    Some((words.get(19)?.parse().ok()?, words.first()?.chars().next()?))
}

/// A point in time from which a laptop's sleep counts, and a virtual machine's as soon as somebody has set its clock.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// Since the machine's boot, sleep included; the process's usual clock stands still while a laptop sleeps.
    awake: Option<Duration>,
    clock: Timestamp,
}

impl Moment {
    fn now() -> Self {
        let uptime = fs::read_to_string("/proc/uptime").ok();
        let awake = uptime.and_then(|uptime| uptime.split_whitespace().next()?.parse().ok());
        Self { awake: awake.map(Duration::from_secs_f64), clock: Timestamp::now() }
    }

    /// Returns the longest time that may have passed since.
    fn elapsed(self) -> Duration {
        let now = Self::now();
        let clock = Duration::try_from(now.clock.duration_since(self.clock)).unwrap_or_default();
        match (self.awake, now.awake) {
            (Some(then), Some(now)) => clock.max(now.saturating_sub(then)),
            _ => Duration::MAX,
        }
    }
}
