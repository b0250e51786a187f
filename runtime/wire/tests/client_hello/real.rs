//! Hellos recorded from Consul's servers, OpenSSL, Go and Node.

use super::{complete, name, one_by_one};
use wire::client_hello::{MAX_ALPN_BYTES, Progress};

struct Recorded {
    client: &'static str,
    sni: Option<&'static str>,
    alpn: Vec<&'static str>,
    bytes: Vec<u8>,
}

fn recorded() -> Vec<Recorded> {
    let lines = include_str!("../data/client-hellos.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [client, sni, alpn, hex] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let digits = hex.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
            Recorded {
                client,
                sni: Some(sni).filter(|sni| *sni != "-"),
                alpn: alpn.split(',').filter(|name| *name != "-").collect(),
                bytes: digits.map(byte).collect(),
            }
        })
        .collect()
}

#[test]
fn every_recorded_hello_gives_its_name_and_protocols() {
    let all = recorded();
    assert_eq!(all.len(), 14);
    for Recorded {
        client,
        sni,
        alpn,
        bytes,
    } in all
    {
        let hello = complete(&bytes);
        let lower = sni.map(str::to_ascii_lowercase);
        assert_eq!(
            hello.server_name.map(|name| name.to_string()),
            lower,
            "{client}"
        );

        assert_eq!(usize::from(hello.alpn.offered()), alpn.len(), "{client}");
        let kept = hello
            .alpn
            .iter()
            .map(|name| str::from_utf8(name).unwrap())
            .collect::<Vec<_>>();
        assert_eq!(kept, alpn[..kept.len()], "{client}");
        let room = MAX_ALPN_BYTES - kept.iter().map(|name| name.len() + 1).sum::<usize>();
        assert!(
            kept.len() == alpn.len() || alpn[kept.len()].len() >= room,
            "{client}"
        );
    }
}

#[test]
fn a_recorded_hello_is_whole_at_its_last_byte_and_not_before() {
    for Recorded { client, bytes, .. } in recorded() {
        let whole = Ok(Progress::Complete(complete(&bytes)));
        assert_eq!(one_by_one(&bytes), (bytes.len(), whole), "{client}");
    }
}

#[test]
fn openssl_spreads_a_hello_over_records() {
    let all = recorded();
    let spread = all
        .iter()
        .find(|one| one.client == "openssl-3.0-records-of-512")
        .unwrap();
    assert_eq!(
        spread.bytes[3..5],
        [2, 0],
        "the first record holds 512 bytes"
    );
    assert!(spread.bytes.len() > 1024, "there are three records");
    assert_eq!(name(&spread.bytes), "api.default.dc1.internal.td.consul");
}
