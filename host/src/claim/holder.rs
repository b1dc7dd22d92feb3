//! Who holds a service, and whether he still lives. Pure: what was seen comes from the caller.
//!
//! A process that was killed lets go of nothing, and one that sleeps can't say that it lives. So a holder is dead where
//! that is proven, or where he has given no sign for [`SILENCE`] while the engine answered; and whoever holds asks, before each effect, whether he
//! was taken for dead ([`super::lock`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::ServiceName;
use crate::text::printable;

/// How often a holder gives a sign.
pub(crate) const BEAT: Duration = Duration::from_secs(3);

/// After so long without a sign, counted while the engine answers, a holder is dead.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// The longest time between two looks that counts as silence. While the engine gives no answer, the holder can give no sign.
const GLANCE: Duration = Duration::from_millis(500);

/// The label that all volumes of one holder have, and no others.
pub(crate) const TOKEN: &str = "swap.token";

/// The label that tells the project of every volume of swap's.
pub(crate) const PROJECT: &str = "swap.project";

/// The longest name that is a volume's as it is; it becomes a folder's on the engine's machine.
const LONGEST_NAME: usize = 200;

/// A process that holds services, or wants to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// What no other holder has.
    pub token: String,
    /// Its process, as its own machine knows it.
    pub pid: u32,
    /// When that process started, in ticks since its machine's boot.
    pub start: u64,
    /// The process namespace in which the pid means something.
    pub space: String,
    /// The boot of its machine.
    pub boot: String,
    /// The machine's name.
    pub node: String,
    /// Who runs it.
    pub user: String,
    /// When it took the service, as RFC 3339.
    pub since: String,
}

impl Holder {
    /// Returns what the volumes of this holder say.
    pub(crate) fn labels(&self, project: &str) -> BTreeMap<String, String> {
        let (pid, start) = (self.pid.to_string(), self.start.to_string());
        let labels = [
            (PROJECT, project),
            (TOKEN, &self.token),
            ("swap.pid", &pid),
            ("swap.start", &start),
            ("swap.space", &self.space),
            ("swap.boot", &self.boot),
            ("swap.node", &self.node),
            ("swap.user", &self.user),
            ("swap.since", &self.since),
        ];
        labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// Reads what a volume says; `None` if no swap made it.
    pub(crate) fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        let text = |key: &str| labels.get(key).cloned().unwrap_or_default();
        let token = labels.get(TOKEN).filter(|token| !token.is_empty())?.clone();
        Some(Self {
            token,
            pid: text("swap.pid").parse().unwrap_or_default(),
            start: text("swap.start").parse().unwrap_or_default(),
            space: text("swap.space"),
            boot: text("swap.boot"),
            node: text("swap.node"),
            user: text("swap.user"),
            since: text("swap.since"),
        })
    }

    /// Tells whether the other's pid means the same process here.
    pub(crate) fn shares_processes_with(&self, other: &Holder) -> bool {
        let known = [&self.boot, &self.space].iter().all(|text| !text.is_empty());
        known && (&self.boot, &self.space, &self.node) == (&other.boot, &other.space, &other.node)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, user, node, since, .. } = self;
        write!(f, "pid {pid} of {} on {} since {}", printable(user), printable(node), printable(since))
    }
}

/// What a contender knows of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evidence<'a> {
    /// Who held the file beside the journal last; we hold it now, so he does no more.
    pub released: Option<&'a str>,
    /// Whether the holder's process is gone; `None`: nobody here can tell.
    pub gone: Option<bool>,
    /// How long ago a sign was seen for the last time, or else how long nothing was seen.
    pub silent: Duration,
    /// Whether a sign was seen at all.
    pub sign: bool,
}

/// What a contender makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is us.
    Mine,
    /// He lives: wait, or go.
    Lives,
    /// He is dead: what he held is free.
    Dead,
    /// Nobody knows yet: look again.
    Unknown,
}

