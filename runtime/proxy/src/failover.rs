//! Which of a route's clusters a connection goes to: the first, or while that has no usable endpoint, the next.
//!
//! What Envoy calls an aggregate cluster. It is decided for each new connection, so that traffic is back as soon as the first
//! cluster is. A connection that finds an endpoint dead, or closing in the middle of TLS, goes on to the next one, and when all are
//! dead to the next cluster: where there is TLS, not a byte of the client's has been sent by then.

use std::rc::Rc;

use crate::{
    cluster::Cluster,
    dialing::Way,
    engine::{Engine, chance},
    event::{Event, add},
    flow::{Dialing, Greeting, Sealing, Stage},
    slab::Ticket,
    table::Table,
};
use plan::{Address, balance::Tried};

/// How far a connection has come in the list of clusters that it may go to.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    /// The cluster of its route.
    first: Rc<Cluster>,
    /// 0 is the first itself; others are places in its failover, from 1.
    at: usize,
}

impl Course {
    /// From the first cluster on.
    fn new(first: Rc<Cluster>) -> Self {
        Self { first, at: 0 }
    }

    /// Goes on to the next usable cluster.
    fn next(&mut self, table: &Table) -> Option<Rc<Cluster>> {
        let spec = self.first.spec();
        let rest = spec.failover.iter().enumerate().skip(self.at);
        let mut known = rest.filter_map(|(at, name)| Some((at, table.clusters.get(name)?)));
        let (at, cluster) = known.find(|(_, cluster)| cluster.is_usable(&table.names))?;
        self.at = at + 1;
        Some(Rc::clone(cluster))
    }
}

impl Engine {
    /// The cluster that a new connection goes to. Tells when that is another one than for the connection before.
    pub(crate) fn choose(&self, first: Rc<Cluster>) -> (Course, Rc<Cluster>) {
        let mut course = Course::new(Rc::clone(&first));
        if first.spec().failover.is_empty() {
            return (course, first);
        }
        let chosen = match first.is_usable(&self.table.names) {
            true => Some(Rc::clone(&first)),
            false => course.next(&self.table),
        };
        // With nothing usable anywhere the first is tried all the same: what is thought of it may be wrong.
        let Some(cluster) = chosen else {
            return (course, first);
        };
        if course.at > 0 {
            add(&self.counters.failovers, 1);
        }
        if first.active.replace(course.at) != course.at {
            self.observer.observe(&Event::FailedOver {
                cluster: &first.name(),
                to: &cluster.name(),
                back: course.at == 0,
            });
        }
        (course, cluster)
    }

    /// Goes on to the next cluster with a connection whose cluster turned out to be of no use; false when there is none.
    pub(crate) fn fail_over(&mut self, ticket: Ticket) -> bool {
        let Some(flow) = self.flows.get_mut(ticket) else {
            return false;
        };
        let course = match &mut flow.stage {
            Stage::Dialing(dialing) => &mut dialing.course,
            Stage::Sealing(sealing) => &mut sealing.course,
            _ => return false,
        };
        let Some(next) = course.next(&self.table) else {
            return false;
        };
        let way = match std::mem::replace(&mut flow.stage, Stage::Greeting(Greeting::default())) {
            Stage::Dialing(dialing) => {
                let Dialing {
                    cluster,
                    course,
                    hello,
                    server_name,
                    mut secured,
                    client_ready,
                    ..
                } = *dialing;
                cluster.abandon();
                let first = match secured.upstream.take() {
                    Some(_) => std::mem::take(&mut secured.early),
                    None => hello,
                };
                Way {
                    cluster: next,
                    course,
                    tried: Tried::default(),
                    deadline: None,
                    server_name,
                    first,
                    secured,
                    client_ready,
                }
            }
            Stage::Sealing(sealing) => {
                sealing.cluster.abandon();
                Way {
                    cluster: next,
                    tried: Tried::default(),
                    deadline: None,
                    ..way(*sealing)
                }
            }
            other => {
                flow.stage = other;
                return false;
            }
        };
        add(&self.counters.failovers, 1);
        self.dial_by(ticket, way);
        true
    }

    /// Goes on to another endpoint of its cluster with a connection whose endpoint did not set up TLS; false when there is
    /// none, or no time.
    pub(crate) fn try_another(&mut self, ticket: Ticket) -> bool {
        let now = self.now;
        let Some(flow) = self.flows.get_mut(ticket) else {
            return false;
        };
        match std::mem::replace(&mut flow.stage, Stage::Greeting(Greeting::default())) {
            Stage::Sealing(sealing)
                if now < sealing.deadline && sealing.cluster.has_untried(&sealing.tried) =>
            {
                sealing.cluster.abandon();
                self.dial_by(ticket, way(*sealing));
                true
            }
            other => {
                flow.stage = other;
                false
            }
        }
    }

    /// Notes that an endpoint of a cluster could not be connected, which may leave it out for a while.
    pub(crate) fn note_failure(&mut self, cluster: &Cluster, target: &Address) {
        let seed = &mut self.seed;
        let ejected = cluster.note_failure(target, self.now, |below| chance(seed, below));
        let Some(until) = ejected else {
            return;
        };
        cluster.refresh(&self.table.names);
        add(&self.counters.ejections, 1);
        self.observer.observe(&Event::EndpointEjected {
            cluster: &cluster.name(),
            endpoint: target,
            lasting: crate::engine::TICK.saturating_mul(until.saturating_sub(self.now)),
        });
        self.await_return(until);
    }

    /// Lets endpoints return whose time is over.
    pub(crate) fn return_endpoints(&mut self) {
        let mut next: Option<u32> = None;
        for cluster in self.table.clusters.iter() {
            let returned = cluster.returned(self.now);
            if !returned.is_empty() {
                cluster.refresh(&self.table.names);
            }
            for endpoint in &returned {
                self.observer.observe(&Event::EndpointReturned {
                    cluster: &cluster.name(),
                    endpoint,
                });
            }
            next = cluster.next_return().into_iter().chain(next).min();
        }
        self.next_return = None;
        if let Some(next) = next {
            self.await_return(next);
        }
    }

    fn await_return(&mut self, until: u32) {
        if self.next_return.is_none_or(|next| until < next) {
            self.next_return = Some(until);
            let index = self.return_index();
            self.wheel.set(index, until);
        }
    }
}

/// The way of a connection whose TLS with an endpoint came to nothing, to its cluster again.
fn way(sealing: Sealing) -> Way {
    let Sealing {
        cluster,
        course,
        tried,
        deadline,
        server_name,
        mut secured,
        client_ready,
        ..
    } = sealing;
    secured.upstream = None;
    Way {
        cluster,
        course,
        tried,
        deadline: Some(deadline),
        server_name,
        first: std::mem::take(&mut secured.early),
        secured,
        client_ready,
    }
}
