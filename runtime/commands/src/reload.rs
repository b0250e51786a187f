//! Reading the files again while running: all of the new configuration, or none of it.

use std::{path::PathBuf, rc::Rc};

use config::LogLevel;
use proxy::{Clock, Proxy};

use crate::{
    admin::State,
    job::{Job, Unusable},
    learning::Learning,
    log::Log,
    materials, plans,
};

/// Why new files were not taken over.
enum Refused {
    Files(Unusable),
    Unfit(String),
}

/// Reads the files and takes over what they say; on any error nothing changes. Gives what is in force now.
pub(crate) fn reload(
    files: &[PathBuf],
    learning: &Learning,
    proxy: &Rc<Proxy>,
    clock: &Clock,
    log: &Log,
    state: &State,
) -> Option<Job> {
    match try_reload(files, learning, proxy, clock, log) {
        Ok((job, applied)) => {
            log.set(job.runtime.log);
            state.reloads.set(state.reloads.get() + 1);
            log.info(
                "reloaded",
                &[
                    ("clusters_changed", &applied.clusters_changed),
                    ("listeners_opened", &applied.listeners_opened),
                    ("listeners_closed", &applied.listeners_closed),
                ],
            );
            Some(job)
        }
        Err(refused) => {
            state.reloads_refused.set(state.reloads_refused.get() + 1);
            let error = match refused {
                Refused::Files(Unusable::NothingToRun) => {
                    "no mesh gateway and no sidecar that can be run any more".to_owned()
                }
                Refused::Files(unusable) => unusable.to_string(),
                Refused::Unfit(unfit) => unfit,
            };
            let detail = "the configuration in force goes on; try lictor check";
            log.line(
                LogLevel::Error,
                "reload_refused",
                &[("error", &error.trim_end()), ("detail", &detail)],
            );
            None
        }
    }
}

fn try_reload(
    files: &[PathBuf],
    learning: &Learning,
    proxy: &Rc<Proxy>,
    clock: &Clock,
    log: &Log,
) -> Result<(Job, proxy::Applied), Refused> {
    let job = Job::of(files, learning.count() > 0).map_err(Refused::Files)?;
    let registrations = learning
        .registrations(&job.definitions)
        .map_err(Refused::Unfit)?;
    let applied = learning
        .beside(&job.plan, &|plan| proxy.apply(plan))
        .map_err(|unfit| Refused::Unfit(materials::unfit(&job.origins, &unfit)))?;
    learning.register(registrations);
    materials::warn(&job, clock, log);
    proxy.set_options(plans::options(&job.runtime));
    Ok((job, applied))
}
