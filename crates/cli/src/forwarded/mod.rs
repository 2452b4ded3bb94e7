//! Whose address a request has when proxies stand in front of this program.

mod entries;
mod node;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};
use ipnet::{IpNet, Ipv4Net};

use entries::Entries;

/// How many proxies are looked through.
const HOPS_MAX: usize = 64;
/// How much of the header is read, from the right.
const BYTES_MAX: usize = 8 * 1024;

/// The one header in which the proxies write whom they forward for. The other is never read: a proxy that writes one
/// passes the other on as a stranger sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressHeader {
    /// `X-Forwarded-For`: addresses, the nearest last.
    #[default]
    XForwardedFor,
    /// `Forwarded`, of which `for` is read (RFC 7239).
    Forwarded,
}

/// The proxies whose word about a request's origin is taken. With none, the peer of the connection is the client.
///
/// Addresses are all that is taken from them: `Host`, `X-Forwarded-Host` and `X-Forwarded-Proto` change nothing, since
/// our own addresses are fixed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    header: AddressHeader,
}

impl TrustedProxies {
    /// Trusts peers in `networks`, each of which must append to `header` the address that it was called from.
    pub fn new(networks: Vec<IpNet>, header: AddressHeader) -> Self {
        Self {
            networks: networks.into_iter().map(canonical).collect(),
            header,
        }
    }

    /// The address of whoever sent a request with `headers` over a connection from `peer`; never IPv4-mapped.
    ///
    /// The list is walked from the right, where the nearest proxy wrote, past proxies that are trusted. The first other
    /// address is the client: what stands to the left of it came from there and can be anything. An entry without an
    /// address (empty, `unknown`, hidden, malformed) ends the walk at the hop that wrote it, and so does the limit of
    /// 64 hops and 8 KiB.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let mut entries = Entries::from_right(
            headers.get_all(self.header.name()),
            self.header == AddressHeader::Forwarded,
            BYTES_MAX,
        );
        let mut hops = 0;
        while hops < HOPS_MAX && self.trusts(client) {
            let Some(before) = entries
                .take_last()
                .and_then(|entry| node::address(entry, self.header))
            else {
                break;
            };
            client = before;
            hops += 1;
        }
        client
    }

    /// Whether `address` is one of theirs.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

impl AddressHeader {
    fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Self::Forwarded => header::FORWARDED,
        }
    }
}

/// A network of IPv4-mapped addresses as the IPv4 network that it means, since addresses are compared in that form.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else {
        return network;
    };
    six.addr()
        .to_ipv4_mapped()
        .zip(six.prefix_len().checked_sub(96))
        .and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok())
        .map_or(network, IpNet::V4)
}
