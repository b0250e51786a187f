//! Reading the files again while running: all of the new configuration, or none of it.

use std::{path::PathBuf, rc::Rc};

use config::{LogLevel, Settings};
use proxy::Proxy;

use crate::{admin::State, log::Log, materials, plans};

/// Why new files were not taken over.
enum Refused {
    Files(config::Errors),
    NothingToRun,
    Unfit(String),
}

/// Reads the files and takes over what they say; on any error nothing changes. Gives the new settings.
pub(crate) fn reload(
    files: &[PathBuf],
    proxy: &Rc<Proxy>,
    log: &Log,
    state: &State,
) -> Option<Settings> {
    match try_reload(files, proxy, log) {
        Ok((settings, applied)) => {
            log.set(settings.runtime.log);
            state.reloads.set(state.reloads.get() + 1);
            log.info(
                "reloaded",
                &[
                    ("clusters_changed", &applied.clusters_changed),
                    ("listeners_opened", &applied.listeners_opened),
                    ("listeners_closed", &applied.listeners_closed),
                ],
            );
            Some(settings)
        }
        Err(refused) => {
            state.reloads_refused.set(state.reloads_refused.get() + 1);
            let error = match refused {
                Refused::Files(errors) => errors.to_string(),
                Refused::NothingToRun => {
                    "no mesh gateway and no sidecar that can be run any more".to_owned()
                }
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
    proxy: &Rc<Proxy>,
    log: &Log,
) -> Result<(Settings, proxy::Applied), Refused> {
    let settings = config::load(files).map_err(Refused::Files)?;
    if !plans::has_work(&settings) {
        return Err(Refused::NothingToRun);
    }
    let plan = plans::plan(&settings);
    let applied = proxy
        .apply(&plan)
        .map_err(|unfit| Refused::Unfit(materials::unfit(&settings, &unfit)))?;
    materials::warn(&settings, &plan, log);
    proxy.set_options(plans::options(&settings));
    Ok((settings, applied))
}
