//! What a run needs of the world, as a trait: the tests replace Docker, compose and nginx by a simulated one.

use std::future::Future;
use std::time::Duration;

use crate::model::Failure;
use crate::plan::Step;
use crate::run::{Facts, Learnt};

/// What can perform steps: [`Live`](crate::perform::Live), or the tests' simulated world.
pub trait World {
    /// Performs one step; every step may be performed twice.
    ///
    /// The future may be dropped where [`Step::interruptible`] says so; the run is then unwound.
    fn perform(&self, step: &Step, facts: &Facts) -> impl Future<Output = Result<Learnt, Failure>>;

    /// Makes sure that the run still holds its services; fails with who has them now.
    ///
    /// Asked before every effect: a process that slept may have been taken for dead.
    fn holds(&self) -> impl Future<Output = Result<(), Failure>>;

    /// Waits before an undo that failed is tried again.
    fn pause(&self, time: Duration) -> impl Future<Output = ()>;
}
