//! Service definitions as a local agent is told them: the file's words in JSON, as Consul's API takes them
//! (<https://developer.hashicorp.com/consul/api-docs/agent/service#register-service>).
//!
//! An agent reads files and requests almost alike. The differences are made up for here: blocks that HCL makes lists of, a single value
//! where the API wants a list, a check's `id`, and addresses by interface. Nothing is checked: [`crate::registration`] does that, and
//! what only the agent knows it refuses itself. The definition's own `token` is left out: requests have one.

use std::fmt::Write as _;

use plan::{Secret, quote::quote};

use crate::files::Files;
use crate::suggest::normal;
use crate::template::{fill_template, is_template};
use crate::value::{Data, Object, Value};

/// A service with its sidecar, to register at a local agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The ID of the service.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The IDs that the agent gives its checks and its sidecar's.
    pub checks: Vec<String>,
    /// The request's body. Checks may send secrets.
    pub body: Secret,
}

/// What the keys of an object are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Of Consul's schema, in any spelling.
    Known,
    /// The same, of a check.
    Check,
    /// Names, with objects of the schema below them.
    Names,
    /// The operator's own, to the bottom.
    Free,
}

/// The definitions of services that have a sidecar of their own.
pub(crate) fn definitions(services: &[Value], files: &dyn Files) -> Vec<Definition> {
    let one = services.iter().flat_map(items);
    one.filter_map(|service| definition(service, files))
        .collect()
}

fn definition(service: &Value, files: &dyn Files) -> Option<Definition> {
    let object = the_object(service)?;
    let connect = the_object(member(object, "connect")?)?;
    let sidecar = member(connect, "sidecarservice")?;
    let name = text(member(object, "name")?)?;
    let id = member(object, "id")
        .and_then(text)
        .filter(|id| !id.is_empty())
        .unwrap_or(name);
    let mut checks = check_ids(object, id);
    let of_service = checks.len();
    let sidecar_id = format!("{id}-sidecar-proxy");
    if let Some(sidecar) = the_object(sidecar) {
        checks.extend(check_ids(sidecar, &sidecar_id));
    }
    if checks.len() == of_service {
        // It gets two of the agent's own.
        checks.extend([1, 2].map(|nth| format!("service:{sidecar_id}:{nth}")));
    }
    let mut body = String::new();
    write_object(&mut body, object, Keys::Known, files);
    Some(Definition {
        id: id.to_owned(),
        name: name.to_owned(),
        checks,
        body: Secret::new(body),
    })
}

/// The checks of a service as the agent calls them: by its own name where they have none.
/// <https://developer.hashicorp.com/consul/docs/services/usage/checks>
fn check_ids(service: &Object, id: &str) -> Vec<String> {
    let of = |key: &str| member(service, key).map_or(&[][..], items);
    let all = || of("check").iter().chain(of("checks"));
    let count = all().count();
    let given = |check| {
        let object = the_object(check)?;
        text(member(object, "id").or_else(|| member(object, "checkid"))?)
    };
    all()
        .zip(1..)
        .map(|(check, nth)| match given(check) {
            Some(given) => given.to_owned(),
            None if count == 1 => format!("service:{id}"),
            None => format!("service:{id}:{nth}"),
        })
        .collect()
}

fn member<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    let mut entries = object.entries().iter();
    let entry = entries.find(|entry| normal(&entry.key) == name)?;
    Some(&entry.value)
}

/// An object, or the only one of a list: a block of HCL.
fn the_object(value: &Value) -> Option<&Object> {
    match &value.data {
        Data::Object(object) => Some(object),
        Data::List(items) => match items.as_slice() {
            [item] => the_object(item),
            _ => None,
        },
        _ => None,
    }
}

/// The items of a list, or a value that stands for a list of one.
fn items(value: &Value) -> &[Value] {
    match &value.data {
        Data::List(items) => items,
        _ => std::slice::from_ref(value),
    }
}

fn text(value: &Value) -> Option<&str> {
    match &value.data {
        Data::Text(text) => Some(text),
        _ => None,
    }
}

fn write_object(body: &mut String, object: &Object, keys: Keys, files: &dyn Files) {
    body.push('{');
    for entry in object.entries() {
        let known = match keys {
            Keys::Free | Keys::Names => None,
            Keys::Known | Keys::Check => Some(normal(&entry.key)),
        };
        let known = match (keys, known.as_deref()) {
            (Keys::Check, Some("id")) => Some("CheckID"),
            (Keys::Known, Some("token")) => continue,
            (_, known) => known,
        };
        let below = match (keys, known) {
            (Keys::Free, _) | (_, Some("config" | "meta" | "header")) => Keys::Free,
            (_, Some("taggedaddresses")) => Keys::Names,
            (_, Some("check" | "checks")) => Keys::Check,
            _ => Keys::Known,
        };
        if !body.ends_with('{') {
            body.push(',');
        }
        quote(body, known.unwrap_or(&entry.key));
        body.push(':');
        match (known, &entry.value.data) {
            (Some("tags" | "checks" | "upstreams" | "paths" | "args" | "scriptargs"), _) => {
                write_list(body, items(&entry.value), below, files);
            }
            (Some("address" | "localbindaddress"), Data::Text(text)) if is_template(text) => {
                // What cannot be filled is refused where it is used.
                let interfaces = files.interfaces().unwrap_or_default();
                let filled = fill_template(text, &interfaces);
                quote(body, filled.as_deref().unwrap_or(text));
            }
            _ => write(body, &entry.value, below, files),
        }
    }
    body.push('}');
}