/// Returns whether the service is ours, held or free.
pub(crate) fn judge(me: &Holder, holder: &Holder, evidence: Evidence<'_>) -> Verdict {
    if holder.token == me.token {
        return Verdict::Mine;
    }
    if evidence.released == Some(holder.token.as_str()) {
        return Verdict::Dead;
    }
    match evidence.gone {
        Some(true) => Verdict::Dead,
        // He may be suspended, and will go on.
        Some(false) => Verdict::Lives,
        None if evidence.silent >= SILENCE => Verdict::Dead,
        None if evidence.sign => Verdict::Lives,
        None => Verdict::Unknown,
    }
}

/// Looks at a holder's volumes again and again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    volumes: BTreeSet<String>,
    token: String,
    /// When the engine answered for the last time.
    looked: Duration,
    silent: Duration,
    sign: bool,
}

impl Watch {
    /// Notes which volumes the engine says that the holder has `now`, and returns how long he has been silent and whether a
    /// sign was seen.
    ///
    /// A holder that lives makes a new one at every [`BEAT`]. Only looks that were answered count, each for no longer than
    /// [`GLANCE`]: while the engine is away, or so slow that nothing is known of the time between, nobody is silent.
    pub(crate) fn look(&mut self, now: Duration, token: &str, volumes: BTreeSet<String>) -> (Duration, bool) {
        if self.token != token {
            *self = Self { volumes, token: token.to_owned(), looked: now, silent: Duration::ZERO, sign: false };
        } else if self.volumes != volumes {
            (self.volumes, self.silent, self.sign) = (volumes, Duration::ZERO, true);
        } else {
            self.silent += now.saturating_sub(self.looked).min(GLANCE);
        }
        self.looked = now;
        (self.silent, self.sign)
    }
}

/// Returns the name of the volume that stands for a service. Whoever's labels it has holds the service.
pub(crate) fn lock_name(project: &str, service: &ServiceName) -> String {
    let plain = format!("swap-lock.{project}.{service}");
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    // A project's name has no dot, so two services never share a name.
    if plain.len() <= LONGEST_NAME && project.chars().all(allowed) {
        return plain;
    }
    let digest = Sha256::digest(format!("{project}\0{service}"));
    format!("swap-lock.{}", hex::encode(&digest[..20]))
}

/// Returns the name of the volume that stands for an upstream file, by where it is on the engine's machine. Projects that share
/// an nginx write into one folder, and two checkouts of one project may: whoever's labels it has may write that file.
pub(crate) fn file_lock_name(place: &str, upstream: &ServiceName) -> String {
    let digest = Sha256::digest(format!("{place}\0{upstream}"));
    // No project's name holds a dot before its service, so this is no service's lock.
    format!("swap-lock-file.{}", hex::encode(&digest[..20]))
}

