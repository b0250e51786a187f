//! Sidecars that can be run, what becomes of them, and why others are not run.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use config::{Errors, Format, Settings, Source, parse};
use plan::Address;
use plan::mesh::Via;

/// All that a sidecar of `web` needs.
fn lictor(more: &str) -> String {
    let certificate = "\"-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----\"";
    let key = "\"-----BEGIN PRIVATE KEY-----\\nAA==\\n-----END PRIVATE KEY-----\"";
    format!(
        "lictor {{ datacenter = \"dc1\" trust_domain = \"a.consul\" roots = {certificate}
           identity \"web\" {{ certificate = {certificate} key = {key} }}
           gateways = [\"10.0.0.9:8443\"] service \"db\" {{ endpoints = [\"10.0.0.7:21000\"] }}
           datacenter \"dc2\" {{ gateways = [\"192.0.2.7:443\"] service \"db\" {{ endpoints = [\"198.51.100.7:21000\"] }} }}
           {more} }}\n"
    )
}

fn read(text: &str) -> Result<Settings, Errors> {
    parse(&[Source {
        name: "f",
        text,
        format: Format::Hcl,
    }])
}

fn good(text: &str) -> Settings {
    read(text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Settings of a file that begins with the usual stanza; lines of `text` count from 6.
fn with(text: &str) -> Settings {
    good(&format!("{}{text}", lictor("")))
}

fn notes(list: &[config::Note]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// A sidecar in full, with these keys of `proxy`.
fn full(proxy: &str) -> String {
    format!(
        "service {{ name = \"web-sidecar-proxy\" kind = \"connect-proxy\" port = 21000 proxy {{
destination_service_name = \"web\"
{proxy}
}} }}"
    )
}

#[test]
fn a_definition_in_full_becomes_a_registration() {
    let settings = with(
        "service { name = \"web-sidecar-proxy\" id = \"web-1-proxy\" kind = \"connect-proxy\" namespace = \"shop\"
           address = \"10.0.0.1\" port = 21000 proxy {
           destination_service_name = \"WEB\" local_service_address = \"127.0.0.2\" local_service_port = 8080
           config { bind_address = \"10.0.0.2\" bind_port = 21005 local_connect_timeout_ms = 700 MaxInboundConnections = 9 }
           upstreams = [{ destination_name = \"db\" datacenter = \"dc2\" local_bind_address = \"127.0.0.9\" local_bind_port = 9191
             destination_namespace = \"default\" mesh_gateway { mode = \"local\" }
             config { connect_timeout_ms = 1500 limits { max_connections = 5 } } }] } }",
    );
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    assert!(settings.not_run.is_empty(), "{:?}", settings.not_run);
    let [made] = settings.sidecar_registrations.as_slice() else {
        panic!("one sidecar")
    };
    assert_eq!(
        (
            made.id.as_str(),
            made.service.as_str(),
            made.namespace.as_str()
        ),
        ("web-1-proxy", "web", "shop")
    );
    assert_eq!(made.public.to_string(), "10.0.0.2:21005");
    assert_eq!(made.local_app.to_string(), "127.0.0.2:8080");
    assert_eq!(made.local_connect_timeout, Duration::from_millis(700));
    assert_eq!(made.max_inbound_connections, Some(9));
    let [upstream] = made.upstreams.as_slice() else {
        panic!("one upstream")
    };
    let target = &upstream.chain.splits[0].resolver.target;
    assert_eq!(
        (
            target.service.as_str(),
            target.namespace.as_str(),
            target.datacenter.as_str()
        ),
        ("db", "default", "dc2")
    );
    assert_eq!(upstream.name, "db?dc=dc2");
    assert_eq!(upstream.listen.to_string(), "127.0.0.9:9191");
    assert_eq!(target.via, Via::LocalGateway);
    assert_eq!(upstream.connect_timeout, Duration::from_millis(1500));
    assert_eq!(upstream.max_connections, Some(5));
}

