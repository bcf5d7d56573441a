//! The address policy against every special range, every way to write an address, and names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use grantway_core::address::{AddressPolicy, Cidr};
use grantway_core::protocol::url::{HttpUrl, PlainHttp};
use proptest::prelude::*;
use url::{Host, Url};

fn allow(networks: &[&str]) -> AddressPolicy {
    AddressPolicy::Allow(networks.iter().map(|text| Cidr::parse(text).unwrap()).collect())
}

fn everything() -> AddressPolicy {
    allow(&["0.0.0.0/0", "::/0"])
}

fn permits(policy: &AddressPolicy, ip: &str) -> bool {
    policy.permits(ip.parse().unwrap())
}

const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::5efe:808:808",
    "3ffe::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
];

const NOT_PUBLIC: &[&str] = &[
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.255",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "240.0.0.1",
    "255.255.255.254",
    "::1",
    "::8.8.8.8",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:0:8.8.8.8",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:808:808::f7f7:f7f7",
    "2001:1ff::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "2a00::5efe:10.0.0.1",
    "2a00::200:5efe:192.168.0.1",
    "2002:808:808::5efe:10.0.0.1",
    "2002:a00:1::5efe:8.8.8.8",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fec0::1",
];

const NEVER: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.255.255",
    "192.0.0.192",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "::",
    "::2",
    "::a9fe:1",
    "::a9fe:a9fe",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "2001:0:808:808::5601:5601",
    "2001:0:808:808::57c0:7eef",
    "2002:a9fe:a9fe::1",
    "2a00::5efe:a9fe:a9fe",
    "2a00::200:5efe:a9fe:a9fe",
    "2002:808:808::5efe:a9fe:a9fe",
    "2002:a9fe:a9fe::5efe:808:808",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "febf::1",
    "ff02::1",
];

#[test]
fn public_addresses_are_permitted_under_each_policy() {
    for ip in PUBLIC {
        for policy in [AddressPolicy::Public, AddressPolicy::Loopback, allow(&["10.0.0.0/8"])] {
            assert!(permits(&policy, ip), "{ip} {policy:?}");
        }
    }
}

//= spec/mcp-best-practices.md#server-side-request-forgery-ssrf
//= type=test
//# Private and reserved ranges, in any spelling, SHOULD be refused on the resolved address, and the address
//# checked be the one connected to (NET-03, U).
#[test]
fn special_addresses_are_refused_unless_the_operator_lists_them() {
    // atk:NET-01, atk:NET-03
    for ip in NOT_PUBLIC {
        assert!(!permits(&AddressPolicy::Public, ip), "{ip}");
        assert!(permits(&everything(), ip), "{ip}");
    }
}

#[test]
fn some_addresses_are_refused_whatever_the_operator_says() {
    // atk:NET-01, atk:NET-03
    for ip in NEVER {
        for policy in [AddressPolicy::Public, AddressPolicy::Loopback, everything()] {
            assert!(!permits(&policy, ip), "{ip} {policy:?}");
        }
    }
}

#[test]
fn the_loopback_policy_adds_loopback_and_nothing_else() {
    for ip in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
        assert!(permits(&AddressPolicy::Loopback, ip), "{ip}");
    }
    for ip in
        NOT_PUBLIC.iter().filter(|ip| !["127.", "::1", "::ffff:127."].iter().any(|own| ip.starts_with(own)))
    {
        assert!(!permits(&AddressPolicy::Loopback, ip), "{ip}");
    }
}

#[test]
fn an_allowed_network_does_not_open_another() {
    // atk:NET-01
    let policy = allow(&["10.0.0.0/8", "fd12:3456::/32"]);
    for ip in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd12:3456::1"] {
        assert!(permits(&policy, ip), "{ip}");
    }
    for ip in ["192.168.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd12:3457::1", "::10.1.2.3"] {
        assert!(!permits(&policy, ip), "{ip}");
    }
}

#[test]
fn an_address_is_judged_however_a_url_writes_it() {
    // atk:NET-01, atk:NET-02, atk:NET-03
    for host in [
        "0251.0376.0251.0376",
        "0xa9fea9fe",
        "0xA9.0xFE.43518",
        "2852039166",
        "169.254.169.254.",
        "169.16689662",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "017700000001",
        "2130706433",
        "0",
        "10.1",
        "[::1]",
        "[::ffff:a9fe:a9fe]",
        "[::ffff:169.254.169.254]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[::a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[2001:0:4136:e378:8000:63bf:5601:5601]",
        "[2a00::5efe:a9fe:a9fe]",
        "[fd00::1]",
        "[fe80::1]",
    ] {
        let url = HttpUrl::parse(&format!("https://{host}/x"), PlainHttp::Never).unwrap();
        assert!(!matches!(url.host(), Host::Domain(_)), "{host}");
        assert!(!AddressPolicy::Public.permits_host(&url.host()), "{host}");
    }
}

