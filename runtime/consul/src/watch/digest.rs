//! The catalog read through, for one number a service: whether its instances are what they were.
//!
//! Reads what `/v1/internal/ui/nodes` answers, an array of nodes with their services and checks, as it streams in. What is
//! kept is 16 bytes a service, and one service's text while it is read. Two catalogs that differ in what
//! `/v1/health/connect/<service>` says have different numbers for it; what a check prints does not count.

use std::fmt;

use wire::json_elements::{Cut, Elements, Kind, NotJson};

use super::entry::{FNV_BASIS, hash, hash_on};
use crate::json::{self, NotUnderstood, Read};

/// A number for each service that has instances in the mesh.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Digests(Vec<(u64, u64)>);

impl Digests {
    /// The number of a service, by the hash of its name in lower case.
    pub(super) fn of(&self, service: u64) -> Option<u64> {
        let at = self
            .0
            .binary_search_by_key(&service, |(service, _)| *service);
        self.0.get(at.ok()?).map(|(_, digest)| *digest)
    }
}

/// Reads a catalog.
#[derive(Default)]
pub(super) struct Digest {
    nodes: Elements,
    node: Node,
    found: Vec<(u64, u64)>,
}

/// Why a catalog cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    NotJson(NotJson),
    NotUnderstood(NotUnderstood),
    TooLong,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "{why}"),
            Self::NotUnderstood(why) => write!(f, "{why}"),
            Self::TooLong => f.write_str("one service is longer than 256 KiB"),
        }
    }
}

/// The node that is being read.
#[derive(Default)]
struct Node {
    members: Elements,
    key: Vec<u8>,
    list: Elements,
    element: Vec<u8>,
    /// Of everything about the node itself.
    own: u64,
    services: Vec<Registered>,
    /// Of each check, with the ID of its service.
    checks: Vec<(u64, u64)>,
}

struct Registered {
    /// The hash of its ID.
    id: u64,
    /// The hash of the service it stands for.
    service: u64,
    digest: u64,
}

impl Digest {
    /// Reads on.
    pub(super) fn read(&mut self, mut piece: &[u8]) -> Result<(), Unreadable> {
        loop {
            let (taken, cut) = self.nodes.next(piece).map_err(Unreadable::NotJson)?;
            piece = piece.get(taken..).unwrap_or_default();
            match cut {
                Cut::More => return Ok(()),
                Cut::Part(part) => self.node.read(part)?,
                Cut::End(_) => std::mem::take(&mut self.node).end(&mut self.found),
            }
        }
    }

    /// Gives the numbers, once all is read.
    pub(super) fn finish(mut self) -> Result<Digests, Unreadable> {
        self.nodes.finish().map_err(Unreadable::NotJson)?;
        self.found.sort_unstable_by_key(|(service, _)| *service);
        self.found.dedup_by(|(other, digest), (service, sum)| {
            let same = other == service;
            if same {
                *sum = sum.wrapping_add(*digest);
            }
            same
        });
        self.found.shrink_to_fit();
        Ok(Digests(self.found))
    }
}

impl Node {
    fn read(&mut self, mut piece: &[u8]) -> Result<(), Unreadable> {
        loop {
            let (taken, cut) = self.members.next(piece).map_err(Unreadable::NotJson)?;
            piece = piece.get(taken..).unwrap_or_default();
            match cut {
                Cut::More => return Ok(()),
                Cut::Part(part) => self.part(part)?,
                Cut::End(Kind::Key) => {
                    self.key = std::mem::take(&mut self.element);
                    self.list = Elements::new();
                }
                Cut::End(_) => {
                    self.element.clear();
                    self.key.clear();
                }
            }
        }
    }

    /// A part of a key, or of a value.
    fn part(&mut self, part: &[u8]) -> Result<(), Unreadable> {
        match self.key.as_slice() {
            b"" => extend(&mut self.element, part),
            b"\"Services\"" | b"\"Checks\"" => self.list(part),
            _ => {
                self.own = hash_on(self.own, part);
                Ok(())
            }
        }
    }

