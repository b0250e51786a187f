//! `lictor explain`: where something goes, and which rule says so.

use std::path::Path;

use config::Settings;
use store::Remembered;

use crate::{Exit, command::Explain, job, plans};

pub(crate) fn explain(arguments: &Explain) -> Exit {
    if arguments.sni.is_none() == arguments.upstream.is_none() {
        eprintln!("lictor explain: give one of --sni NAME and --upstream NAME");
        return Exit::Usage;
    }
    if let Some(blob) = &arguments.blob {
        return explain_blob(arguments, blob);
    }
    let settings = match plans::load(&arguments.files) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    if let Some(name) = &arguments.sni {
        print!(
            "{}",
            plan::explain::server_name(&plans::plan(&settings), name)
        );
    }
    if let Some(name) = &arguments.upstream {
        explain_upstream(&settings, name);
    }
    Exit::Ok
}

/// From a blob alone. It holds what is done, and no longer why, so gateway modes cannot be explained.
fn explain_blob(arguments: &Explain, blob: &Path) -> Exit {
    let (Some(name), []) = (&arguments.sni, arguments.files.as_slice()) else {
        eprintln!(
            "lictor explain: with --blob give --sni NAME and no file; gateway modes are known to the files only"
        );
        return Exit::Usage;
    };
    match job::read::<Remembered>(blob) {
        Ok((_, remembered)) => {
            print!("{}", plan::explain::server_name(&remembered.plan, name));
            Exit::Ok
        }
        Err(unreadable) => {
            eprintln!("lictor explain: {unreadable}");
            Exit::Config
        }
    }
}

fn explain_upstream(settings: &Settings, name: &str) {
    let mut found = false;
    for (sidecar, upstream, mode) in settings.upstreams() {
        if upstream.destination_name.as_deref() != Some(name) {
            continue;
        }
        found = true;
        println!("upstream     {name} of {}", sidecar.name);
        match (&upstream.destination_peer, &upstream.datacenter) {
            (Some(peer), _) => println!("destination  peer {peer}"),
            (None, Some(datacenter)) => println!("destination  datacenter {datacenter}"),
            (None, None) => println!("destination  this datacenter: direct, whatever the mode"),
        }
        println!("mode         {mode}");
        for (level, said) in &mode.said {
            println!("             {level} says {said}");
        }
    }
    if !found {
        let known: Vec<&str> = settings
            .upstreams()
            .filter_map(|(_, upstream, _)| upstream.destination_name.as_deref())
            .collect();
        let known = if known.is_empty() {
            "none is defined".to_owned()
        } else {
            known.join(", ")
        };
        println!("no upstream has the destination {name}; upstreams: {known}");
    }
}
