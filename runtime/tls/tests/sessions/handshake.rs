//! Handshakes that must work: versions, keys, chains, rotation, resumption.

use crate::mesh::{
    Authority, Leaf, NOW, PEER_TD, Pair, TD, client, clock_at, id, key, only, openssl, options,
    rsa_key, server, uri,
};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use tls::{AesSupport, ClientContext, Identity, Options, Roots, ServerContext, Step, Tls12Suites};

#[test]
fn both_ends_learn_who_the_other_is() {
    let root = Authority::root("root");
    for version in ["TLSv1_2", "TLSv1_3"] {
        let options = only(version);
        let client = client(&root, &root.leaf(TD, "web"), &options);
        let mut pair = Pair::shake(&client, &server(&root, &options));
        pair.assert_talks();
        assert_eq!(*pair.server.peer().unwrap(), id(TD, "web"));
        assert_eq!(*pair.client.peer().unwrap(), id(TD, "db"));
        let (agreed, suite) = pair.server.session.negotiated().unwrap();
        assert_eq!(format!("{agreed:?}"), version);
        assert!(format!("{suite:?}").contains("AES_128_GCM"), "{suite:?}");
    }
}

#[test]
fn nobody_is_known_before_the_handshake_is_done() {
    let root = Authority::root("root");
    let pair = Pair::new(
        &client(&root, &root.leaf(TD, "web"), &options()),
        &server(&root, &options()),
    );
    assert_eq!(pair.client.result, Ok(Step::Handshaking));
    assert_eq!(pair.client.peer(), None);
    assert_eq!(pair.client.session.negotiated(), None);
}

#[test]
fn every_kind_of_key_works_with_both_versions() {
    let root = Authority::root("root");
    for key in [
        key(&PKCS_ECDSA_P256_SHA256),
        key(&PKCS_ECDSA_P384_SHA384),
        key(&PKCS_ED25519),
        rsa_key(),
    ] {
        let name = format!("{:?}", key.algorithm());
        let leaf = root.leaf_of(key, &uri(TD, "db"), |_| {});
        let server_side = |options: &Options| {
            ServerContext::new(&leaf.identity(), root.trust(), options).unwrap()
        };
        for version in ["TLSv1_2", "TLSv1_3"] {
            let options = only(version);
            // The same leaf for both ends: each signs and each verifies.
            let mut pair = Pair::shake(&client(&root, &leaf, &options), &server_side(&options));
            assert!(
                pair.server.result.is_ok(),
                "{name} {version}: {:?}",
                pair.server.result
            );
            pair.assert_talks();
        }
    }
}

#[test]
fn keys_are_read_in_sec1_pkcs8_and_pkcs1() {
    let root = Authority::root("root");
    let ec = root.leaf(TD, "db");
    let rsa = root.leaf_of(rsa_key(), &uri(TD, "db"), |_| {});
    let sec1 = openssl(&["ec"], ec.key.as_bytes());
    let pkcs1 = openssl(&["rsa", "-traditional"], rsa.key.as_bytes());
    assert!(sec1.contains("BEGIN EC PRIVATE KEY"), "{sec1}");
    assert!(pkcs1.contains("BEGIN RSA PRIVATE KEY"), "{pkcs1}");
    for (chain, key) in [
        (&ec.chain, &sec1),
        (&ec.chain, &ec.key),
        (&rsa.chain, &pkcs1),
        (&rsa.chain, &rsa.key),
    ] {
        let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(*identity.id(), id(TD, "db"));
        assert!(identity.validity().contains(NOW));
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }
}

#[test]
fn intermediates_may_come_twice_and_in_any_order() {
    let root = Authority::root("root");
    let first = root.intermediate("first");
    let second = first.intermediate("second");
    let leaf = second.leaf(TD, "web");
    let server = server(&root, &options());
    let (a, b) = (first.pem.as_str(), second.pem.as_str());
    for chain in [&[b, a][..], &[a, b], &[b, b, a, a], &[a, b, a]] {
        let leaf = leaf.clone().with(chain);
        Pair::shake(&client(&root, &leaf, &options()), &server).assert_talks();
    }
}

