use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Addresses of the public internet only.
    Public,
    /// Those, and this machine itself: for an authority that itself runs on loopback.
    PublicAndLoopback,
    /// Any address. Only for addresses that the operator chose.
    Any,
}

/// What kind of address it is, for the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// Part of the public internet.
    Public,
    /// This machine: 127.0.0.0/8 or ::1.
    Loopback,
    /// Set aside for something else (RFC 6890 and its registries), with the words for it.
    SpecialUse(&'static str),
}

impl AddressPolicy {
    /// Whether a connection to `address` may be opened.
    ///
    /// # Errors
    /// What kind of address it is, in words, when it may not.
    pub fn permits(self, address: IpAddr) -> Result<(), &'static str> {
        match (self, classify(address)) {
            (Self::Any, _) | (_, AddressClass::Public) => Ok(()),
            (Self::PublicAndLoopback, AddressClass::Loopback) => Ok(()),
            (Self::Public, AddressClass::Loopback) => Err("a loopback address"),
            (_, AddressClass::SpecialUse(words)) => Err(words),
        }
    }
}

/// The registry behind RFC 6890, with those of its networks that are reachable but answer for nobody (AS112, AMT),
/// multicast, and the one public address behind which a cloud platform keeps its machines' secrets.
const IPV4_SPECIAL: [(Ipv4Net, &str); 19] = [
    (v4([0, 0, 0, 0], 8), "an address of \"this network\""),
    (v4([10, 0, 0, 0], 8), "a private address"),
    (v4([100, 64, 0, 0], 10), "a carrier's shared address"),
    (v4([169, 254, 0, 0], 16), "a link-local address"),
    (
        v4([168, 63, 129, 16], 32),
        "an address of the cloud platform",
    ),
    (v4([172, 16, 0, 0], 12), "a private address"),
    (v4([192, 0, 0, 0], 24), "a protocol assignment"),
    (v4([192, 0, 2, 0], 24), "a documentation address"),
    (v4([192, 31, 196, 0], 24), "an AS112 address"),
    (v4([192, 52, 193, 0], 24), "an AMT relay address"),
    (v4([192, 88, 99, 0], 24), "a 6to4 relay address"),
    (v4([192, 168, 0, 0], 16), "a private address"),
    (v4([192, 175, 48, 0], 24), "an AS112 address"),
    (v4([198, 18, 0, 0], 15), "a benchmarking address"),
    (v4([198, 51, 100, 0], 24), "a documentation address"),
    (v4([203, 0, 113, 0], 24), "a documentation address"),
    (v4([224, 0, 0, 0], 4), "a multicast address"),
    (v4([255, 255, 255, 255], 32), "the broadcast address"),
    (v4([240, 0, 0, 0], 4), "a reserved address"),
];

