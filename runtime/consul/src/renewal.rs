//! Leaves that are renewed before Consul would.
//!
//! An agent renews a leaf at a random point between 60 and 90 % of its life, gives the same one to whoever asks before, and no
//! request makes it do otherwise (seen on 1.8.7 and 1.21.4: `Cache-Control` changes nothing). So an outage may find a leaf with a
//! tenth of its life left. But each agent and each server has leaves of its own: where several addresses are given, one that is past
//! half of its life is asked of the next address, which as a rule has made none yet, or one that is newer. What comes is taken
//! only if it ends later. So an outage finds half of the leaf's life, or more.
//! <https://developer.hashicorp.com/consul/api-docs/agent/connect#service-leaf-certificate>

use std::time::Duration;

use smol::Timer;

use crate::{Client, Error, Follower, Question, Request, Source, answers::authority, times};

/// What an early renewal came to.
#[derive(Debug)]
pub enum Renewed {
    /// Another address gave a leaf that ends later: by so many seconds.
    By(u64),
    /// None did; the last one's reason, if it was one.
    No(Option<Error>),
}

/// Renews the leaf of a follower early for as long as this is polled, and tells of each try. `now` gives the time in seconds
/// since 1970.
pub async fn keep(
    follower: &Follower,
    client: &Client,
    now: &dyn Fn() -> u64,
    mut tell: impl FnMut(Renewed),
) {
    loop {
        let pause = match leaf(follower) {
            None => UNKNOWN,
            Some((_, from, until)) if now() < from + (until - from) / 2 => {
                let half = from + (until - from) / 2;
                Duration::from_secs(half.saturating_sub(now()))
            }
            Some((question, from, until)) => {
                tell(renew(follower, client, &question, until).await);
                Duration::from_secs((until - from) / PARTS).max(SHORTEST)
            }
        };
        Timer::after(pause.min(LONGEST)).await;
    }
}

/// Asks the other addresses, until one has a leaf that ends later than this.
async fn renew(follower: &Follower, client: &Client, question: &Question, until: u64) -> Renewed {
    let request = Request {
        method: "GET",
        path: &question.path(),
        body: None,
        within: PATIENCE,
    };
    let mut why = None;
    for nth in 1..client.addresses() {
        // Boxed: it is large, and there are days between two.
        let fetch = Box::pin(client.fetch_elsewhere(nth, request, MAX_LEAF_BYTES));
        match fetch.await {
            Ok(body) => {
                let end = authority::leaf(&body).ok();
                let end = end.and_then(|leaf| times::seconds(&leaf.valid_before));
                if let Some(end) = end.filter(|end| *end > until) {
                    follower.offer(question, &body);
                    return Renewed::By(end - until);
                }
            }
            Err(error) => why = Some(error),
        }
    }
    Renewed::No(why)
}

/// What is asked for the leaf, and when it begins and ends.
fn leaf(follower: &Follower) -> Option<(Question, u64, u64)> {
    follower.with_source(|source| {
        let Source::Sidecar(sidecar) = source else {
            return None;
        };
        let (service, leaf) = sidecar.leaf()?;
        let from = times::seconds(&leaf.valid_after)?;
        let until = times::seconds(&leaf.valid_before).filter(|until| *until > from)?;
        let service = service.to_owned();
        Some((Question::Leaf { service }, from, until))
    })
}

/// Until something is known.
const UNKNOWN: Duration = Duration::from_secs(2);

/// A try is made so many times in a leaf's life: every three hours with Consul's usual three days.
const PARTS: u64 = 24;

/// For leaves of short lives, of which Consul allows an hour.
const SHORTEST: Duration = Duration::from_secs(60);

/// The clock may be set meanwhile.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// A server makes a certificate in milliseconds, and in 7 s when there is a new leader.
const PATIENCE: Duration = Duration::from_secs(15);

/// A chain of some certificates and a key.
const MAX_LEAF_BYTES: usize = 256 * 1024;