fn write_list(body: &mut String, items: &[Value], keys: Keys, files: &dyn Files) {
    body.push('[');
    for item in items {
        if !body.ends_with('[') {
            body.push(',');
        }
        write(body, item, keys, files);
    }
    body.push(']');
}

fn write(body: &mut String, value: &Value, keys: Keys, files: &dyn Files) {
    if let Some(object) = the_object(value) {
        return write_object(body, object, keys, files);
    }
    match &value.data {
        Data::Null => body.push_str("null"),
        Data::Bool(truth) => body.push_str(if *truth { "true" } else { "false" }),
        // Writing to a String cannot fail.
        Data::Int(number) => drop(write!(body, "{number}")),
        Data::Decimal(number) => body.push_str(number.as_str()),
        Data::Text(text) => quote(body, text),
        Data::List(items) => write_list(body, items, keys, files),
        Data::Object(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::{Format, Settings, Source, parse};

    fn settings(format: Format, text: &str) -> Settings {
        let source = Source {
            name: "file",
            text,
            format,
        };
        parse(&[source]).expect("settings")
    }

    fn told(format: Format, text: &str) -> Vec<(String, serde_json::Value)> {
        let settings = settings(format, text);
        let read = |it: &super::Definition| {
            (
                it.id.clone(),
                serde_json::from_str(it.body.expose()).expect("json"),
            )
        };
        settings.definitions.iter().map(read).collect()
    }

    #[test]
    fn a_file_is_told_in_the_words_of_the_api() {
        let hcl = r#"
service {
  name = "web" id = "web-1" port = 8080 token = "sesame" tags = ["a\"b"]
  meta { some_key = "1" }
  tagged_addresses { my_lan { address = "10.0.0.1" port = 1 } }
  check { id = "alive" tcp = "127.0.0.1:8080" interval = "10s" header { X_Y = ["z"] } }
  connect { sidecar_service { port = 21000 proxy {
    config { local_connect_timeout_ms = 1000 }
    upstreams { destination_name = "api" local_bind_port = 9191 mesh_gateway { mode = "local" } }
  } } }
}
service { name = "alone" port = 1 }
"#;
        let expected = serde_json::json!({
            "name": "web", "id": "web-1", "port": 8080, "tags": ["a\"b"],
            "meta": {"some_key": "1"},
            "taggedaddresses": {"my_lan": {"address": "10.0.0.1", "port": 1}},
            "check": {"CheckID": "alive", "tcp": "127.0.0.1:8080", "interval": "10s", "header": {"X_Y": ["z"]}},
            "connect": {"sidecarservice": {"port": 21000, "proxy": {
                "config": {"local_connect_timeout_ms": 1000},
                "upstreams": [{"destinationname": "api", "localbindport": 9191, "meshgateway": {"mode": "local"}}],
            }}},
        });
        assert_eq!(told(Format::Hcl, hcl), [("web-1".to_owned(), expected)]);
    }

    #[test]
    fn the_same_in_any_format_and_spelling() {
        let hcl = r#"services = [{ name = "db" Port = 1 checks = [{ ID = "c" TTL = "10s" }] connect { sidecar_service {} } }]"#;
        let json = r#"{"Service":{"Name":"db","port":1,"Checks":[{"Id":"c","ttl":"10s"}],"Connect":{"SidecarService":{}}}}"#;
        let yaml = "service:\n  name: db\n  port: 1\n  checks:\n  - id: c\n    ttl: 10s\n  connect:\n    sidecar_service: {}\n";
        let expected = serde_json::json!({"name": "db", "port": 1, "checks": [{"CheckID": "c", "ttl": "10s"}],
            "connect": {"sidecarservice": {}}});
        for (format, text) in [
            (Format::Hcl, hcl),
            (Format::Json, json),
            (Format::Yaml, yaml),
        ] {
            assert_eq!(told(format, text), [("db".to_owned(), expected.clone())]);
        }
    }

    #[test]
    fn checks_are_called_as_the_agent_calls_them() {
        for (of_service, of_sidecar, expected) in [
            (
                "",
                "",
                "service:a-sidecar-proxy:1 service:a-sidecar-proxy:2",
            ),
            (
                r#"check { ttl = "1s" }"#,
                r#"checks = [{ alias_service = "a" }]"#,
                "service:a service:a-sidecar-proxy",
            ),
            (
                r#"check { CheckID = "x" ttl = "1s" } checks = [{ ttl = "1s" }, { id = "y" ttl = "1s" }]"#,
                r#"check { id = "z" ttl = "1s" }"#,
                "x service:a:2 y z",
            ),
        ] {
            let hcl = format!(
                r#"service {{ name = "web" id = "a" port = 1 {of_service} connect {{ sidecar_service {{ {of_sidecar} }} }} }}"#
            );
            let settings = settings(Format::Hcl, &hcl);
            assert_eq!(settings.definitions[0].checks.join(" "), expected);
        }
    }
}
