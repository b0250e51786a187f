//! `lictor check`: what the files would run, at a glance.

use config::Settings;
use plan::{Inspect, Listener, Plan, Route, ServerNames};

use crate::{Exit, command::Check, materials::placed, plans};

pub(crate) fn check(arguments: &Check) -> Exit {
    let settings = match plans::load(&arguments.files) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let plan = plans::plan(&settings);
    let unusable = proxy::unusable_parts(&plan);
    if !unusable.is_empty() {
        for part in &unusable {
            eprintln!("{}", placed(&settings.origins, part));
        }
        return Exit::Config;
    }
    print_plan(&settings, &plan);
    print_sidecars(&settings);
    for note in &settings.notes {
        println!("note      {note}");
    }
    for doubt in
        proxy::doubtful_identities(&plan, &settings.mesh.datacenter, &proxy::Clock::system())
    {
        println!("note      {}", placed(&settings.origins, &doubt));
    }
    if plans::has_work(&settings) {
        println!("result    good");
    } else {
        println!(
            "result    good, but nothing to run: no mesh gateway, and no sidecar that can be run"
        );
    }
    Exit::Ok
}

fn print_sidecars(settings: &Settings) {
    for sidecar in &settings.sidecar_registrations {
        println!(
            "sidecar   {} for {}: listens on {}, passes on to {}",
            sidecar.id, sidecar.service, sidecar.public, sidecar.local_app
        );
    }
    for (sidecar, upstream, mode) in settings.upstreams() {
        let destination = upstream.destination_name.as_deref().unwrap_or("?");
        println!(
            "upstream  {destination} of {}: gateway mode {mode}",
            sidecar.name
        );
    }
    if !settings.sidecar_registrations.is_empty() && cfg!(not(feature = "sidecar")) {
        println!(
            "note      this build has no TLS and refuses to run sidecars; build it with the feature sidecar"
        );
    }
    for reason in &settings.not_run {
        println!("not run   {reason}");
    }
}

/// What all of it comes to: listeners, rules, clusters.
fn print_plan(settings: &Settings, plan: &Plan) {
    let mesh = &settings.mesh;
    for gateway in &settings.gateways {
        println!(
            "gateway   {} of {}, trust domain {}",
            gateway.name, mesh.datacenter, mesh.trust_domain
        );
    }
    for listener in &plan.listeners {
        println!("listens   {}", listener.name);
    }
    // All listeners of a gateway have the same chains, which look at names and open nothing.
    let of_gateway = |listener: &&Listener| {
        listener.inspect == Inspect::ClientHello
            && listener.chains.iter().all(|chain| chain.tls.is_none())
    };
    let gateway = plan.listeners.iter().find(of_gateway);
    for chain in gateway.iter().flat_map(|listener| &listener.chains) {
        match (&chain.server_names, &chain.route) {
            (ServerNames::Any, _) => {}
            (names, Route::Refuse(reason)) => println!("rule      {names} closed: {reason}"),
            (names, Route::Cluster(cluster)) => {
                let count = plan
                    .cluster(cluster)
                    .map_or(0, |cluster| cluster.endpoints.len());
                println!("rule      {names} to {count} endpoint(s) of {cluster}");
            }
            (names, Route::Weighted(shares)) => {
                println!("rule      {names} to shares of {} clusters", shares.len());
            }
            (names, Route::SniCluster) => println!("rule      {names} to the cluster of that name"),
        }
    }
    for cluster in &plan.clusters {
        let endpoints: Vec<String> = cluster
            .endpoints
            .iter()
            .map(|endpoint| endpoint.address.to_string())
            .collect();
        let endpoints = if endpoints.is_empty() {
            "no endpoints".to_owned()
        } else {
            endpoints.join(", ")
        };
        println!("cluster   {}: {endpoints}", cluster.name);
    }
}