#[test]
fn an_address_in_other_digits_is_no_url_and_would_be_judged_as_one() {
    // atk:NET-02
    for host in ["①⑥⑨.②⑤④.①⑥⑨.②⑤④", "１６９.254.169.254", "169。254。169。254", "%31%36%39.254.169.254"]
    {
        let text = format!("https://{host}/x");
        assert!(HttpUrl::parse(&text, PlainHttp::Loopback).is_err(), "{host}");
        let url = Url::parse(&text).unwrap();
        assert_eq!(url.host(), Some(Host::Ipv4(Ipv4Addr::new(169, 254, 169, 254))), "{host}");
        assert!(!everything().permits_host(&url.host().unwrap()), "{host}");
    }
    assert!(HttpUrl::parse("https://[fe80::1%25eth0]/", PlainHttp::Loopback).is_err());
}

#[test]
fn names_of_the_machine_itself_need_a_policy_and_metadata_names_are_never_permitted() {
    // atk:NET-01
    let permits = |policy: &AddressPolicy, name: &'static str| policy.permits_host(&Host::Domain(name));
    for name in ["localhost", "LOCALHOST", "localhost.", "a.localhost", "a.b.LocalHost."] {
        assert!(!permits(&AddressPolicy::Public, name), "{name}");
        assert!(permits(&AddressPolicy::Loopback, name), "{name}");
        assert!(permits(&allow(&["127.0.0.0/8"]), name), "{name}");
    }
    for name in ["metadata.google.internal", "Metadata.Google.Internal.", "", "."] {
        for policy in [AddressPolicy::Public, AddressPolicy::Loopback, everything()] {
            assert!(!permits(&policy, name), "{name} {policy:?}");
        }
    }
    for name in ["mcp.example", "localhost.example", "notlocalhost", "internal"] {
        assert!(permits(&AddressPolicy::Public, name), "{name}");
    }
}

#[test]
fn networks_are_read_strictly() {
    for text in ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32", "fd00::/8", "::/0", "::1/128", "169.254.0.0/16"] {
        assert_eq!(Cidr::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "",
        "10.0.0.0",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "10.0.0.0/-1",
        "10.0.0.0/8 ",
        "10.0.0.1/8",
        "10.0.0/8",
        "010.0.0.0/8",
        "1.1.1.1/0",
        "fd00::/129",
        "fd00::1/8",
        "::/256",
        "[fd00::]/8",
        "example/8",
    ] {
        assert!(Cidr::parse(text).is_err(), "{text}");
    }
    let error = Cidr::parse("10.0.0.1/8").unwrap_err();
    assert_eq!(
        error.to_string(),
        "`allow` is `10.0.0.1/8`: is not a network such as `10.0.0.0/8` or `fd00::/8`"
    );
}

#[test]
fn policies_are_configured_by_name() {
    for (text, policy) in [
        (r#""public""#, AddressPolicy::Public),
        (r#""loopback""#, AddressPolicy::Loopback),
        (r#"{"allow":["10.0.0.0/8","fd00::/8"]}"#, allow(&["10.0.0.0/8", "fd00::/8"])),
    ] {
        assert_eq!(serde_json::from_str::<AddressPolicy>(text).unwrap(), policy);
        assert_eq!(serde_json::to_string(&policy).unwrap(), text);
    }
    assert!(serde_json::from_str::<AddressPolicy>(r#"{"allow":["10.0.0.1/8"]}"#).is_err());
    assert_eq!(AddressPolicy::default(), AddressPolicy::Public);
}

proptest! {
    #[test]
    fn no_way_to_write_an_ipv4_address_in_ipv6_gets_more_than_the_address_itself(bits: u32, prefix: u32) {
        // atk:NET-03
        let ip = Ipv4Addr::from_bits(bits);
        let [a, b, c, d] = ip.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let (x, y) = ((prefix >> 16) as u16, prefix as u16);
        let written = [
            ip.to_ipv6_mapped(),
            ip.to_ipv6_compatible(),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, x, y, x, high, low),
            Ipv6Addr::new(0x2002, high, low, x, y, x, y, x),
            Ipv6Addr::new(0x2001, 0, x, y, x, y, !high, !low),
            Ipv6Addr::new(x, y, x, y, 0, 0x5efe, high, low),
            Ipv6Addr::new(x, y, x, y, 0x200, 0x5efe, high, low),
        ];
        for policy in [AddressPolicy::Public, AddressPolicy::Loopback, everything()] {
            for v6 in written {
                // `::` and `::1` are addresses of their own.
                if v6.segments()[..7] != [0; 7] || bits > 1 {
                    prop_assert!(policy.permits(IpAddr::V4(ip)) || !policy.permits(IpAddr::V6(v6)), "{v6}");
                }
            }
            prop_assert_eq!(policy.permits(IpAddr::V4(ip)), policy.permits(IpAddr::V6(ip.to_ipv6_mapped())));
        }
    }

    #[test]
    fn a_network_holds_the_addresses_that_share_its_leading_bits(bits: u128, prefix in 0u32..=128, flip in 0u32..128) {
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        let text = format!("{}/{prefix}", Ipv6Addr::from_bits(bits & mask));
        let network = Cidr::parse(&text).unwrap();
        prop_assert_eq!(network.to_string(), text);
        prop_assert!(network.contains(Ipv6Addr::from_bits(bits).into()));
        let flipped = Ipv6Addr::from_bits(bits ^ (1 << (127 - flip)));
        prop_assert_eq!(network.contains(flipped.into()), flip >= prefix);
    }
}
