//! The workers of nginx: which ones are present, and whether those of a former generation have gone.

use std::time::{Duration, Instant};

use super::super::Shell;
use super::super::workers::{self, Present};
use super::super::workers::{Generation, Process};
use super::{Nginx, Proxy, cut};
use crate::model::Failure;

/// A worker of a former generation that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    /// The worker.
    pub process: Process,
    /// Whether it takes no new connection any more. The master tells its old workers 100 ms after the new ones came.
    pub leaving: bool,
}

impl<S: Shell> Proxy<S> {
    /// Returns nginx's present workers; waits while others reload it. `None`: its master is gone.
    pub async fn generation(&self, nginx: &Nginx) -> Result<Option<Generation>, Failure> {
        let (began, patience) = (Instant::now(), nginx.patience(self.patience));
        loop {
            let output = self.run(&format!("workers {}\n", nginx.master.pid)).await?;
            match workers::read(&output.stdout) {
                Present::Settled(generation) if generation.master == nginx.master => return Ok(Some(generation)),
                Present::Unsettled if began.elapsed() < patience => {}
                _ => return Ok(None),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the workers of a former generation that still run; none means that its containers are safe to stop.
    ///
    /// Asks the processes themselves, so that a new master, a restart or a pid that was given again deceives nobody.
    /// Fails only when the shell does: a container that is gone has taken its workers with it.
    pub async fn drained(&self, generation: &Generation) -> Result<Vec<Worker>, Failure> {
        let pids: Vec<String> = generation.workers.iter().map(|worker| worker.pid.to_string()).collect();
        let output = self.run(&format!("running {}\n", pids.join(" "))).await?;
        let lines: Vec<&str> = output.stdout.lines().collect();
        let (Some(boot), Some(&"end")) = (lines.first().and_then(|line| line.strip_prefix("boot ")), lines.last())
        else {
            return Err(cut(&output));
        };
        if boot != generation.boot {
            return Ok(Vec::new());
        }
        let worker = |line: &&str| {
            let mut words = line.split(' ');
            let process = Process { pid: words.next()?.parse().ok()?, start: words.next()?.parse().ok()? };
            Some(Worker { process, leaving: words.next() == Some("leaving") })
        };
        let running = lines.iter().filter_map(worker);
        Ok(running.filter(|worker| generation.workers.contains(&worker.process)).collect())
    }

    /// Waits until no worker of a former generation runs. Fails when time is up, naming those that stay.
    ///
    /// `on_wait` sees who is left each time that changes.
    pub async fn await_drained(
        &self,
        generation: &Generation,
        timeout: Duration,
        mut on_wait: impl FnMut(&[Worker]),
    ) -> Result<(), Failure> {
        let mut told = usize::MAX;
        let left = self
            .poll(generation, timeout, |left| {
                if left.len() != told && !left.is_empty() {
                    told = left.len();
                    on_wait(left);
                }
                left.is_empty()
            })
            .await?;
        if left.is_empty() {
            return Ok(());
        }
        let pids: Vec<String> = left.iter().map(|worker| worker.process.pid.to_string()).collect();
        Err(Failure::new(format!(
            "old nginx workers ({}) still have requests of the old container after {}",
            pids.join(", "),
            humantime::format_duration(timeout)
        ))
        .hint(
            "give `timeouts: { drain: … }` more time, or set `client_header_timeout` lower if connections are silent",
        ))
    }

    /// Waits until no worker of a former generation takes new connections, about 100 ms after the switch; tells whether
    /// it came to that. From then on every new connection gets the candidate.
    pub async fn await_turned(&self, generation: &Generation, timeout: Duration) -> Result<bool, Failure> {
        let turned = |left: &[Worker]| left.iter().all(|worker| worker.leaving);
        Ok(turned(&self.poll(generation, timeout, turned).await?))
    }

    async fn poll(
        &self,
        generation: &Generation,
        timeout: Duration,
        mut enough: impl FnMut(&[Worker]) -> bool,
    ) -> Result<Vec<Worker>, Failure> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(5);
        loop {
            let left = self.drained(generation).await?;
            let passed = began.elapsed();
            if enough(&left) || passed >= timeout {
                return Ok(left);
            }
            tokio::time::sleep(pause.min(timeout - passed)).await;
            pause = (pause * 5 / 4).min(Duration::from_millis(50));
        }
    }
}
