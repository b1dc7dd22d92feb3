//! When a candidate is healthy, and whether it stays so while it is watched.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::performer::Performer;
use crate::measure::probe::Probe;
use crate::model::{Check, Container, Ending, Failure, ServiceName};
use crate::plan::PlannedService;
use crate::run::{RunFacts, StepResult};
use crate::ui::front_door;
use crate::world::{Engine, Judge, Patience, Ports, Round};

/// The first pause between two rounds of checks. It grows by a quarter each time.
const FIRST_PAUSE: Duration = Duration::from_millis(3);
/// The longest pause between two rounds.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// So many rounds in a row must fail in the watch before a live candidate is judged bad.
const WATCH_FAILURES: u32 = 2;
/// The cure where a candidate may only be slow.
const LONGER: &str = "if it only needs longer, give it `--timeout 2m`, or `timeouts: { health: 2m }` in `x-swap`";
/// So many last lines of a container stand below a failure.
const LAST_LINES: usize = 15;
/// The pause between two rounds of the watch.
const WATCH_PAUSE: Duration = Duration::from_millis(250);

/// Waits until all candidates are healthy. Twice: a healthy candidate is healthy again.
pub(super) async fn await_healthy<P: Ports>(
    performer: &Performer<'_, P>,
    of: &PlannedService,
    facts: &RunFacts,
) -> Result<StepResult, Failure> {
    let each = facts.candidates(&of.name).iter().map(|candidate| async {
        let candidate = Candidate::new(performer, of, candidate, &of.checks).await?;
        candidate.until_healthy(of.successes, of.stays, of.health_timeout, facts).await
    });
    try_join_all(each).await?;
    Ok(StepResult::Nothing)
}

/// Asks all checks of the candidates once more, until they agree. Twice: a healthy candidate is healthy again.
pub(super) async fn still_healthy<P: Ports>(
    performer: &Performer<'_, P>,
    service: &ServiceName,
    facts: &RunFacts,
) -> Result<(), Failure> {
    let Some(of) = performer.planned(service) else { return Ok(()) };
    // That it has run for a while was seen when it became healthy.
    let checks: Vec<Check> = of.checks.iter().filter(|check| !matches!(check, Check::Running(_))).cloned().collect();
    let each = facts.candidates(service).iter().map(|candidate| async {
        let candidate = Candidate::new(performer, of, candidate, &checks).await?;
        // That it stays healthy was seen, too.
        candidate.until_healthy(1, Duration::ZERO, of.health_timeout, facts).await
    });
    try_join_all(each).await.map(drop)
}

/// Lets the live candidates run for a time and judges them. Twice: the time begins again.
pub(super) async fn watch<P: Ports>(
    performer: &Performer<'_, P>,
    of: &PlannedService,
    facts: &RunFacts,
) -> Result<StepResult, Failure> {
    let service = &of.name;
    let each = facts.candidates(service).iter().map(|candidate| async {
        let candidate = Candidate::new(performer, of, candidate, &of.checks).await?;
        candidate.watch(of.watch, facts).await
    });
    let shown = shown(performer, service, performer.probes.get(service));
    let probe = judging_probe(performer, service);
    let watched = tokio::select! {
        biased;
        never = shown => match never {},
        why = turns_bad(&performer.ports, probe) => Some(why),
        judged = try_join_all(each) => {
            judged?;
            let astray = astray(performer, service, facts).await;
            astray.or_else(|| probe?.worse_at_last(of.is_judged_by_probe_alone()))
        }
    };
    match watched {
        Some(why) => Err(front_door_failed(performer, service, why, facts).await),
        None => Ok(StepResult::Nothing),
    }
}

/// Asks for the probe's numbers once more where a watch was judged by them: the drain is over, so all requests go to the
/// candidates now.
pub(super) async fn still_well<P: Ports>(
    performer: &Performer<'_, P>,
    service: &ServiceName,
    facts: &RunFacts,
) -> Result<(), Failure> {
    let astray = astray(performer, service, facts).await;
    let watched = performer.planned(service).filter(|of| of.is_watched());
    let (Some(of), Some(probe)) = (watched, judging_probe(performer, service)) else { return Ok(()) };
    match astray.or_else(|| probe.worse_at_last(of.is_judged_by_probe_alone())) {
        Some(why) => Err(front_door_failed(performer, service, why, facts).await),
        None => Ok(()),
    }
}

