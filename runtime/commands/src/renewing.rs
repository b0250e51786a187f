//! Early renewal of a sidecar's leaf, and what is said of it.

use std::{cell::OnceCell, fmt::Display, time::Duration};

use consul::{
    Follower, Watches,
    renewal::{self, Renewed},
};
use proxy::Clock;
use smol::{Timer, future};

use crate::{
    log::Log,
    wanted::{Role, Wanted},
};

/// How often it is looked whether anything is known yet.
const LOOK: Duration = Duration::from_secs(1);

/// Renews the leaf early, where there is a leaf and another address to have one from. Never ends.
pub(crate) async fn keep(
    follower: &OnceCell<Follower>,
    wanted: &Wanted,
    watches: &Watches,
    clock: Option<&Clock>,
    log: &Log,
) {
    let (Some(clock), true, Role::Sidecar) = (clock, watches.client().has_others(), wanted.role)
    else {
        return future::pending().await;
    };
    let follower = loop {
        if let Some(follower) = follower.get() {
            break follower;
        }
        Timer::after(LOOK).await;
    };
    renewal::keep(follower, watches.client(), &|| clock.seconds(), |renewed| {
        let proxy: (&str, &dyn Display) = ("proxy", &wanted.name);
        match renewed {
            Renewed::By(seconds) => {
                log.info(
                    "leaf_renewed",
                    &[proxy, ("ends_later_by_seconds", &seconds)],
                );
            }
            Renewed::No(Some(error)) => log.info("leaf_not_renewed", &[proxy, ("error", &error)]),
            Renewed::No(None) => {
                let detail = "no other address has one that ends later";
                log.info("leaf_not_renewed", &[proxy, ("detail", &detail)]);
            }
        }
    })
    .await;
}