/// Inside 2000::/3, the only part of IPv6 that is the public internet.
const IPV6_SPECIAL: [(Ipv6Net, &str); 5] = [
    // Teredo, ORCHID, benchmarking and the other protocol assignments.
    (v6([0x2001, 0], 23), "a protocol assignment"),
    (v6([0x2001, 0xdb8], 32), "a documentation address"),
    (v6([0x2002, 0], 16), "a 6to4 address"),
    (
        Ipv6Net::new_assert(Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
        "an AS112 address",
    ),
    (v6([0x3fff, 0], 20), "a documentation address"),
];

const IPV6_GLOBAL: Ipv6Net = v6([0x2000, 0], 3);
const IPV6_UNIQUE_LOCAL: Ipv6Net = v6([0xfc00, 0], 7);
const IPV6_LINK_LOCAL: Ipv6Net = v6([0xfe80, 0], 10);
const IPV6_MULTICAST: Ipv6Net = v6([0xff00, 0], 8);
/// RFC 6052: the last 32 bits are an IPv4 address, which a translator will connect to.
const NAT64: Ipv6Net = v6([0x64, 0xff9b], 96);

/// What kind of address this is, whatever its spelling: an IPv4 address inside an IPv6 one counts as what it is.
pub fn classify(address: IpAddr) -> AddressClass {
    match address.to_canonical() {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    if address.is_loopback() {
        return AddressClass::Loopback;
    }
    let special = IPV4_SPECIAL
        .iter()
        .find(|(network, _)| network.contains(&address));
    special.map_or(AddressClass::Public, |(_, words)| {
        AddressClass::SpecialUse(words)
    })
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    if address.is_loopback() {
        return AddressClass::Loopback;
    }
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        // The far end of a translator is no loopback of ours, and nobody has a reason to write it so.
        return match classify_v4(Ipv4Addr::new(a, b, c, d)) {
            AddressClass::Loopback => AddressClass::SpecialUse("a translated loopback address"),
            other => other,
        };
    }
    if !IPV6_GLOBAL.contains(&address) {
        let words = if address.is_unspecified() {
            "the unspecified address"
        } else if IPV6_UNIQUE_LOCAL.contains(&address) {
            "a private address"
        } else if IPV6_LINK_LOCAL.contains(&address) {
            "a link-local address"
        } else if IPV6_MULTICAST.contains(&address) {
            "a multicast address"
        } else {
            "a reserved address"
        };
        return AddressClass::SpecialUse(words);
    }
    let special = IPV6_SPECIAL
        .iter()
        .find(|(network, _)| network.contains(&address));
    special.map_or(AddressClass::Public, |(_, words)| {
        AddressClass::SpecialUse(words)
    })
}

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([first, second]: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn class(text: &str) -> AddressClass {
        classify(text.parse().unwrap())
    }

    #[test]
    fn both_ends_of_each_special_network_are_special_and_their_neighbours_are_public() {
        // (the address before, the first, the last, the address after)
        for (before, first, last, after) in [
            ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
            (
                "100.63.255.255",
                "100.64.0.0",
                "100.127.255.255",
                "100.128.0.0",
            ),
            (
                "169.253.255.255",
                "169.254.0.0",
                "169.254.255.255",
                "169.255.0.0",
            ),
            (
                "172.15.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "172.32.0.0",
            ),
            ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
            ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"),
            (
                "192.88.98.255",
                "192.88.99.0",
                "192.88.99.255",
                "192.88.100.0",
            ),
            (
                "192.167.255.255",
                "192.168.0.0",
                "192.168.255.255",
                "192.169.0.0",
            ),
            (
                "198.17.255.255",
                "198.18.0.0",
                "198.19.255.255",
                "198.20.0.0",
            ),
            (
                "198.51.99.255",
                "198.51.100.0",
                "198.51.100.255",
                "198.51.101.0",
            ),
            (
                "203.0.112.255",
                "203.0.113.0",
                "203.0.113.255",
                "203.0.114.0",
            ),
            (
                "168.63.129.15",
                "168.63.129.16",
                "168.63.129.16",
                "168.63.129.17",
            ),
            (
                "192.31.195.255",
                "192.31.196.0",
                "192.31.196.255",
                "192.31.197.0",
            ),
            (
                "192.52.192.255",
                "192.52.193.0",
                "192.52.193.255",
                "192.52.194.0",
            ),
            (
                "192.175.47.255",
                "192.175.48.0",
                "192.175.48.255",
                "192.175.49.0",
            ),
            (
                "2620:4f:7fff::",
                "2620:4f:8000::",
                "2620:4f:8000:ffff::",
                "2620:4f:8001::",
            ),
            ("2001:200::", "2001::", "2001:1ff:ffff::", "2001:200::1"),
            (
                "2001:db7:ffff::",
                "2001:db8::",
                "2001:db8:ffff::",
                "2001:db9::",
            ),
            ("2001:ffff::", "2002::", "2002:ffff::", "2003::"),
            ("3ffe::", "3fff::", "3fff:fff:ffff::", "3fff:1000::"),
        ] {
            assert_eq!(class(before), AddressClass::Public, "{before}");
            assert_eq!(class(after), AddressClass::Public, "{after}");
            assert!(
                matches!(class(first), AddressClass::SpecialUse(_)),
                "{first}"
            );
            assert!(matches!(class(last), AddressClass::SpecialUse(_)), "{last}");
        }
        for special in [
            "0.0.0.0",
            "0.255.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "1fff::",
            "4000::",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(
                matches!(class(special), AddressClass::SpecialUse(_)),
                "{special}"
            );
        }
        assert_eq!(class("1.0.0.0"), AddressClass::Public);
        assert_eq!(class("223.255.255.255"), AddressClass::Public);
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_one_counts_as_what_it_is() {
        assert_eq!(class("::ffff:127.0.0.1"), AddressClass::Loopback);
        assert_eq!(class("::ffff:8.8.8.8"), AddressClass::Public);
        assert_eq!(
            class("::ffff:10.0.0.1"),
            AddressClass::SpecialUse("a private address")
        );
        assert_eq!(class("64:ff9b::8.8.8.8"), AddressClass::Public);
        assert_eq!(
            class("64:ff9b::169.254.169.254"),
            AddressClass::SpecialUse("a link-local address")
        );
        assert!(matches!(
            class("64:ff9b::127.0.0.1"),
            AddressClass::SpecialUse(_)
        ));
    }

    #[test]
    fn each_policy_permits_what_it_says() {
        let permits =
            |policy: AddressPolicy, text: &str| policy.permits(text.parse().unwrap()).is_ok();
        for (address, public, loopback) in [
            ("8.8.8.8", true, true),
            ("2606:4700::1111", true, true),
            ("127.0.0.1", false, true),
            ("127.255.255.255", false, true),
            ("::1", false, true),
            ("169.254.169.254", false, false),
            ("192.168.1.1", false, false),
            ("0.0.0.0", false, false),
        ] {
            assert_eq!(permits(AddressPolicy::Public, address), public, "{address}");
            assert_eq!(
                permits(AddressPolicy::PublicAndLoopback, address),
                loopback,
                "{address}"
            );
            assert!(permits(AddressPolicy::Any, address), "{address}");
        }
    }
}
