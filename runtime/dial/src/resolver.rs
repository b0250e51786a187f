//! One resolution: the hosts file, then the nameservers, both families at once.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;
use std::time::Duration;

use smol::lock::Semaphore;
use smol::{Timer, future};
use wire::dns::{self, Family, HostName};

use crate::{Answer, Config, Error, Failure, Pace, exchange};

/// Resolves names as the system's files or a [`Config`] say.
#[derive(Debug)]
pub struct Resolver {
    /// `None` reads the system's for each resolution.
    config: Option<Config>,
    pub(crate) pace: Pace,
    under_way: Semaphore,
}

impl Resolver {
    /// Asks whom `/etc/resolv.conf` names, after `/etc/hosts`.
    #[must_use]
    pub fn of_system() -> Self {
        Self {
            config: None,
            pace: Pace::default(),
            under_way: Semaphore::new(MAX_RESOLUTIONS),
        }
    }

    /// Asks whom `config` names, at the pace given.
    #[must_use]
    pub fn new(config: Config, pace: Pace) -> Self {
        Self {
            config: Some(config),
            pace,
            under_way: Semaphore::new(MAX_RESOLUTIONS),
        }
    }

    /// The addresses of `name` in both families, asked for now.
    ///
    /// The hosts file goes first, then `localhost` and names under it are this host (RFC 6761
    /// section 6.3), then the nameservers are asked in their order. When one family has answered,
    /// the other has two seconds more: servers that are silent about one of them exist. Past 64
    /// resolutions at a time the next one waits for its turn.
    ///
    /// # Errors
    /// [`Error`] says who said no, or who said nothing.
    pub async fn resolve(&self, name: &HostName) -> Result<Answer, Error> {
        let _turn = self.under_way.acquire().await;
        let of_system;
        let config = match &self.config {
            Some(config) => config,
            None => {
                of_system = Config::of_system();
                &of_system
            }
        };
        if let Some(answer) = self.without_asking(&config.hosts, name) {
            return Ok(answer);
        }
        let mut v4 = pin!(ask_all(config, name, Family::V4));
        let mut v6 = pin!(ask_all(config, name, Family::V6));
        let first = async { (Family::V4, v4.as_mut().await) };
        let (family, first) = future::or(first, async { (Family::V6, v6.as_mut().await) }).await;
        let good = first.is_ok();
        match family {
            Family::V4 => self.combined(rest(v6, good).await, first),
            Family::V6 => self.combined(first, rest(v4, good).await),
        }
    }

    fn without_asking(&self, hosts: &str, name: &HostName) -> Option<Answer> {
        let known = dns::hosts::lookup(hosts, name);
        if !known.is_empty() {
            let (v6, v4): (Vec<_>, Vec<_>) = known.iter().partition(|address| address.is_ipv6());
            // The file may change at any time, and asking it again costs next to nothing.
            return Some(Answer::interleaved(v6, v4, self.pace.ttl.0));
        }
        if name.as_str() == "localhost" || name.as_str().ends_with(".localhost") {
            let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
            let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
            return Some(Answer::interleaved([v6], [v4], self.pace.ttl.1));
        }
        None
    }

    /// One family's addresses are enough; without any, what a nameserver said of the name goes
    /// before what went wrong only if both families say it.
    fn combined(
        &self,
        v6: Result<dns::Answer, Error>,
        v4: Result<dns::Answer, Error>,
    ) -> Result<Answer, Error> {
        let ttl_seconds = [&v6, &v4]
            .into_iter()
            .filter_map(|answer| answer.as_ref().ok())
            .map(|answer| answer.ttl_seconds)
            .min();
        match (v6, v4, ttl_seconds) {
            (Err(v6), Err(v4), _) => Err(worse(v6, v4)),
            (v6, v4, seconds) => {
                let ttl = Duration::from_secs(seconds.unwrap_or_default().into());
                let addresses = |answer: Result<dns::Answer, Error>| {
                    answer.map(|answer| answer.addresses).unwrap_or_default()
                };
                let (least, most) = self.pace.ttl;
                Ok(Answer::interleaved(
                    addresses(v6),
                    addresses(v4),
                    ttl.min(most).max(least),
                ))
            }
        }
    }
}

/// Asks each nameserver in turn until one knows.
async fn ask_all(config: &Config, name: &HostName, family: Family) -> Result<dns::Answer, Error> {
    let mut last = Error::NoSuchName;
    for _ in 0..config.attempts.max(1) {
        for nameserver in config.nameservers.iter().copied() {
            last = match exchange::ask(nameserver, config.timeout, name, family).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Response(dns::Error::NoSuchName)) => return Err(Error::NoSuchName),
                Err(Failure::Response(dns::Error::NoAddress)) => return Err(Error::NoAddress),
                Err(reason) => Error::NoAnswer { nameserver, reason },
            };
        }
    }
    Err(last)
}

/// What the slower family says, within its time if the other one has an answer.
async fn rest(
    family: impl Future<Output = Result<dns::Answer, Error>>,
    other_is_good: bool,
) -> Result<dns::Answer, Error> {
    if !other_is_good {
        return family.await;
    }
    let late = async {
        Timer::after(SECOND_FAMILY).await;
        Err(Error::NoAddress)
    };
    future::or(family, late).await
}

/// Of two errors the one that leaves more open: a name is only missing when nobody failed to say
/// so.
fn worse(one: Error, other: Error) -> Error {
    let openness = |error: &Error| match error {
        Error::NoSuchName => 0,
        Error::NoAddress => 1,
        Error::NoAnswer { .. } => 2,
    };
    if openness(&one) > openness(&other) {
        one
    } else {
        other
    }
}

/// How long the slower family may take once the other one has answered. RFC 8305 section 3 says 50
/// ms, for a person who waits; an answer here is used for minutes.
const SECOND_FAMILY: Duration = Duration::from_secs(2);

/// The most resolutions under way at a time: 128 sockets. Names come in hundreds when a gateway
/// starts.
const MAX_RESOLUTIONS: usize = 64;
