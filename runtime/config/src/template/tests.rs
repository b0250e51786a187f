//! What templates come to, on a machine that is made up.

use proptest::prelude::*;

use super::*;

/// A gateway in a cabinet: loopback, a cable with two networks, a modem that has the default route, and a device that is down.
fn machine() -> Vec<InterfaceAddress> {
    let address = |name: &str, ip: &str, prefix, up, default| InterfaceAddress {
        name: name.to_owned(),
        ip: ip.parse().unwrap(),
        prefix,
        up,
        default,
    };
    vec![
        address("lo", "127.0.0.1", 8, true, false),
        address("lo", "::1", 128, true, false),
        address("eth0", "fe80::1", 64, true, false),
        address("eth0", "10.7.0.9", 24, true, false),
        address("eth0", "10.9.0.9", 16, true, false),
        address("eth0", "fd00::9", 64, true, false),
        address("wwan0", "192.168.8.2", 24, true, true),
        address("wwan0", "1.2.3.4", 30, true, true),
        address("eth1.100", "10.1.0.1", 8, false, false),
    ]
}

fn filled(text: &str) -> Result<String, String> {
    fill_template(text, &machine())
}

#[test]
fn addresses_are_those_that_go_sockaddr_gives() {
    for (template, address) in [
        // The largest network first, IPv4 before IPv6, nothing that no router forwards.
        (r#"GetInterfaceIP "eth0""#, "10.9.0.9"),
        (r#"GetInterfaceIP "th0""#, "10.9.0.9"),
        (r#"GetInterfaceIP "^eth1\\.""#, "10.1.0.1"),
        ("GetInterfaceIP `^eth1\\.`", "10.1.0.1"),
        // The default route's first.
        ("GetPrivateIP", "192.168.8.2"),
        ("GetPublicIP", "1.2.3.4"),
        (r#"GetPrivateInterfaces | attr "address""#, "192.168.8.2"),
        (r#"GetPublicInterfaces|attr "address""#, "1.2.3.4"),
        (r#"GetDefaultInterfaces | attr "address""#, "192.168.8.2"),
        (r#"GetAllInterfaces | attr "address""#, "127.0.0.1"),
        (
            r#". | include "name" "wwan" | attr "address""#,
            "192.168.8.2",
        ),
        (
            r#"GetAllInterfaces | include "name" "eth0" | exclude "type" "ipv4" | include "flags" "forwardable" | attr "address""#,
            "fd00::9",
        ),
        (
            r#"GetAllInterfaces | include "RFC" "1918" | include "flag" "up" | attr "address""#,
            "10.7.0.9",
        ),
        (
            r#"GetAllInterfaces | exclude "flag" "up" | attr "address""#,
            "10.1.0.1",
        ),
        (
            r#"GetAllInterfaces | include "flags" "loopback" | include "type" "ipv6" | attr "address""#,
            "::1",
        ),
        (
            r#"GetPrivateInterfaces | sort "-address" | attr "address""#,
            "fd00::9",
        ),
        (
            r#"GetPrivateInterfaces | sort "name,-size" | attr "address""#,
            "10.7.0.9",
        ),
        (
            r#"GetPrivateInterfaces | sort "name" | limit 1 | join "address" " ""#,
            "10.9.0.9",
        ),
        (
            r#"GetAllInterfaces | include "name" "^eth0$" | include "type" "ipv4" | join "address" " ""#,
            "10.7.0.9 10.9.0.9",
        ),
    ] {
        let text = format!("{{{{ {template} }}}}:8443");
        assert_eq!(filled(&text), Ok(format!("{address}:8443")), "{text}");
    }
    assert_eq!(
        filled("[{{GetPublicIP}}]{{ GetPrivateIP }}"),
        Ok("[1.2.3.4]192.168.8.2".to_owned())
    );
    assert_eq!(filled("10.0.0.1:8443"), Ok("10.0.0.1:8443".to_owned()));
}

#[test]
fn what_is_not_understood_is_refused_by_its_name() {
    for (template, why) in [
        (
            r#"{{ GetInterfaceIPs "eth0" }}"#,
            "'GetInterfaceIPs' is not supported",
        ),
        ("{{ env \"HOME\" }}", "'env' is not supported"),
        (
            "{{ GetAllInterfaces | math \"address\" \"+1\" }}",
            "'math' is not supported",
        ),
        (
            "{{ GetAllInterfaces | include \"size\" \"24\" }}",
            "'size' is not supported; name",
        ),
        (
            "{{ GetAllInterfaces | include \"rfc\" \"1\" }}",
            "'1' is not supported as rfc",
        ),
        ("{{ GetAllInterfaces | include \"name\" }}", "too few"),
        (
            "{{ GetAllInterfaces | sort \"port\" }}",
            "'port' is nothing to sort by",
        ),
        ("{{ GetAllInterfaces | limit one }}", "'one' is no number"),
        ("{{ GetAllInterfaces | attr \"name\" }}", "is no address"),
        ("{{ GetAllInterfaces }}", "this is a list"),
        (
            "{{ GetPrivateIP | attr \"address\" }}",
            "nothing is left for 'attr'",
        ),
        ("{{ GetInterfaceIP }}", "give the name"),
        ("{{ GetInterfaceIP \"eth(0|1)\" }}", "'(' in the name"),
        ("{{ GetInterfaceIP \"[a-z]\" }}", "'[' in the name"),
        (
            "{{ GetInterfaceIP \"eth9\" }}",
            "no interface of this machine",
        ),
        (
            "{{ GetInterfaceIP \"lo\" }}",
            "no interface of this machine",
        ),
        ("{{ GetInterfaceIP \"\\n\" }}", "\\n is not supported"),
        ("{{ GetInterfaceIP \"eth0 }}", "a text has no end"),
        ("{{ }}", "a function is missing"),
        ("{{ GetAllInterfaces | }}", "a function is missing"),
        ("{{ GetPrivateIP", "without"),
    ] {
        let refused = filled(template).expect_err(template);
        assert!(refused.contains(why), "{template}: {refused}");
    }
}

#[test]
fn names_fit_as_gos_regular_expressions_do() {
    for (pattern, fits, not) in [
        ("eth0", &["eth0", "veth0", "eth01"][..], &["eth1", "et"][..]),
        ("^eth0$", &["eth0"], &["veth0", "eth01"]),
        ("^(", &[], &[]),
        (
            "^en|wlan0$",
            &["eno1", "wlan0", "xwlan0"],
            &["wlan01", "xen"],
        ),
        (r"^eth\d+$", &["eth0", "eth12"], &["eth", "ethx", "eth1x"]),
        (r"^eth[0-9]*$", &["eth", "eth7"], &["ethx"]),
        (r"^br-?0\.1$", &["br0.1", "br-0.1"], &["br0x1", "br--0.1"]),
        ("^.*0$", &["eth0", "0"], &["eth01", ""]),
        (
            "a*a*a*a*a*a*a*a*b",
            &["aab"],
            &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
        ),
        ("", &["anything", ""], &[]),
    ] {
        let Ok(read) = Pattern::new(pattern) else {
            assert_eq!(pattern, "^(");
            continue;
        };
        for name in fits {
            assert!(read.fits(name), "{pattern} {name}");
        }
        for name in not {
            assert!(!read.fits(name), "{pattern} {name}");
        }
    }
}

/// Words that are known and others, so that chance gets anywhere.
fn pieces() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "{{",
        "}}",
        " ",
        "|",
        "\"",
        "`",
        "\\",
        "GetAllInterfaces",
        "GetInterfaceIP",
        "GetPrivateIP",
        "GetPublicInterfaces",
        "include",
        "exclude",
        "sort",
        "limit",
        "attr",
        "join",
        "\"address\"",
        "\"name\"",
        "\"flags\"",
        "\"up\"",
        "\"eth.*\"",
        "\"type,-size\"",
        "3",
        ":8443",
    ]);
    prop::collection::vec(
        prop_oneof![4 => known.prop_map(str::to_owned), 1 => "\\PC{0,3}"],
        0..16,
    )
    .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_filled_has_no_braces_left(text in pieces()) {
        if let Ok(filled) = filled(&text) {
            prop_assert!(!is_template(&filled) || filled == text || text.contains("}}{"), "{text} {filled}");
        }
    }

    /// Whatever is asked for, only addresses of this machine come.
    #[test]
    fn an_address_is_one_of_this_machine(name in "[a-z0-9.]{0,5}", ip: u32, prefix in 0_u8..=32) {
        let mut interfaces = machine();
        interfaces.push(InterfaceAddress {
            name: "eth7".to_owned(),
            ip: IpAddr::from(ip.to_be_bytes()),
            prefix,
            up: true,
            default: false,
        });
        for text in [format!("{{{{GetInterfaceIP \"{name}\"}}}}"), "{{GetPublicIP}}".to_owned()] {
            if let Ok(filled) = fill_template(&text, &interfaces) {
                prop_assert!(interfaces.iter().any(|it| it.ip.to_string() == filled));
            }
        }
    }

    /// A literal name fits where it stands in the other, as a regular expression does.
    #[test]
    fn literal_names_are_searched_for(pattern in "[ab]{0,3}", name in "[ab]{0,6}") {
        prop_assert_eq!(Pattern::new(&pattern).unwrap().fits(&name), name.contains(&pattern));
        prop_assert_eq!(Pattern::new(&format!("^{pattern}$")).unwrap().fits(&name), name == pattern);
        let any = pattern.replace('a', ".*");
        let anywhere = Pattern::new(&any).unwrap().fits(&name);
        prop_assert!(anywhere || !name.contains(&pattern.replace('a', "")));
    }
}