/// Looks once more before the switch whether the probe will see anything, and how much the candidates have received until now.
pub(super) async fn before_switch<P: Ports>(
    performer: &Performer<'_, P>,
    service: &ServiceName,
    facts: &RunFacts,
) -> Result<(), Failure> {
    let Some(probe) = performer.probes.get(service) else { return Ok(()) };
    let alone = performer.planned(service).is_some_and(|of| of.is_watched() && of.is_judged_by_probe_alone());
    if alone && probe.unanswered() {
        let what = "nothing but the probe judges the watch, and none of its requests was answered before the switch";
        return Err(Failure::new(what).hint("`--watch 0s` swaps without a watch"));
    }
    if let Ok(packets) = received(performer.ports.engine(), facts.candidates(service)).await {
        probe.received_before(packets);
    }
    Ok(())
}

/// Returns why the answers since the switch are not the candidates', where that is sure.
async fn astray<P: Ports>(performer: &Performer<'_, P>, service: &ServiceName, facts: &RunFacts) -> Option<String> {
    let probe = performer.probes.get(service)?;
    let packets = received(performer.ports.engine(), facts.candidates(service)).await.ok()?;
    probe.received_since(packets)
}

/// Returns how many packets the containers have received, all together.
async fn received(engine: &impl Engine, containers: &[Container]) -> Result<u64, Failure> {
    let each = try_join_all(containers.iter().map(|container| engine.received(&container.id))).await?;
    Ok(each.into_iter().sum())
}

/// Returns the probe by whose numbers a watch is judged. Where a hook asks for them, that hook is their judge.
fn judging_probe<'a, P: Ports>(performer: &'a Performer<'_, P>, service: &ServiceName) -> Option<&'a Arc<Probe>> {
    performer.probes.get(service).filter(|_| !performer.ports.judge().weighs_numbers(service))
}

async fn front_door_failed<P: Ports>(
    performer: &Performer<'_, P>,
    service: &ServiceName,
    why: String,
    facts: &RunFacts,
) -> Failure {
    let mut tail = Vec::new();
    for candidate in facts.candidates(service) {
        tail.extend(performer.ports.engine().last_lines(&candidate.id, LAST_LINES).await.unwrap_or_default());
    }
    Failure::new(why).tail(tail)
}

