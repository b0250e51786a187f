//! A gateway whose services change one at a time: its Plan is at each step what it would be if it were made anew.

use std::{fmt::Write as _, rc::Rc};

use consul::{News, Question, Registered, gateway::Gateway};
use plan::Plan;
use proptest::prelude::*;

use crate::playback;

/// What happens in Consul.
#[derive(Clone, Debug)]
enum Step {
    /// A service has this many instances that speak mesh TLS, of sidecars under a name of their own or the usual one.
    Instances(usize, u8, bool),
    /// The catalog lists these.
    Listed(Vec<bool>),
    /// A service has these subsets, the first of which its plain name means.
    Subsets(usize, Vec<&'static str>),
    /// There is another datacenter.
    Datacenter(bool),
}

/// Names of which one is the sidecar of another, and some of which come to the same cluster.
const NAMES: [&str; 7] = [
    "api",
    "api-sidecar-proxy",
    "db",
    "v1.api",
    "API",
    "web",
    "web-sidecar-proxy",
];

const SUBSETS: [&str; 3] = ["v1", "v2", "V1"];

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        6 => (name(), 0..3_u8, any::<bool>()).prop_map(|(at, count, usual)| Step::Instances(at, count, usual)),
        2 => prop::collection::vec(any::<bool>(), NAMES.len()).prop_map(Step::Listed),
        1 => (name(), prop::sample::subsequence(SUBSETS.to_vec(), 0..3)).prop_map(|(at, names)| Step::Subsets(at, names)),
        1 => any::<bool>().prop_map(Step::Datacenter),
    ]
}

fn instances(service: &str, count: u8, sidecar: &str) -> String {
    let instance = |port: u8| {
        format!(
            r#"{{"Node":{{"Node":"n","Address":"10.0.0.1","Datacenter":"dc1"}},"Service":{{"Kind":"connect-proxy","ID":"{port}",
            "Service":"{sidecar}","Port":{},"Proxy":{{"DestinationServiceName":"{service}"}}}},"Checks":[]}}"#,
            u16::from(port) + 1000
        )
    };
    let all: Vec<String> = (0..count).map(instance).collect();
    format!("[{}]", all.join(","))
}

/// The state of a made-up Consul.
struct Consul {
    listed: Vec<bool>,
    instances: Vec<(u8, bool)>,
    subsets: Vec<Vec<&'static str>>,
    datacenter: bool,
}

impl Consul {
    fn take(&mut self, step: Step) {
        match step {
            Step::Instances(at, count, usual) => self.instances[at] = (count, usual),
            Step::Listed(listed) => self.listed = listed,
            Step::Subsets(at, names) => self.subsets[at] = names,
            Step::Datacenter(is_there) => self.datacenter = is_there,
        }
    }

    fn answer(&self, question: &Question) -> Vec<u8> {
        let text = match question {
            Question::Services => {
                let names = NAMES.iter().zip(&self.listed);
                let listed = names.filter(|(_, listed)| **listed);
                let names: Vec<_> = listed.map(|(name, _)| format!("\"{name}\":[]")).collect();
                format!("{{{}}}", names.join(","))
            }
            Question::Instances { service, .. } => {
                let at = NAMES
                    .iter()
                    .position(|name| name == service)
                    .expect("known");
                let (count, usual) = self.instances[at];
                let sidecar = if usual {
                    format!("{service}-sidecar-proxy")
                } else {
                    "db".to_owned()
                };
                instances(service, count, &sidecar)
            }
            Question::Resolvers => {
                let mut entries = Vec::new();
                for (name, subsets) in NAMES.iter().zip(&self.subsets) {
                    let mut text = String::new();
                    for subset in subsets {
                        let _ = write!(text, ",\"{subset}\":{{\"Filter\":\"is {subset}\"}}");
                    }
                    let default = subsets.first().copied().unwrap_or_default();
                    let subsets = text.get(1..).unwrap_or_default();
                    entries.push(format!(
                        r#"{{"Name":"{name}","DefaultSubset":"{default}","Subsets":{{{subsets}}}}}"#
                    ));
                }
                format!("[{}]", entries.join(","))
            }
            Question::Gateways if !self.datacenter => "{}".to_owned(),
            Question::Servers => "[]".to_owned(),
            _ => return playback::answer("1.8.7", question).0,
        };
        text.into_bytes()
    }
}