#[test]
fn a_rotation_of_roots_fails_nobody() {
    let old = Authority::root("old");
    let new = Authority::root("new");
    let both = [old.pem.as_str(), new.pem.as_str()].concat();
    let both = Roots::from_pem(both.as_bytes()).unwrap();
    assert_eq!(both.len(), 2);
    let cross = old.cross_sign(&new);
    let of_old = old.leaf(TD, "web");
    let of_new = new.leaf(TD, "web").with(&[&cross]);
    let trusts = |roots: Roots| {
        let trust = tls::TrustBundle::new(TD, roots);
        ServerContext::new(&of_old.identity(), trust, &options()).unwrap()
    };
    let connects = |leaf: &Leaf| {
        let accepted = vec![id(TD, "web")];
        ClientContext::new(&leaf.identity(), both.clone(), accepted, None, &options()).unwrap()
    };
    for (roots, leaf) in [
        (old.roots(), &of_old),
        // Through the cross-signature, by those who have not heard of the new root.
        (old.roots(), &of_new),
        (both.clone(), &of_old),
        (both.clone(), &of_new),
        (new.roots(), &of_new),
    ] {
        Pair::shake(&connects(leaf), &trusts(roots)).assert_talks();
    }
    let mut late = Pair::shake(&connects(&of_old), &trusts(new.roots()));
    late.settle();
    assert!(late.server.error().contains("not issued by a root"));
}

#[test]
fn a_peers_services_come_in_by_their_own_roots() {
    let (own, peer) = (Authority::root("root"), Authority::root("root"));
    let identity = own.leaf(TD, "db").identity();
    let trust = own.trust().with(PEER_TD, peer.roots());
    assert_eq!(trust.trust_domains().collect::<Vec<_>>(), [TD, PEER_TD]);
    let server = ServerContext::new(&identity, trust, &options()).unwrap();
    let mut pair = Pair::shake(
        &client(&own, &peer.leaf(PEER_TD, "web"), &options()),
        &server,
    );
    pair.assert_talks();
    assert_eq!(*pair.server.peer().unwrap(), id(PEER_TD, "web"));
    // Neither can speak for the other.
    for leaf in [peer.leaf(TD, "web"), own.leaf(PEER_TD, "web")] {
        let pair = Pair::shake(&client(&own, &leaf, &options()), &server);
        assert!(
            pair.server.error().contains("not issued by a root"),
            "{}",
            pair.server.error()
        );
    }
}

#[test]
fn sessions_are_resumed_with_the_certificates_checked_again() {
    let root = Authority::root("root");
    for version in ["TLSv1_2", "TLSv1_3"] {
        let options = only(version);
        let client = client(&root, &root.leaf(TD, "web"), &options);
        let server = server(&root, &options);
        let mut first = Pair::shake(&client, &server);
        first.assert_talks();
        assert!(!first.server.session.is_resumed());
        for _ in 0..20 {
            let mut again = Pair::shake(&client, &server);
            again.assert_talks();
            assert!(again.server.session.is_resumed(), "{version}");
            assert!(again.client.session.is_resumed(), "{version}");
            assert_eq!(*again.server.peer().unwrap(), id(TD, "web"));
            assert_eq!(*again.client.peer().unwrap(), id(TD, "db"));
        }
    }
}

#[test]
fn handshakes_at_the_same_time_are_resumed_too() {
    const AT_ONCE: usize = 32;
    let root = Authority::root("root");
    let options = only("TLSv1_3");
    let client = client(&root, &root.leaf(TD, "web"), &options);
    let server = server(&root, &options);
    for known in [false, true] {
        let mut pairs: Vec<Pair> = (0..AT_ONCE).map(|_| Pair::new(&client, &server)).collect();
        pairs.iter_mut().for_each(Pair::settle);
        for pair in &mut pairs {
            pair.assert_talks();
            assert_eq!(pair.client.session.is_resumed(), known);
        }
    }
}

#[test]
fn no_session_is_resumed_under_a_new_context() {
    let root = Authority::root("root");
    for version in ["TLSv1_2", "TLSv1_3"] {
        let options = only(version);
        let web = root.leaf(TD, "web");
        let (old_client, old_server) = (client(&root, &web, &options), server(&root, &options));
        Pair::shake(&old_client, &old_server).assert_talks();
        for (client, server) in [
            (old_client.clone(), server(&root, &options)),
            (client(&root, &web, &options), old_server.clone()),
        ] {
            let mut pair = Pair::shake(&client, &server);
            pair.assert_talks();
            assert!(!pair.server.session.is_resumed(), "{version}");
        }
    }
}

