//! Whether an empty answer may be believed.
//!
//! Consul leaves out of a list what a token may not see, and before 1.11 does not say so: to a token that was revoked, that is of
//! another datacenter, or that has too few rights, there just is nothing. So where there is nothing for the first time, or no
//! longer anything, something is asked for that must be there: any node, and the service's sidecars by their usual name,
//! which nobody may ask about who may not see them.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use super::lanes::{Lanes, SLACK};
use crate::{About, Error, Request, rights};

/// What is known of the token's rights.
#[derive(Default)]
pub(super) struct Doubt {
    /// The datacenters of which nodes were seen, and when; the own one has no name.
    seen: RefCell<Vec<(String, Instant)>>,
}

/// What was there, to compare with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// It is the first answer.
    Unknown,
    /// There was something.
    Some,
}

impl Lanes {
    /// Takes an empty answer to the query of this path for what it is.
    ///
    /// # Errors
    /// The token may be why it is empty.
    pub(super) async fn believe(
        &self,
        path: &str,
        about: &About,
        before: Before,
    ) -> Result<(), Error> {
        if before == Before::Some {
            self.token_lives().await?;
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let service = path.strip_prefix("/v1/health/connect/");
        let gateways = path == "/v1/internal/federation-states/mesh-gateways";
        if path == "/v1/catalog/services" {
            // Consul's own service is always there.
            return Err(Error::Filtered(rights::SERVICES.to_owned()));
        }
        if service.is_some() || gateways {
            let datacenter = query.split('&').find_map(|pair| pair.strip_prefix("dc="));
            self.sees_nodes(datacenter.unwrap_or_default(), before)
                .await?;
            // With very many services it is a gateway that asks, which was told their names and so may see them.
            if !self.is_crowded() {
                let hidden = service.map_or_else(|| "mesh-gateway".to_owned(), rights::sidecar);
                self.sees_service(&hidden).await?;
            }
        }
        match about.filtered && (before == Before::Some || service.is_some() || gateways) {
            true => Err(Error::Filtered(format!(
                "{}, {}",
                rights::SERVICES,
                rights::NODES
            ))),
            false => Ok(()),
        }
    }

    async fn token_lives(&self) -> Result<(), Error> {
        if !self.client().has_token() {
            return Ok(());
        }
        let answer = self.look("/v1/acl/token/self", MAX_TOKEN_BYTES).await;
        match answer {
            // 401: there are no ACLs.
            Ok(_) | Err(Error::Refused(401, _)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// There is always a node: a server's. Where there was something, not to be told is no reason to believe that it is gone.
    async fn sees_nodes(&self, datacenter: &str, before: Before) -> Result<(), Error> {
        let now = Instant::now();
        {
            let mut seen = self.doubt.seen.borrow_mut();
            seen.retain(|(_, when)| now.duration_since(*when) < GOOD_FOR);
            if seen.iter().any(|(known, _)| known == datacenter) {
                return Ok(());
            }
        }
        let there = match datacenter {
            "" => String::new(),
            _ => format!("?dc={datacenter}"),
        };
        let answer = self
            .look(&format!("/v1/catalog/nodes{there}"), EMPTY_BYTES)
            .await;
        let is_empty = match answer {
            Ok(body) => body.trim_ascii() == b"[]",
            Err(Error::TooLong(_)) => false,
            Err(error) if before == Before::Some => return Err(error),
            Err(_) => return Ok(()),
        };
        if is_empty {
            let there = match datacenter {
                "" => String::new(),
                _ => format!(" in {datacenter}, of a token that is not local to its datacenter"),
            };
            return Err(Error::Filtered(format!("{}{there}", rights::NODES)));
        }
        let seen = (datacenter.to_owned(), now);
        self.doubt.seen.borrow_mut().push(seen);
        Ok(())
    }

    /// Nobody is told the chain of a service that may not be read, be it there or not.
    async fn sees_service(&self, name: &str) -> Result<(), Error> {
        let path = format!("/v1/discovery-chain/{name}");
        match self.look(&path, EMPTY_BYTES).await {
            Err(Error::Forbidden(_)) => Err(Error::Filtered(rights::service(name, "read"))),
            _ => Ok(()),
        }
    }

    async fn look(&self, path: &str, most: usize) -> Result<Vec<u8>, Error> {
        let request = Request {
            method: "GET",
            path,
            body: None,
            within: SLACK,
        };
        let answer = self.client().fetch(request, most).await;
        answer.map(|(_, body)| body)
    }
}

/// Rights are given and taken by hand.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// Whether there is anything shows in the first bytes; the rest, of thousands of nodes, is left.
const EMPTY_BYTES: usize = 8;

/// What a token says of itself, with its policies.
const MAX_TOKEN_BYTES: usize = 64 * 1024;