/// Shows once a second what the front door answers.
async fn shown<P: Ports>(
    performer: &Performer<'_, P>,
    service: &ServiceName,
    probe: Option<&Arc<Probe>>,
) -> Infallible {
    let Some(probe) = probe else { return std::future::pending().await };
    loop {
        performer.display.meanwhile(|| front_door(&probe.probed(service)));
        performer.ports.sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until the front door is worse than before the switch, and returns why; for ever, where nobody measures it.
async fn turns_bad(ports: &impl Ports, probe: Option<&Arc<Probe>>) -> String {
    let Some(probe) = probe else { return std::future::pending().await };
    loop {
        if let Some(why) = probe.worse() {
            return why;
        }
        ports.sleep(WATCH_PAUSE).await;
    }
}

/// Judges one candidate.
struct Candidate<'a, P: Ports> {
    performer: &'a Performer<'a, P>,
    container: &'a Container,
    /// All that is asked of it.
    checks: <P::Judge as Judge>::Checks,
    /// When that began.
    began: Duration,
}

impl<'a, P: Ports> Candidate<'a, P> {
    async fn new(
        performer: &'a Performer<'a, P>,
        of: &PlannedService,
        container: &'a Container,
        checks: &[Check],
    ) -> Result<Self, Failure> {
        let checks = performer.ports.judge().checks(&of.name, container, checks, of.port, &of.fronts).await?;
        Ok(Self { performer, container, checks, began: performer.ports.now() })
    }

    fn ports(&self) -> &P {
        &self.performer.ports
    }

    /// Polls until enough rounds in a row say healthy and it has stayed so; ends at once if the candidate does, or was restarted.
    async fn until_healthy(
        &self,
        successes: u32,
        stays: Duration,
        timeout: Duration,
        facts: &RunFacts,
    ) -> Result<(), Failure> {
        // It must be healthy by then; what comes after that is the proof that it stays so.
        let deadline = self.began + timeout + stays;
        let mut last = String::from("the first check was not over");
        let polled = tokio::select! {
            biased;
            ending = self.ends() => return Err(self.ended(ending?).await),
            polled = self.poll((successes, stays, timeout), facts, &mut last) => Some(polled),
            () = self.until(deadline) => None,
        };
        match polled {
            Some(result) => result,
            None => Err(Failure::new(format!(
                "candidate `{}` not healthy after {}: {}",
                self.container.name,
                humantime::format_duration(timeout),
                // A hook that hangs keeps all others from being asked again.
                self.ports().judge().pending(&self.checks).unwrap_or(last)
            ))
            .hint(LONGER)
            .tail(self.last_lines().await)),
        }
    }

    async fn poll(
        &self,
        (successes, stays, timeout): (u32, Duration, Duration),
        facts: &RunFacts,
        last: &mut String,
    ) -> Result<(), Failure> {
        let (mut row, mut attempt, mut pause) = (0, 0, FIRST_PAUSE);
        let mut healthy_since = None;
        loop {
            attempt += 1;
            let wait = match self.round(Patience::Starting { timeout }, facts).await {
                Round::Fatal(failure) => return Err(failure),
                Round::Healthy => {
                    row += 1;
                    let now = self.ports().now();
                    let stayed = now - *healthy_since.get_or_insert(now);
                    match row >= successes {
                        true if stayed >= stays => return Ok(()),
                        // Nothing is to be seen in between: its end is told as it happens.
                        true => Some(stays - stayed),
                        false => None,
                    }
                }
                Round::NotYet(why, wait) => {
                    (row, healthy_since) = (0, None);
                    self.performer.display.note(&format!("{}: not yet: {why}, attempt {attempt}", self.container.name));
                    *last = why;
                    wait
                }
            };
            self.ports().sleep(wait.unwrap_or(pause)).await;
            pause = (pause * 5 / 4).min(LONGEST_PAUSE);
        }
    }

    /// Judges a live candidate for a time; nothing but the end of the time is good news.
    ///
    /// The time ends with a round that began after the switch and went well. A round that is under way by then is waited
    /// for: what hangs would else pass.
    async fn watch(&self, time: Duration, facts: &RunFacts) -> Result<(), Failure> {
        let end = self.ports().now() + time;
        let judged = async {
            let mut bad = 0;
            loop {
                match self.round(Patience::Live, facts).await {
                    Round::Healthy => bad = 0,
                    Round::Fatal(failure) => return Err(failure),
                    Round::NotYet(why, _) => {
                        bad += 1;
                        self.performer.display.note(&format!("{}: {why}", self.container.name));
                        if bad >= WATCH_FAILURES {
                            let what = format!("live candidate `{}` became unhealthy: {why}", self.container.name);
                            return Err(Failure::new(what).tail(self.last_lines().await));
                        }
                    }
                }
                let next = self.ports().now() + WATCH_PAUSE;
                if bad == 0 && next >= end {
                    self.until(end).await;
                    return Ok(());
                }
                self.until(next).await;
            }
        };
        tokio::select! {
            biased;
            ending = self.ends() => Err(self.ended(ending?).await),
            judged = judged => judged,
        }
    }

    /// Asks all that is asked of it once.
    async fn round(&self, patience: Patience, facts: &RunFacts) -> Round {
        self.ports().judge().round(&self.checks, patience, facts).await
    }

    async fn until(&self, then: Duration) {
        self.ports().sleep(then.saturating_sub(self.ports().now())).await;
    }

    async fn ends(&self) -> Result<Ending, Failure> {
        // Also one that ended and came back before anybody looked: what dies at its start will die again.
        self.ports().judge().ends(self.container).await
    }

    async fn ended(&self, ending: Ending) -> Failure {
        let failure =
            Failure::new(format!("candidate `{}` {ending}", self.container.name)).tail(self.last_lines().await);
        match ending {
            Ending::Gone => failure.hint("somebody removed it; was `docker compose up` or `down` run meanwhile?"),
            _ => failure,
        }
    }

    async fn last_lines(&self) -> Vec<String> {
        self.ports().engine().last_lines(&self.container.id, LAST_LINES).await.unwrap_or_default()
    }
}