    fn list(&mut self, mut piece: &[u8]) -> Result<(), Unreadable> {
        loop {
            let (taken, cut) = self.list.next(piece).map_err(Unreadable::NotJson)?;
            piece = piece.get(taken..).unwrap_or_default();
            match cut {
                Cut::More => return Ok(()),
                Cut::Part(part) => extend(&mut self.element, part)?,
                Cut::End(Kind::Item) => {
                    let element = std::mem::take(&mut self.element);
                    if self.key == b"\"Services\"" {
                        self.services
                            .extend(service(&element).map_err(Unreadable::NotUnderstood)?);
                    } else {
                        self.checks
                            .push(check(&element).map_err(Unreadable::NotUnderstood)?);
                    }
                    self.element = element;
                    self.element.clear();
                }
                // `null` is no list.
                Cut::End(_) => self.element.clear(),
            }
        }
    }

    /// Adds what was read. The order of services, checks and nodes does not count.
    fn end(self, found: &mut Vec<(u64, u64)>) {
        let none = hash(b"");
        let of_node = self.checks.iter().filter(|(id, _)| *id == none);
        let own = of_node.fold(self.own, |sum, (_, check)| sum.wrapping_add(*check));
        let mut checks = self.checks;
        checks.sort_unstable();
        for Registered {
            id,
            service,
            digest,
        } in self.services
        {
            let from = checks.partition_point(|(other, _)| *other < id);
            let of_service = checks
                .iter()
                .skip(from)
                .take_while(|(other, _)| *other == id);
            let sum = of_service.fold(own, |sum, (_, check)| sum.wrapping_add(*check));
            found.push((service, hash_on(digest, &sum.to_le_bytes())));
        }
    }
}

fn extend(element: &mut Vec<u8>, part: &[u8]) -> Result<(), Unreadable> {
    if element.len() + part.len() > MAX_ELEMENT_BYTES {
        return Err(Unreadable::TooLong);
    }
    element.extend_from_slice(part);
    Ok(())
}

