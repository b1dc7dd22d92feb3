//! Where the simulated world's misfortunes come from: nowhere, a seed, or a list that is gone through exhaustively.

use super::foreign::Foreign;

/// What can go wrong at one point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// swap is killed here.
    Crash,
    /// swap is killed after the write that is about to happen.
    CrashAfter,
    /// What is under way fails here, half done.
    Fail,
    /// What is under way fails here, and so do all calls of its kind until swap is started again.
    FailForGood,
    /// The disk takes no journal any more until swap is started again.
    DiskFull,
    /// swap slept, and another run has taken it for dead.
    LosesLock,
    /// A signal comes.
    Signal,
    /// What is under way takes a while, in which others go on.
    Waits,
    /// Somebody else does something.
    Foreign(Foreign),
}

/// The source of faults and of everything else that is not determined.
pub(crate) enum Chance {
    /// Nothing goes wrong.
    Calm,
    /// Drawn from a seed.
    Random {
        /// The generator.
        rng: fastrand::Rng,
        /// How many points pass until the next fault.
        countdown: u32,
    },
    /// Exactly these: at which point which of the options.
    Script {
        /// The faults, by point.
        faults: Vec<(usize, usize)>,
        /// How many options each point so far had.
        seen: Vec<usize>,
    },
}

impl Chance {
    /// Draws from a seed. Some runs have many faults and some have none.
    pub(crate) fn seeded(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let countdown = rng.u32(0..120);
        Self::Random { rng, countdown }
    }

    /// Exactly the given faults.
    pub(crate) fn script(faults: Vec<(usize, usize)>) -> Self {
        Self::Script { faults, seen: Vec::new() }
    }

    /// Returns what goes wrong at this point, if anything does.
    pub(crate) fn fault(&mut self, options: &[Fault]) -> Option<Fault> {
        match self {
            Self::Calm => None,
            Self::Random { rng, countdown } => {
                if *countdown > 0 {
                    *countdown -= 1;
                    return None;
                }
                *countdown = if rng.u8(0..3) == 0 { rng.u32(0..4) } else { rng.u32(0..150) };
                rng.choice(options).copied()
            }
            Self::Script { faults, seen } => {
                seen.push(options.len());
                let here = seen.len() - 1;
                faults.iter().find(|(point, _)| *point == here).and_then(|(_, option)| options.get(*option)).copied()
            }
        }
    }

    /// Returns a number below the limit; 0 where nothing is random.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        match self {
            Self::Random { rng, .. } if limit > 0 => rng.usize(0..limit),
            _ => 0,
        }
    }
}
