//! Which addresses an effect may connect to.
//!
//! Public is what the registries leave for anybody to be reached at; everything else needs a word of the operator,
//! and some addresses are refused whatever the operator says. An IPv6 address that stands for an IPv4 address is
//! judged as that.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use url::Host;

use crate::error::ConfigError;

/// Where the requests of a connector may go.
///
/// Link-local, cloud metadata, multicast, broadcast and unspecified addresses are refused under each policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressPolicy {
    /// Public addresses, and those in these networks.
    Allow(Vec<Cidr>),
    /// Public addresses, and those of the machine itself. For development.
    Loopback,
    /// Public addresses only.
    #[default]
    Public,
}

impl AddressPolicy {
    /// Whether this address may be connected to.
    pub fn permits(&self, ip: IpAddr) -> bool {
        // atk:NET-01, atk:NET-03
        judged(ip).into_iter().flatten().all(|ip| self.permits_one(ip))
    }

    /// Whether a request may be sent to this host. An address is judged as by [`AddressPolicy::permits`]; of a name
    /// it is known only what it must not be, so the address it leads to has to be judged as well.
    pub fn permits_host<S: AsRef<str>>(&self, host: &Host<S>) -> bool {
        match host {
            Host::Domain(name) => self.permits_name(name.as_ref()),
            Host::Ipv4(ip) => self.permits(IpAddr::V4(*ip)),
            Host::Ipv6(ip) => self.permits(IpAddr::V6(*ip)),
        }
    }

    fn permits_one(&self, ip: IpAddr) -> bool {
        let is_in = |networks: &[Cidr]| networks.iter().any(|network| network.contains(ip));
        if is_in(NEVER) {
            return false;
        }
        let is_public = match ip {
            IpAddr::V4(_) => !is_in(NOT_PUBLIC),
            IpAddr::V6(_) => is_in(&[GLOBAL_UNICAST]) && !is_in(NOT_PUBLIC),
        };
        is_public
            || match self {
                Self::Allow(networks) => is_in(networks),
                Self::Loopback => ip.is_loopback(),
                Self::Public => false,
            }
    }

    fn permits_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        let is_local = || name.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"));
        // atk:NET-01
        !name.is_empty()
            && !name.eq_ignore_ascii_case("metadata.google.internal")
            && (*self != Self::Public || !is_local())
    }
}

/// A network: an address and the number of leading bits that count. Written `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Reads a network. Bits after the prefix must be zero: a network written with them is more often a mistake.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::read(text).ok_or_else(|| {
            ConfigError::new("allow", text, "is not a network such as `10.0.0.0/8` or `fd00::/8`")
        })
    }

    /// Whether the address is in the network. One kind of address is never in a network of the other.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let prefix = u32::from(self.prefix);
        // A shift by the whole width gives none: then no bit counts, and every address is in the network.
        match (self.network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                (network.to_bits() ^ ip.to_bits()).checked_shr(32u32.saturating_sub(prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                (network.to_bits() ^ ip.to_bits()).checked_shr(128u32.saturating_sub(prefix)).unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (network, prefix) = text.split_once('/')?;
        let network: IpAddr = network.parse().ok()?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let prefix: u8 = prefix.parse().ok()?;
        let rest_is_zero = match network {
            IpAddr::V4(ip) => prefix <= 32 && ip.to_bits().checked_shl(u32::from(prefix)).unwrap_or(0) == 0,
            IpAddr::V6(ip) => prefix <= 128 && ip.to_bits().checked_shl(u32::from(prefix)).unwrap_or(0) == 0,
        };
        rest_is_zero.then_some(Self { network, prefix })
    }

    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Self { network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Self {
        Self { network: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)), prefix }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        Self::parse(&text)
    }
}

impl From<Cidr> for String {
    fn from(network: Cidr) -> Self {
        network.to_string()
    }
}