#[test]
fn resumption_can_be_turned_off() {
    let root = Authority::root("root");
    let off = Options {
        sessions: 0,
        ..options()
    };
    let (client, server) = (
        client(&root, &root.leaf(TD, "web"), &off),
        server(&root, &off),
    );
    for _ in 0..2 {
        let mut pair = Pair::shake(&client, &server);
        pair.assert_talks();
        assert!(!pair.server.session.is_resumed());
    }
}

/// The clock passes the end of the client's certificate while its session waits to be resumed.
#[test]
fn an_expired_certificate_is_not_resumed() {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        time::Duration,
    };
    let root = Authority::root("root");
    let short = root.leaf_with(&uri(TD, "web"), |params| {
        params.not_after = rcgen::date_time_ymd(2026, 6, 2);
    });
    for version in ["TLSv1_2", "TLSv1_3"] {
        let now = Arc::new(AtomicU64::new(NOW));
        let clock = Arc::clone(&now);
        let moving = Options {
            clock: tls::Clock::new(move || Duration::from_secs(clock.load(Relaxed))),
            ..only(version)
        };
        // The client's clock stands still, so it offers its session.
        let client = client(&root, &short, &only(version));
        let server = server(&root, &moving);
        Pair::shake(&client, &server).assert_talks();
        now.store(NOW + 24 * 3600 - 1, Relaxed);
        Pair::shake(&client, &server).assert_talks();
        now.store(NOW + 24 * 3600 + 10, Relaxed);
        let pair = Pair::shake(&client, &server);
        assert!(
            pair.server.error().contains("expired 10 s ago"),
            "{}",
            pair.server.error()
        );
        assert_eq!(pair.server.peer(), None);
    }
}

#[test]
fn a_live_session_is_held_against_a_new_context() {
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let web = root.leaf(TD, "web");
    let mut pair = Pair::shake(&client(&root, &web, &options()), &server(&root, &options()));
    pair.assert_talks();
    let identity = root.leaf(TD, "db").identity();
    let server_with = |trust, now| {
        let options = Options {
            clock: clock_at(now),
            ..options()
        };
        ServerContext::new(&identity, trust, &options).unwrap()
    };
    let session = &pair.server.session;
    assert_eq!(
        server_with(root.trust(), NOW).still_accepts(session),
        Ok(())
    );
    assert!(
        server_with(other.trust(), NOW)
            .still_accepts(session)
            .is_err()
    );
    // Dates were looked at when it was made: a certificate that ends, or a clock that jumps, cuts nobody off.
    assert_eq!(
        server_with(root.trust(), NOW * 2).still_accepts(session),
        Ok(())
    );

    let accepts = |service: &str| {
        let accepted = vec![id(TD, service)];
        ClientContext::new(&identity, root.roots(), accepted, None, &options()).unwrap()
    };
    assert_eq!(accepts("db").still_accepts(&pair.client.session), Ok(()));
    assert!(
        accepts("other")
            .still_accepts(&pair.client.session)
            .is_err()
    );
}

#[test]
fn the_cpu_and_the_mesh_entry_choose_the_suite() {
    let root = Authority::root("root");
    let web = root.leaf(TD, "web");
    let suite = |client_side: &Options, server_side: &Options| {
        let mut pair = Pair::shake(
            &client(&root, &web, client_side),
            &server(&root, server_side),
        );
        pair.assert_talks();
        format!("{:?}", pair.client.session.negotiated().unwrap().1)
    };
    let software = Options {
        aes: AesSupport::Software,
        ..options()
    };
    let chacha = "TLS13_CHACHA20_POLY1305_SHA256";
    assert_eq!(suite(&options(), &options()), "TLS13_AES_128_GCM_SHA256");
    assert_eq!(suite(&software, &options()), chacha);
    assert_eq!(suite(&options(), &software), chacha);
    let one = Options {
        tls12_suites: Tls12Suites::from_names(["ECDHE-ECDSA-AES256-GCM-SHA384"]).unwrap(),
        ..only("TLSv1_2")
    };
    assert_eq!(
        suite(&options(), &one),
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    );
}

#[test]
fn versions_without_an_overlap_are_refused_by_name() {
    let root = Authority::root("root");
    let web = root.leaf(TD, "web");
    let pair = Pair::shake(
        &client(&root, &web, &only("TLSv1_2")),
        &server(&root, &only("TLSv1_3")),
    );
    assert!(
        pair.client
            .error()
            .contains("no TLS version that both allow"),
        "{}",
        pair.client.error()
    );
    assert!(
        pair.server.error().contains("does not speak TLS as we do"),
        "{}",
        pair.server.error()
    );
}
