//! The raw contents of all files to [`Settings`].

use plan::intentions::DefaultAction;

use crate::consul::consul;
use crate::document::Raw;
use crate::entries::{ConfigEntries, ConfigEntry};
use crate::error::{Errors, Note};
use crate::fields::Place;
use crate::files::Files;
use crate::mesh::mesh;
use crate::registration::register;
use crate::runtime::{only, runtime};
use crate::settings::Settings;
use crate::sidecar::{Around, runnable};
use crate::stanza::IntentionPolicy;
use crate::told::definitions;
use crate::trust::trust;

pub(crate) fn assemble(
    raw: Raw,
    mut notes: Vec<Note>,
    files: &dyn Files,
) -> Result<Settings, Errors> {
    let mut errors = Errors::default();
    let entries = gather_entries(raw.entries, &mut errors);
    let runtime = runtime(&raw.stanzas, &mut errors, &mut notes);
    let consul = consul(&raw.stanzas, &mut errors);
    let trust = trust(&raw.stanzas, files, &mut errors, &mut notes);
    let mesh = mesh(&raw.stanzas, &entries, &trust, &mut errors, &mut notes);
    let registrations = register(
        raw.services,
        &entries,
        &runtime.timeouts,
        files,
        &mut errors,
        &mut notes,
    );
    if let Some(gateway) = registrations.gateway_places.first() {
        if mesh.datacenter.is_empty() {
            let what = "a mesh gateway needs its datacenter; add lictor { datacenter = \"dc1\" }";
            errors.push(gateway.error("", what));
        }
        if mesh.trust_domain.is_empty() {
            let what = "a mesh gateway needs the trust domain; add lictor { trust_domain = \"<uuid>.consul\" }";
            errors.push(gateway.error("", what));
        }
    }
    let policy = only(&raw.stanzas, &mut errors, |stanza| {
        stanza.default_intention_policy.as_ref()
    });
    let around = Around {
        mesh: &mesh,
        entries: &entries,
        timeouts: &runtime.timeouts,
        default_action: match policy.map(|spot| spot.value).unwrap_or_default() {
            IntentionPolicy::Deny => DefaultAction::Deny,
            IntentionPolicy::Allow => DefaultAction::Allow,
        },
    };
    let runnable = runnable(&registrations.sidecars, &around, &mut errors, &mut notes);
    if !errors.is_empty() {
        return Err(errors);
    }
    let (gateways, sidecars, services) = (
        registrations.gateways,
        registrations.sidecars,
        registrations.services,
    );
    Ok(Settings {
        mesh,
        files: trust.files,
        origins: trust.origins,
        gateways,
        sidecars,
        sidecar_registrations: runnable.registrations,
        not_run: runnable.not_run,
        services,
        definitions: definitions(&raw.told, files),
        entries,
        runtime,
        consul,
        notes,
    })
}

/// Sorts the entries by kind; each kind and name once.
fn gather_entries(list: Vec<ConfigEntry>, errors: &mut Errors) -> ConfigEntries {
    let mut entries = ConfigEntries::default();
    let mut taken: Vec<(String, Place)> = Vec::new();
    for entry in list {
        let (kind, name, only_name, place) = identity(&entry);
        let name = match (name, only_name) {
            (Some(name), None) => name.to_owned(),
            (None | Some(""), Some(only)) => only.to_owned(),
            (Some(name), Some(only)) if name == only => name.to_owned(),
            (Some(_), Some(only)) => {
                errors.push(place.error("Name", format!("{kind} has the name '{only}'")));
                continue;
            }
            (None, None) => {
                errors.push(place.error("Name", format!("{kind} needs a name")));
                continue;
            }
        };
        let full = format!("{kind}/{}", name.to_ascii_lowercase());
        if let Some((_, first)) = taken.iter().find(|(other, _)| *other == full) {
            let what = format!(
                "{kind} '{name}' is given already at {}; keep one",
                first.short()
            );
            errors.push(place.error("", what));
            continue;
        }
        taken.push((full, place.clone()));
        match entry {
            ConfigEntry::ProxyDefaults(entry) => entries.proxy_defaults = Some(*entry),
            ConfigEntry::ServiceDefaults(entry) => entries.service_defaults.push(*entry),
            ConfigEntry::ServiceResolver(entry) => entries.service_resolvers.push(entry),
            ConfigEntry::ServiceSplitter(entry) => entries.service_splitters.push(entry),
            ConfigEntry::ServiceRouter(entry) => entries.service_routers.push(entry),
            ConfigEntry::ServiceIntentions(entry) => entries.service_intentions.push(entry),
            ConfigEntry::Mesh(entry) => entries.mesh = Some(entry),
            ConfigEntry::ExportedServices(entry) => entries.exported_services.push(entry),
        }
    }
    entries
}

/// Kind, name as given, the only name it may have, and place.
fn identity(entry: &ConfigEntry) -> (&'static str, Option<&str>, Option<&'static str>, &Place) {
    match entry {
        ConfigEntry::ProxyDefaults(it) => (
            "proxy-defaults",
            it.name.as_deref(),
            Some("global"),
            &it.place,
        ),
        ConfigEntry::ServiceDefaults(it) => {
            ("service-defaults", it.name.as_deref(), None, &it.place)
        }
        ConfigEntry::ServiceResolver(it) => {
            ("service-resolver", it.name.as_deref(), None, &it.place)
        }
        ConfigEntry::ServiceSplitter(it) => {
            ("service-splitter", it.name.as_deref(), None, &it.place)
        }
        ConfigEntry::ServiceRouter(it) => ("service-router", it.name.as_deref(), None, &it.place),
        ConfigEntry::ServiceIntentions(it) => {
            ("service-intentions", it.name.as_deref(), None, &it.place)
        }
        ConfigEntry::Mesh(it) => ("mesh", it.name.as_deref(), Some("mesh"), &it.place),
        ConfigEntry::ExportedServices(it) => {
            let name = it.name.as_deref().or(it.partition.as_deref());
            ("exported-services", name, None, &it.place)
        }
    }
}
