//! Noticing that the token's file is another one, so that what blocks with the old token is asked again.
//!
//! A query that blocks was let in once, and Consul does not look at its token again until something changes: one with more
//! rights would show no more for minutes, and one that was revoked would go on. So all questions are asked anew, those that
//! block too. What is given up keeps its place among Consul's connections until its wait is over, so this is done a few times
//! a minute at most.

use std::{
    io,
    path::Path,
    rc::Weak,
    time::{Duration, Instant},
};

use smol::{Async, Timer};
use sys::inotify::Watch;

use super::lanes::Lanes;
use crate::token;

/// Watches the file for as long as there are lanes.
pub(super) async fn watch(lanes: Weak<Lanes>) {
    let file = |lanes: &Lanes| lanes.client().token_file().map(Path::to_owned);
    let Some(path) = lanes.upgrade().as_deref().and_then(file) else {
        return;
    };
    let mut known = token::version(&path).ok();
    let mut given_up = (0, Instant::now());
    loop {
        // Before the file is looked at, so that no change falls in between.
        let noticed = Watch::new(&[&path]).and_then(Async::new);
        let now = token::version(&path).ok();
        if now.is_some() && now != known {
            let Some(lanes) = lanes.upgrade() else {
                return;
            };
            if lanes.client().has_token() {
                known = now;
                if given_up.1.elapsed() > AGAIN {
                    given_up = (0, Instant::now());
                }
                given_up.0 += lanes.start_over();
                drop(lanes);
                if given_up.0 > MOST {
                    Timer::after(AGAIN).await;
                    continue;
                }
            }
        }
        match change(noticed).await {
            Ok(()) => drop(Timer::after(SETTLE).await),
            Err(_) => drop(Timer::after(LOOK).await),
        }
        if lanes.strong_count() == 0 {
            return;
        }
    }
}

async fn change(watch: io::Result<Async<Watch>>) -> io::Result<()> {
    let watch = watch?;
    loop {
        watch.readable().await?;
        if watch.get_ref().drain()? {
            return Ok(());
        }
    }
}

/// A file that is written in several steps is done within this.
const SETTLE: Duration = Duration::from_millis(50);

/// Where changes are not told, as in a folder that is not there yet.
const LOOK: Duration = Duration::from_secs(5);

/// As long as the shortest waits.
const AGAIN: Duration = Duration::from_secs(60);

/// Queries that are given up within that time before it is waited: a third of what Consul allows an address.
const MOST: usize = 64;
