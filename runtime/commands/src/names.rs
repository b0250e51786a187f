//! Keeps the host names of the Plan resolved, one task a name.

use std::{collections::BTreeMap, rc::Rc};

use dial::{Resolver, Update};
use proxy::Proxy;
use smol::{LocalExecutor, Task};
use wire::dns::HostName;

/// The tasks, by name. Dropping one ends it.
pub(crate) struct Names {
    resolver: Rc<Resolver>,
    tasks: BTreeMap<String, Task<()>>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            resolver: Rc::new(Resolver::of_system()),
            tasks: BTreeMap::new(),
        }
    }

    /// What resolves them.
    pub(crate) fn resolver(&self) -> &Rc<Resolver> {
        &self.resolver
    }

    /// Starts on names that are new and stops on those that are gone.
    pub(crate) fn follow(&mut self, proxy: &Rc<Proxy>, executor: &Rc<LocalExecutor<'static>>) {
        let wanted = proxy.host_names();
        self.tasks.retain(|name, _| wanted.contains(name));
        for name in wanted {
            if self.tasks.contains_key(&name) {
                continue;
            }
            match HostName::new(&name) {
                Ok(host) => {
                    let (resolver, proxy) = (Rc::clone(&self.resolver), Rc::clone(proxy));
                    let task = executor.spawn({
                        let name = name.clone();
                        async move {
                            let tell = |update: Update<'_>| {
                                let answer = match update.failure {
                                    None => Ok(update.addresses.to_vec()),
                                    Some(failure) => Err(failure.to_string()),
                                };
                                proxy.resolved(&name, answer);
                            };
                            match resolver.watch(&host, tell).await {}
                        }
                    });
                    self.tasks.insert(name, task);
                }
                Err(error) => proxy.resolved(&name, Err(error.to_string())),
            }
        }
    }
}
