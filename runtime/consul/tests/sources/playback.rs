//! A Consul that answers each question by a recorded answer.

use consul::{ChainQuestion, Question};

/// The recorded answer of that name.
pub(crate) fn recorded(version: &str, name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let path = format!("{folder}/{version}/{name}.json");
    std::fs::read(&path).expect(&path)
}

/// The recorded answer to a question that is asked of an agent of `dc1`, and its index.
pub(crate) fn answer(version: &str, question: &Question) -> (Vec<u8>, Option<u64>) {
    let file = |name: &str| recorded(version, name);
    let none = b"[]".to_vec();
    let body = match question {
        Question::Registration { id } if id == "mesh-gateway" => file("agent-service-mesh-gateway"),
        Question::Registration { .. } => file("agent-service-web-sidecar"),
        Question::NodeServices { .. } => file("node-services-merged"),
        Question::Roots => file("roots"),
        Question::Leaf { service } if service == "web" => file("leaf-web"),
        // Of its own cluster, as the roots are of this one: made to fit.
        Question::Leaf { service } => {
            let leaf = String::from_utf8(file("leaf-web")).expect("text");
            leaf.replace("svc/web\"", &format!("svc/{service}\""))
                .into_bytes()
        }
        Question::Intentions { service } if service == "web" => file("intentions-web"),
        Question::Intentions { .. } | Question::AnyIntention => b"{}".to_vec(),
        Question::Default { .. } => b"{\"Allowed\":true}".to_vec(),
        Question::Chain(chain) => file(recorded_chain(chain)),
        Question::Instances {
            service,
            datacenter,
            filter,
        } => match (service.as_str(), datacenter.as_deref(), filter.as_str()) {
            ("api", None, "") => file("health-connect-api"),
            ("api", None, "Service.Meta.version == v1") => file("health-connect-api-filter-v1"),
            ("api", Some("dc2"), _) => file("health-connect-api-dc2"),
            ("db", Some("dc2"), "") => file("health-connect-db-dc2"),
            ("cache", None, "") => file("health-connect-cache"),
            ("web", None, "") => file("health-connect-web"),
            ("billing", None, "") => file("health-connect-billing"),
            _ => none,
        },
        Question::Gateways => file("mesh-gateways"),
        Question::Query { .. } => file("query-execute-api-query"),
        Question::Services => file("catalog-services"),
        Question::Resolvers => file("config-service-resolver"),
        Question::Servers => file("health-service-consul"),
        Question::MeshEntry => file("config-mesh"),
        Question::ServiceDefaults | Question::ProxyDefaults | Question::NodeChecks { .. } => none,
        Question::Agent => file("agent-self"),
    };
    // Consul before 1.9 says no index for intentions.
    let silent = version == "1.8.7" && matches!(question, Question::Intentions { .. });
    (body, (!silent).then_some(7))
}

fn recorded_chain(chain: &ChainQuestion) -> &'static str {
    let key = (
        chain.service.as_str(),
        chain.datacenter.as_str(),
        chain.mode.as_str(),
    );
    match key {
        ("api", "dc2", "remote" | "local") => "chain-api-dc2-override-remote",
        ("api", "" | "dc1", _) => "chain-api",
        ("db", "", "local") => "chain-db-override-local",
        ("db", "dc2", "none") => "chain-db-override-none",
        ("db", "dc2", "local") => "chain-db-override-local",
        ("cache", "", _) => "chain-cache",
        ("mesh-gateway", "", "") => "chain-nosuch",
        _ => panic!("no recorded chain for {chain:?}"),
    }
}
