//! What the operator wants of what is under way, told by signals.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::executor::{Wish, Wishes};
use crate::model::Failure;

/// Takes SIGINT, SIGTERM and SIGHUP from now on for wishes, instead of dying of them.
pub(super) fn listen() -> Result<Wishes, Failure> {
    let (sender, wishes) = watch::channel(Wish::GoOn);
    for (name, kind) in
        [("SIGINT", SignalKind::interrupt()), ("SIGTERM", SignalKind::terminate()), ("SIGHUP", SignalKind::hangup())]
    {
        let mut stream = signal(kind).map_err(|error| Failure::new(format!("can't listen to {name}: {error}")))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                sender.send_modify(|wish| *wish = wish.and(name));
            }
        });
    }
    Ok(wishes)
}