/// A service, if it is in the mesh: by a proxy or by itself.
fn service(element: &[u8]) -> Read<Option<Registered>> {
    let (mut id, mut kind, mut name, mut destination, mut native) = Default::default();
    json::whole(element, |reader| {
        reader.object(&mut |key, value| {
            match key {
                "ID" => id = value.text()?,
                "Kind" => kind = value.text()?,
                "Service" => name = value.text()?,
                "Proxy" => value.object(&mut |key, value| {
                    if key == "DestinationServiceName" {
                        destination = value.text()?;
                    }
                    Ok(())
                })?,
                "Connect" => value.object(&mut |key, value| {
                    if key == "Native" {
                        native = value.flag()?;
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })
    })?;
    let stands_for: Option<String> = match kind.as_str() {
        "connect-proxy" => Some(destination),
        "" if native => Some(name),
        _ => None,
    };
    let id: String = id;
    Ok(stands_for.map(|service| Registered {
        id: hash(id.as_bytes()),
        service: hash(service.to_ascii_lowercase().as_bytes()),
        digest: hash(element),
    }))
}

/// A check: the hash of its service's ID, empty for the node, and a number for what it says.
fn check(element: &[u8]) -> Read<(u64, u64)> {
    let (mut service, mut id, mut status) = Default::default();
    json::whole(element, |reader| {
        reader.object(&mut |key, value| {
            match key {
                "ServiceID" => service = value.text()?,
                "CheckID" => id = value.text()?,
                "Status" => status = value.text()?,
                _ => {}
            }
            Ok(())
        })
    })?;
    let (service, id, status): (String, String, String) = (service, id, status);
    let said = hash_on(hash_on(FNV_BASIS, id.as_bytes()), status.as_bytes());
    Ok((hash(service.as_bytes()), said))
}

/// A service with a long configuration.
const MAX_ELEMENT_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(catalog: &str, length: usize) -> Result<Digests, Unreadable> {
        let mut digest = Digest::default();
        for piece in catalog.as_bytes().chunks(length) {
            digest.read(piece)?;
        }
        digest.finish()
    }

    fn of(catalog: &str, service: &str) -> Option<u64> {
        let digests = read(catalog, catalog.len().max(1)).unwrap();
        digests.of(hash(service.as_bytes()))
    }

    const NODE: &str = r#"{"Node":"n","Address":"10.0.0.1","Services":[
        {"Kind":"connect-proxy","ID":"p","Service":"api-proxy","Port":1,"Proxy":{"DestinationServiceName":"Api"}},
        {"ID":"b","Service":"billing","Connect":{"Native":true}},
        {"ID":"l","Service":"legacy","Connect":{}},
        {"Kind":"mesh-gateway","ID":"g","Service":"gw","Proxy":{}}],
        "Checks":[{"CheckID":"serf","Status":"passing","ServiceID":"","Output":"x"},
        {"CheckID":"c","Status":"passing","ServiceID":"p","Output":"y"}]}"#;

    #[test]
    fn services_of_the_mesh_have_a_number_and_others_none() {
        let catalog = format!("[{NODE}]");
        let known = ["api", "billing", "legacy", "gw", "api-proxy"]
            .map(|name| of(&catalog, name).is_some());
        assert_eq!(known, [true, true, false, false, false]);
        assert_eq!(of("[]", "api"), None);
        assert!(of(r#"[{"Node":"n","Services":null,"Checks":null}]"#, "api").is_none());
    }

    #[test]
    fn what_matters_to_a_service_changes_its_number_and_nothing_else_does() {
        let catalog = format!("[{NODE}]");
        for (what, with, changed) in [
            (r#""Port":1"#, r#""Port":2"#, [true, false]),
            ("10.0.0.1", "10.0.0.2", [true, true]),
            (
                r#""passing","ServiceID":"p""#,
                r#""critical","ServiceID":"p""#,
                [true, false],
            ),
            (
                r#""passing","ServiceID":"""#,
                r#""critical","ServiceID":"""#,
                [true, true],
            ),
            (r#""Output":"y""#, r#""Output":"z""#, [false, false]),
            (
                r#""Service":"legacy""#,
                r#""Service":"other""#,
                [false, false],
            ),
        ] {
            let other = catalog.replace(what, with);
            assert_ne!(other, catalog);
            let differs = ["api", "billing"].map(|name| of(&catalog, name) != of(&other, name));
            assert_eq!(differs, changed, "{what}");
        }
        // Another instance elsewhere, in either order.
        let other = NODE.replace("10.0.0.1", "10.0.0.2");
        let (one, two) = (format!("[{NODE},{other}]"), format!("[{other},{NODE}]"));
        assert_ne!(of(&one, "api"), of(&catalog, "api"));
        assert_eq!(of(&one, "api"), of(&two, "api"));
    }

    #[test]
    fn what_is_no_catalog_is_an_error() {
        for bad in [
            "[",
            "[{]",
            r#"[{"Services":[1]}]"#,
            r#"[{"Services":[{"ID":1}]}]"#,
        ] {
            assert!(read(bad, 3).is_err(), "{bad}");
        }
        let long = format!(r#"[{{"Services":[{{"ID":"{}"}}]}}]"#, "x".repeat(300_000));
        assert!(matches!(read(&long, 4096), Err(Unreadable::TooLong)));
    }

    proptest! {
        #[test]
        fn it_is_read_alike_however_it_is_cut(length in 1_usize..400) {
            let catalog = format!("[{NODE} , {}]", NODE.replace("\"n\"", "\"m\""));
            prop_assert_eq!(read(&catalog, length).unwrap(), read(&catalog, catalog.len()).unwrap());
        }

        #[test]
        fn no_text_panics(text in r#"[\[\]{}":,a0 ]{0,40}"#) {
            let _ = read(&text, 5);
        }
    }
}