/// Returns the name of a holder's sign of life.
pub(crate) fn beat_name(token: &str, number: u64) -> String {
    format!("swap-beat.{token}.{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(token: &str) -> Holder {
        Holder {
            token: token.into(),
            pid: 7,
            start: 70,
            space: "pid:[4026531836]".into(),
            boot: "5ca1ab1e".into(),
            node: "laptop".into(),
            user: "ann".into(),
            since: "2026-01-31T15:45:02Z".into(),
        }
    }

    const NOTHING: Evidence<'static> = Evidence { released: None, gone: None, silent: Duration::ZERO, sign: false };

    #[track_caller]
    fn check(evidence: Evidence<'_>, expected: Verdict) {
        assert_eq!(judge(&holder("me"), &holder("other"), evidence), expected);
        assert_eq!(judge(&holder("other"), &holder("other"), evidence), Verdict::Mine);
    }

    #[test]
    fn a_holder_is_dead_only_where_that_is_proven_or_after_silence() {
        check(NOTHING, Verdict::Unknown);
        check(Evidence { released: Some("another"), ..NOTHING }, Verdict::Unknown);
        check(Evidence { released: Some("other"), ..NOTHING }, Verdict::Dead);
        check(Evidence { gone: Some(true), ..NOTHING }, Verdict::Dead);
        check(Evidence { silent: SILENCE - Duration::from_millis(1), ..NOTHING }, Verdict::Unknown);
        check(Evidence { silent: SILENCE, ..NOTHING }, Verdict::Dead);
        check(Evidence { sign: true, ..NOTHING }, Verdict::Lives);
        check(Evidence { sign: true, silent: SILENCE, ..NOTHING }, Verdict::Dead);
        // A process of this machine that is suspended gives no sign, and is there.
        check(Evidence { gone: Some(false), silent: SILENCE * 9, ..NOTHING }, Verdict::Lives);
    }

    #[test]
    fn a_change_is_a_sign_and_another_holder_is_watched_anew() {
        let mut watch = Watch::default();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let ms = Duration::from_millis;
        assert_eq!(watch.look(ms(1000), "a", set(&["l"])), (ms(0), false));
        assert_eq!(watch.look(ms(1100), "a", set(&["l"])), (ms(100), false));
        assert_eq!(watch.look(ms(1400), "a", set(&["l"])), (ms(400), false));
        assert_eq!(watch.look(ms(1500), "a", set(&["l", "beat.1"])), (ms(0), true));
        assert_eq!(watch.look(ms(1700), "a", set(&["l", "beat.1"])), (ms(200), true));
        assert_eq!(watch.look(ms(1800), "b", set(&["l"])), (ms(0), false));
    }

    #[test]
    fn while_the_engine_is_away_nobody_is_taken_for_dead() {
        let mut watch = Watch::default();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let dead = |(silent, sign)| {
            judge(&holder("me"), &holder("other"), Evidence { silent, sign, ..NOTHING }) == Verdict::Dead
        };
        let (ms, mut now) = (Duration::from_millis, Duration::ZERO);
        watch.look(now, "other", set(&["l", "beat.1"]));
        // Three looks in a row get their answer only after the engine was away, 30 s each time.
        for _ in 0..3 {
            now += ms(30_000);
            assert!(!dead(watch.look(now, "other", set(&["l", "beat.1"]))));
        }
        // A second after the engine is back the holder beats again.
        now += ms(1000);
        assert!(!dead(watch.look(now, "other", set(&["l", "beat.2"]))));
        // From then on the engine answers, and he has died.
        let mut looks = 0;
        while !dead(watch.look(now, "other", set(&["l", "beat.2"]))) {
            (now, looks) = (now + ms(100), looks + 1);
        }
        assert_eq!(looks, 100);
    }

    #[test]
    fn labels_tell_all_of_a_holder() {
        assert_eq!(Holder::of(&holder("a").labels("demo")), Some(holder("a")));
        assert_eq!(Holder::of(&BTreeMap::from([("swap.pid".to_owned(), "7".to_owned())])), None);
        let evil = Holder { user: "a\u{1b}[2J".into(), node: "b\nc".into(), ..holder("a") };
        assert_eq!(evil.to_string(), "pid 7 of a\\u{1b}[2J on b\\nc since 2026-01-31T15:45:02Z");
    }

    #[test]
    fn a_pid_means_the_same_only_in_one_boot_and_one_namespace() {
        let me = holder("me");
        assert!(me.shares_processes_with(&holder("other")));
        assert!(!me.shares_processes_with(&Holder { space: "pid:[4026532201]".into(), ..holder("other") }));
        assert!(!me.shares_processes_with(&Holder { boot: "another".into(), ..holder("other") }));
        let unknown = Holder { boot: String::new(), ..holder("x") };
        assert!(!unknown.shares_processes_with(&unknown));
    }

    #[test]
    fn names_of_volumes_are_legal_and_differ() {
        let name = |project: &str, service: &str| lock_name(project, &service.parse().unwrap());
        assert_eq!(name("demo", "app"), "swap-lock.demo.app");
        let digest = name("dé mo", "app");
        assert!(digest.starts_with("swap-lock.") && digest.is_ascii() && digest.len() == 50, "{digest}");
        assert_ne!(digest, name("dé mo", "app2"));
        assert_eq!(name(&"p".repeat(300), "app").len(), 50);
        let file = |place: &str, upstream: &str| file_lock_name(place, &upstream.parse().unwrap());
        assert_eq!(file("/srv/edge/swap", "app").len(), 55);
        assert_eq!(file("/srv/edge/swap", "app"), file("/srv/edge/swap", "app"));
        assert_ne!(file("/srv/edge/swap", "app"), file("/srv/edge/swap", "api"));
        assert_ne!(file("/srv/edge/swap", "app"), file("/srv/edge/other", "app"));
    }
}
