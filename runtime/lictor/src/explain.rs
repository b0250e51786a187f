//! `lictor explain`: where something goes, and which rule says so.

use std::path::Path;

use config::{Settings, Upstream};
use plan::{Plan, mesh::SidecarRegistration};
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

/// From a blob alone. It holds what is done, and no longer why: not which level decided a gateway mode.
fn explain_blob(arguments: &Explain, blob: &Path) -> Exit {
    if !arguments.files.is_empty() {
        eprintln!("lictor explain: give --blob or files, not both");
        return Exit::Usage;
    }
    match job::read::<Remembered>(blob) {
        Ok((_, remembered)) => {
            if let Some(name) = &arguments.sni {
                print!("{}", plan::explain::server_name(&remembered.plan, name));
            }
            if let Some(name) = &arguments.upstream {
                print_upstream(&remembered.plan, name);
            }
            Exit::Ok
        }
        Err(unreadable) => {
            eprintln!("lictor explain: {unreadable}");
            Exit::Config
        }
    }
}

fn explain_upstream(settings: &Settings, name: &str) {
    let called = |upstream: &Upstream| upstream.destination_name.as_deref() == Some(name);
    let mut found = false;
    for (sidecar, upstream, mode) in settings.upstreams().filter(|(_, it, _)| called(it)) {
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
        let registrations = &settings.sidecar_registrations;
        let Some(made) = registrations.iter().find(|it| it.id == sidecar.id) else {
            println!("result       nothing: its sidecar is not run; lictor check says why");
            continue;
        };
        let all = sidecar.proxy.upstreams.iter().zip(&made.upstreams);
        for (_, made_of_it) in all.filter(|(given, _)| given.place == upstream.place) {
            for split in &made_of_it.chain.splits {
                println!("chain        {}", split.resolver.target);
                for target in &split.resolver.failover {
                    println!("             else {target}");
                }
            }
            let alone = SidecarRegistration {
                upstreams: vec![made_of_it.clone()],
                ..made.clone()
            };
            print_upstream(&plan::sidecar::plan(&alone, &settings.mesh), name);
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

fn print_upstream(plan: &Plan, name: &str) {
    for explained in plan::explain::upstream(plan, name) {
        print!("{explained}");
    }
}