#[test]
fn the_service_and_its_upstreams_can_be_unix_sockets() {
    let settings = with(
        "service { name = \"web\" connect { sidecar_service { proxy { local_service_socket_path = \"/run/web.sock\"
           upstreams = [{ destination_name = \"db\" local_bind_socket_path = \"/run/db.sock\" local_bind_socket_mode = \"0660\" },
             { destination_name = \"db\" datacenter = \"dc2\" local_bind_socket_path = \"/run/db2.sock\" }] } } } }",
    );
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    let made = &settings.sidecar_registrations[0];
    assert_eq!(made.local_app, Address::Unix("/run/web.sock".into()));
    let listens = made
        .upstreams
        .iter()
        .map(|it| (it.listen.to_string(), it.socket_mode));
    assert_eq!(
        listens.collect::<Vec<_>>(),
        [
            ("/run/db.sock".to_owned(), Some(0o660)),
            ("/run/db2.sock".to_owned(), None)
        ]
    );
}

#[test]
fn a_socket_is_one_upstreams_and_has_no_port_beside_it() {
    let upstreams = |first: &str, second: &str| {
        let text = full(&format!(
            "local_service_port = 1\nupstreams = [{{ destination_name = \"db\" {first} }},\n{{ destination_name = \"db\" datacenter = \"dc2\" {second} }}]"
        ));
        read(&format!("{}{text}", lictor("")))
            .unwrap_err()
            .to_string()
    };
    let path = "local_bind_socket_path = \"/run/db.sock\"";
    let twice = upstreams(path, path);
    assert!(twice.contains("/run/db.sock is taken"), "{twice}");
    let both = upstreams(
        &format!("{path} local_bind_port = 2"),
        "local_bind_port = 3",
    );
    assert!(both.contains("give one of local_bind_port and"), "{both}");
}

#[test]
fn an_inline_sidecar_is_completed_from_its_service() {
    let settings = with(
        "service { name = \"web\" id = \"web-1\" port = 8080 namespace = \"shop\" connect { sidecar_service { proxy {
           upstreams = [{ destination_name = \"db\" local_bind_port = 9191 datacenter = \"DC1\" destination_namespace = \"default\" }] } } } }",
    );
    assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    let made = &settings.sidecar_registrations[0];
    assert_eq!(
        (made.id.as_str(), made.namespace.as_str()),
        ("web-1-sidecar-proxy", "shop")
    );
    assert_eq!(made.public.to_string(), "0.0.0.0:21000");
    assert_eq!(made.local_app.to_string(), "127.0.0.1:8080");
    assert_eq!(made.local_connect_timeout, Duration::from_secs(5));
    assert_eq!(made.max_inbound_connections, None);
    let upstream = &made.upstreams[0];
    let target = &upstream.chain.splits[0].resolver.target;
    assert_eq!(
        (upstream.name.as_str(), target.datacenter.as_str()),
        ("db", "dc1")
    );
    assert_eq!(upstream.listen.to_string(), "127.0.0.1:9191");
    assert_eq!((target.via, upstream.max_connections), (Via::Direct, None));
}

#[test]
fn central_settings_fill_what_the_definition_leaves_out() {
    let text = |config: &str, upstream: &str| {
        format!(
            "service {{ name = \"w\" kind = \"connect-proxy\" port = 21000 proxy {{ destination_service_name = \"web\" local_service_port = 1
               config {{ {config} }}
               upstreams = [{{ destination_name = \"db\" local_bind_port = 2 config {{ {upstream} }} }}] }} }}
             config_entries {{ bootstrap = [
               {{ kind = \"proxy-defaults\" name = \"global\" config {{ local_connect_timeout_ms = 1 max_inbound_connections = 2 bind_address = \"10.1.1.1\" }} }},
               {{ kind = \"service-defaults\" name = \"web\" max_inbound_connections = 3
                  upstream_config {{ defaults {{ connect_timeout_ms = 4 limits {{ max_connections = 5 }} }}
                    overrides = [{{ name = \"db\" connect_timeout_ms = 6 }}] }} }},
               {{ kind = \"mesh\" tls {{ incoming {{ tls_min_version = \"TLSv1_3\" }} outgoing {{ tls_min_version = \"TLS_AUTO\" tls_max_version = \"TLSv1_2\" cipher_suites = [\"X\"] }} }} }} ] }}"
        )
    };
    let made = with(&text("", "")).sidecar_registrations.remove(0);
    let ms = Duration::from_millis;
    assert_eq!(
        (made.local_connect_timeout, made.max_inbound_connections),
        (ms(1), Some(3))
    );
    assert_eq!(made.public.to_string(), "10.1.1.1:21000");
    assert_eq!(
        (
            made.upstreams[0].connect_timeout,
            made.upstreams[0].max_connections
        ),
        (ms(6), Some(5))
    );
    assert_eq!(made.incoming.min_version, "TLSv1_3");
    assert_eq!(
        (
            made.outgoing.min_version.as_str(),
            made.outgoing.max_version.as_str()
        ),
        ("", "TLSv1_2")
    );
    assert_eq!(made.outgoing.cipher_suites, ["X"]);
    let own = text(
        "local_connect_timeout_ms = 70 max_inbound_connections = 80",
        "connect_timeout_ms = 90 limits { max_connections = 95 }",
    );
    let made = with(&own).sidecar_registrations.remove(0);
    assert_eq!(
        (made.local_connect_timeout, made.max_inbound_connections),
        (ms(70), Some(80))
    );
    assert_eq!(
        (
            made.upstreams[0].connect_timeout,
            made.upstreams[0].max_connections
        ),
        (ms(90), Some(95))
    );
}

#[test]
fn the_precedence_of_modes_reaches_the_registration() {
    // From the lowest level, each of which goes before the one above it in this list.
    let levels = [
        ("", "", "", Via::Direct),
        ("local", "", "", Via::LocalGateway),
        ("local", "remote", "", Via::RemoteGateway),
        ("local", "remote", "none", Via::Direct),
    ];
    for (global, service, upstream, via) in levels {
        let text = format!(
            "service {{ name = \"web\" port = 1 connect {{ sidecar_service {{ proxy {{
               upstreams = [{{ destination_name = \"db\" datacenter = \"dc2\" local_bind_port = 2 mesh_gateway {{ mode = \"{upstream}\" }} }}] }} }} }} }}
             config_entries {{ bootstrap = [
               {{ kind = \"proxy-defaults\" name = \"global\" mesh_gateway {{ mode = \"{global}\" }} }},
               {{ kind = \"service-defaults\" name = \"web\" mesh_gateway {{ mode = \"{service}\" }} }} ] }}"
        );
        let settings = with(&text);
        let upstream = &settings.sidecar_registrations[0].upstreams[0];
        assert_eq!(upstream.chain.splits[0].resolver.target.via, via);
        assert!(settings.notes.is_empty(), "{:?}", settings.notes);
    }
}

#[test]
fn what_cannot_be_run_is_said_with_its_place_and_what_to_do() {
    let upstream = |keys: &str| {
        full(&format!(
            "local_service_port = 1\nupstreams = [{{ destination_name = \"db\" {keys} }}]"
        ))
    };
    let port = "local_bind_port = 2";
    let cases = [
        (
            full("local_service_socket_path = \"run/web.sock\""),
            "6:80: service.proxy.local_service_socket_path",
            "'run/web.sock' is no absolute path of a socket",
        ),
        (
            full(""),
            "6:80: service.proxy.local_service_port",
            "it does not say where the service listens; give local_service_port or \
             local_service_socket_path",
        ),
        (
            full("local_service_port = 1 local_service_address = \"web.local\""),
            "6:80: service.proxy.local_service_address",
            "'web.local' is no IP address; give one",
        ),
        (
            full("local_service_port = 1 mode = \"transparent\""),
            "6:80: service.proxy.mode",
            "transparent mode is not supported; use upstreams and mode \"direct\"",
        ),
        (
            full("local_service_port = 1 expose { paths = [{ path = \"/\" }] }"),
            "6:80: service.proxy.expose",
            "exposed paths need HTTP, which is not supported; let checks go to the service itself",
        ),
        (
            upstream(&format!("{port} destination_type = \"prepared_query\"")),
            "9:14: service.proxy.upstreams[0].destination_type",
            "prepared queries need Consul; name the service and its datacenter",
        ),
        (
            upstream(&format!("{port} destination_peer = \"p\"")),
            "9:14: service.proxy.upstreams[0].destination_peer",
            "there is no peer 'p'; add peer \"p\" { … } to lictor { }",
        ),
        (
            upstream(&format!("{port} destination_partition = \"ap2\"")),
            "9:14: service.proxy.upstreams[0].destination_partition",
            "upstreams in other partitions are not supported; leave it out or name the own one",
        ),
        (
            upstream("local_bind_socket_path = \"@db\""),
            "9:14: service.proxy.upstreams[0].local_bind_socket_path",
            "'@db' is no absolute path of a socket",
        ),
        (
            upstream("local_bind_socket_path = \"/run/db.sock\" local_bind_socket_mode = \"rw\""),
            "9:14: service.proxy.upstreams[0].local_bind_socket_mode",
            "'rw' is no mode; give octal digits in quotes, as in \"0660\"",
        ),
        (
            upstream(&format!("{port} local_bind_address = \"localhost\"")),
            "9:14: service.proxy.upstreams[0].local_bind_address",
            "'localhost' is no IP address; give one",
        ),
    ];
    for (text, place, why) in cases {
        let settings = with(&text);
        let expected = format!("f:{place}: this sidecar is explained but not run: {why}");
        assert_eq!(notes(&settings.not_run), [expected]);
        assert!(settings.sidecar_registrations.is_empty());
        assert_eq!(settings.sidecars.len(), 1);
    }
    // The same from service-defaults.
    let central = "\nconfig_entries { bootstrap = [{ kind = \"service-defaults\" name = \"web\" mode = \"transparent\" }] }";
    let settings = with(&format!("{}{central}", full("local_service_port = 1")));
    assert!(settings.sidecar_registrations.is_empty());
    assert_eq!(settings.not_run[0].key, "config_entries.bootstrap[0].mode");
}

#[test]
fn what_the_stanza_lacks_is_said() {
    let sidecar = full("local_service_port = 1");
    let place = "f:1:9: service: this sidecar is explained but not run: lictor { } lacks";
    assert_eq!(
        notes(&good(&sidecar).not_run),
        [format!(
            "{place} datacenter, trust_domain, roots, identity \"web\""
        )]
    );
    let other = sidecar.replace("service_name = \"web\"", "service_name = \"shop\"");
    let settings = good(&format!("{other}\n{}", lictor("")));
    assert_eq!(
        notes(&settings.not_run),
        [format!("{place} identity \"shop\"")]
    );
    // One that is complete runs beside it.
    let second = sidecar.replace("web-sidecar-proxy", "w");
    let settings = good(&format!("{other}\n{second}\n{}", lictor("")));
    assert_eq!(
        (settings.not_run.len(), settings.sidecar_registrations.len()),
        (1, 1)
    );
}

#[test]
fn upstreams_that_lead_nowhere_and_keys_without_effect_are_noted() {
    let settings = with(&full(
        "local_service_port = 1
config { protocol = \"http\" envoy_public_listener_json = \"{}\" }
upstreams = [
{ destination_name = \"api\" local_bind_port = 2 },
{ destination_name = \"api\" local_bind_port = 3 datacenter = \"dc2\" },
{ destination_name = \"api\" local_bind_port = 4 datacenter = \"dc2\" mesh_gateway { mode = \"remote\" } },
{ destination_name = \"db\" local_bind_port = 5 config { envoy_cluster_json = \"{}\" } }]",
    ));
    assert_eq!(
        notes(&settings.notes),
        [
            "f:9:28: service.proxy.config.envoy_public_listener_json: not used by lictor",
            "f:14:56: service.proxy.upstreams[3].config.envoy_cluster_json: not used by lictor",
            "f:11:1: service.proxy.upstreams[0]: lictor { } has no endpoints of service \"api\": connections are closed",
            "f:12:1: service.proxy.upstreams[1]: datacenter \"dc2\" in lictor { } has no endpoints of service \"api\": connections are closed",
        ]
    );
    assert_eq!(settings.sidecar_registrations.len(), 1);
}

#[test]
fn an_address_is_listened_on_once_and_port_0_is_any() {
    let two = |port: u16| {
        let first = full("local_service_port = 1").replace("21000", &port.to_string());
        let second = first.replace("web-sidecar-proxy", "w");
        format!("{}{first}\n{second}", lictor(""))
    };
    let errors = read(&two(21000)).expect_err("taken");
    assert_eq!(
        errors.to_string(),
        "f:10:9: service[1]: 0.0.0.0:21000 is taken already at f:6"
    );
    let settings = good(&two(0));
    assert_eq!(settings.sidecar_registrations[1].public.port(), 0);
    assert_eq!(
        settings.notes[0].why,
        "0 listens on a port that the kernel chooses anew at each start"
    );
}

#[test]
fn versions_of_tls_that_are_not_spoken_are_refused() {
    let text = |version: &str| {
        format!(
            "{}{}\nconfig_entries {{ bootstrap = [{{ kind = \"mesh\" tls {{ incoming {{ {version} }} }} }}] }}",
            lictor(""),
            full("local_service_port = 1")
        )
    };
    let place = "f:10:62: config_entries.bootstrap[0].tls.incoming";
    for (version, message) in [
        (
            "tls_min_version = \"1.2\"",
            "TLSMinVersion: '1.2' is not supported; give TLSv1_2 or TLSv1_3",
        ),
        (
            "tls_max_version = \"TLSv1_1\"",
            "TLSMaxVersion: 'TLSv1_1' is not supported; give TLSv1_2 or TLSv1_3",
        ),
    ] {
        let errors = read(&text(version)).expect_err(version).to_string();
        assert_eq!(errors, format!("{place}.{message}"));
    }
    // Below what is spoken anyway: no minimum at all.
    let made = good(&text("tls_min_version = \"TLSv1_0\""))
        .sidecar_registrations
        .remove(0);
    assert_eq!(made.incoming, plan::TlsParameters::default());
}