/// Refused under each policy.
const NEVER: &[Cidr] = &[
    Cidr::v4(0, 0, 0, 0, 8),          // unspecified, "this network" (RFC 791)
    Cidr::v4(100, 100, 100, 200, 32), // cloud metadata (Alibaba)
    Cidr::v4(168, 63, 129, 16, 32),   // cloud metadata (Azure), in public space
    Cidr::v4(169, 254, 0, 0, 16),     // link-local (RFC 3927), and the cloud metadata of most
    Cidr::v4(192, 0, 0, 192, 32),     // cloud metadata (Oracle)
    Cidr::v4(224, 0, 0, 0, 4),        // multicast (RFC 5771)
    Cidr::v4(255, 255, 255, 255, 32), // broadcast (RFC 919)
    Cidr::v6(0, 0, 0, 128),           // unspecified (RFC 4291)
    Cidr::v6(0xfd00, 0x0ec2, 0, 32),  // cloud metadata (AWS)
    Cidr::v6(0xfd20, 0x00ce, 0, 32),  // cloud metadata (Google)
    Cidr::v6(0xfe80, 0, 0, 10),       // link-local (RFC 4291)
    Cidr::v6(0xff00, 0, 0, 8),        // multicast (RFC 4291)
];

/// Special-purpose (RFC 6890 and its registries), so not reachable by everybody. Of IPv6, only what is special within
/// [`GLOBAL_UNICAST`].
const NOT_PUBLIC: &[Cidr] = &[
    Cidr::v4(10, 0, 0, 0, 8),       // private use (RFC 1918)
    Cidr::v4(100, 64, 0, 0, 10),    // shared address space (RFC 6598)
    Cidr::v4(127, 0, 0, 0, 8),      // loopback (RFC 1122)
    Cidr::v4(172, 16, 0, 0, 12),    // private use (RFC 1918)
    Cidr::v4(192, 0, 0, 0, 24),     // protocol assignments (RFC 6890)
    Cidr::v4(192, 0, 2, 0, 24),     // documentation (RFC 5737)
    Cidr::v4(192, 88, 99, 0, 24),   // 6to4 relays (RFC 7526)
    Cidr::v4(192, 168, 0, 0, 16),   // private use (RFC 1918)
    Cidr::v4(198, 18, 0, 0, 15),    // benchmarks (RFC 2544)
    Cidr::v4(198, 51, 100, 0, 24),  // documentation (RFC 5737)
    Cidr::v4(203, 0, 113, 0, 24),   // documentation (RFC 5737)
    Cidr::v4(240, 0, 0, 0, 4),      // reserved (RFC 1112)
    Cidr::v6(0x2001, 0, 0, 23),     // protocol assignments, Teredo among them (RFC 2928, RFC 4380)
    Cidr::v6(0x2001, 0xdb8, 0, 32), // documentation (RFC 3849)
    Cidr::v6(0x3fff, 0, 0, 20),     // documentation (RFC 9637)
];

/// All public IPv6 addresses are in here (RFC 4291 §2.4); loopback, unique local, site-local, discard-only and
/// compatible addresses are not.
const GLOBAL_UNICAST: Cidr = Cidr::v6(0x2000, 0, 0, 3);

/// What an address is judged as; every one of them must be permitted. The address itself stands first, unless it only
/// writes an IPv4 address in another way; then the IPv4 addresses that traffic to it may reach.
fn judged(ip: IpAddr) -> [Option<IpAddr>; 3] {
    let IpAddr::V6(v6) = ip else {
        return [Some(ip), None, None];
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 =
        |high: u16, low: u16| Some(IpAddr::V4(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low))));
    match [a, b, c, d, e, f] {
        // Unspecified and loopback; the rest is IPv4-compatible (RFC 4291 §2.5.5.1).
        [0, 0, 0, 0, 0, 0] if g == 0 && h <= 1 => [Some(ip), None, None],
        [0, 0, 0, 0, 0, 0] => [Some(ip), v4(g, h), None],
        // IPv4-mapped (RFC 4291 §2.5.5.2), NAT64 (RFC 6052 §2.1).
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => [None, v4(g, h), None],
        // Local NAT64 (RFC 8215), of which only the usual layout is known.
        [0x64, 0xff9b, 1, ..] => [Some(ip), v4(g, h), None],
        // Teredo (RFC 4380 §4): the client's address is stored inverted.
        [0x2001, 0, ..] => [Some(ip), v4(!g, !h), None],
        _ => {
            let is_6to4 = a == 0x2002; // RFC 3056 §2
            let is_isatap = matches!([e, f], [0 | 0x200, 0x5efe]); // RFC 5214 §6.1, under any prefix
            [
                if is_6to4 { None } else { Some(ip) },
                if is_6to4 { v4(b, c) } else { None },
                if is_isatap { v4(g, h) } else { None },
            ]
        }
    }
}