/// Asks until everything is answered, as a follower does: what must be asked is looked at when an answer says so.
fn settle(gateway: &mut Gateway, consul: &Consul) {
    gateway.forget();
    let mut wanted = gateway.wanted();
    for _ in 0..9 {
        let mut again = false;
        for question in &wanted {
            let news = gateway
                .learn(&Rc::new(question.clone()), &consul.answer(question))
                .expect("an answer");
            again |= news == News::Questions;
        }
        if !again {
            return;
        }
        gateway.forget();
        wanted = gateway.wanted();
    }
}

fn whole(gateway: &Gateway) -> Plan {
    let made = gateway.mesh().expect("a mesh");
    plan::gateway::plan(&made.gateway, &made.mesh)
}

fn gateway() -> Gateway {
    let registered = Registered {
        id: "mesh-gateway".to_owned(),
        node: None,
    };
    Gateway::new(registered, "consul")
}

fn consul() -> Consul {
    Consul {
        listed: vec![true; NAMES.len()],
        instances: vec![(1, true); NAMES.len()],
        subsets: vec![Vec::new(); NAMES.len()],
        datacenter: true,
    }
}

proptest! {
    #[test]
    fn it_is_as_if_made_anew(
        listed in prop::collection::vec(any::<bool>(), NAMES.len()),
        steps in prop::collection::vec(step(), 1..12),
    ) {
        let (mut gateway, mut consul) = (gateway(), consul());
        consul.listed = listed;
        settle(&mut gateway, &consul);
        prop_assert_eq!(gateway.plan().expect("a plan"), whole(&gateway));
        for step in steps {
            consul.take(step);
            settle(&mut gateway, &consul);
            prop_assert_eq!(gateway.plan().expect("a plan"), whole(&gateway));
        }
    }
}

#[test]
fn the_rest_is_shared_with_the_plan_before() {
    let (mut gateway, mut consul) = (gateway(), consul());
    for odd in [3, 4] {
        consul.listed[odd] = false;
    }
    settle(&mut gateway, &consul);
    let before = gateway.plan().expect("a plan");
    assert!(before.clusters.len() >= 3, "{before:?}");
    // In place of one service, and then of all of them.
    for step in [Step::Instances(0, 2, true), Step::Datacenter(false)] {
        consul.take(step);
        settle(&mut gateway, &consul);
        let after = gateway.plan().expect("a plan");
        assert_ne!(after, before);
        let is_new = |cluster: &&Rc<plan::Cluster>| {
            let mut known = before.clusters.iter();
            !known.any(|other| Rc::ptr_eq(other, cluster))
        };
        let new: Vec<_> = after.clusters.iter().filter(is_new).collect();
        assert_eq!(new.len(), 1, "{new:?}");
        assert!(new[0].name.starts_with("api."), "{new:?}");
    }
}

#[test]
fn sidecars_under_their_usual_names_are_never_asked_for() {
    let (mut gateway, consul) = (gateway(), consul());
    let mut asked = Vec::new();
    for _ in 0..9 {
        gateway.forget();
        let wanted = gateway.wanted();
        for question in &wanted {
            gateway
                .learn(&Rc::new(question.clone()), &consul.answer(question))
                .expect("an answer");
        }
        asked.extend(wanted);
    }
    let is_of_a_sidecar = |question: &&Question| matches!(question, Question::Instances { service, .. } if service.ends_with("-sidecar-proxy"));
    assert_eq!(asked.iter().find(is_of_a_sidecar), None);
}
