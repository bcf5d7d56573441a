//! Addresses and networks.

use std::net::IpAddr;

use grantway_core::address::{AddressPolicy, Cidr};

use crate::input::text;

/// A network as text, then sixteen bytes of an address.
///
/// # Panics
/// A law is broken.
pub fn address(data: &[u8]) {
    let (written, bits) = data.split_last_chunk::<16>().unwrap_or((data, &[0; 16]));
    let address = IpAddr::from(*bits);
    let four = IpAddr::from([bits[0], bits[1], bits[2], bits[3]]);
    let network = Cidr::parse(&text(written)).ok();
    for address in [address, four] {
        let public = AddressPolicy::Public.permits(address);
        // A wider policy never forbids what a narrower one permits.
        assert!(!public || AddressPolicy::Loopback.permits(address));
        if let Some(network) = &network {
            let allowed = AddressPolicy::Allow(vec![*network]).permits(address);
            assert!(!public || allowed);
            assert!(!allowed || !address.is_unspecified() && !address.is_multicast());
        }
    }
    if let Some(network) = network {
        let printed = network.to_string();
        assert_eq!(Cidr::parse(&printed).expect("what is printed can be read"), network);
        assert_eq!(network.contains(address), Cidr::parse(&printed).expect("as before").contains(address));
    }
}
