use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::AddressHeader;

/// The address in one entry, never IPv4-mapped.
pub(super) fn address(entry: &[u8], header: AddressHeader) -> Option<IpAddr> {
    match header {
        AddressHeader::XForwardedFor => of_node(entry.trim_ascii()),
        AddressHeader::Forwarded => of_node(&for_parameter(entry)?),
    }
}

/// An address with or without a port (RFC 7239 section 6). IPv6 without brackets, which section 6 forbids, is usual in
/// `X-Forwarded-For`.
fn of_node(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?;
    let address = if let Some(bracketed) = node.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        if !port.is_empty() && !is_port(port.strip_prefix(':')?) {
            return None;
        }
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else if let Ok(address) = node.parse() {
        address
    } else {
        let (address, port) = node.split_once(':')?;
        if !is_port(port) {
            return None;
        }
        IpAddr::V4(address.parse::<Ipv4Addr>().ok()?)
    };
    Some(address.to_canonical())
}

/// `node-port` of RFC 7239 section 6: digits, or a word that hides them.
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        Some(hidden) => {
            !hidden.is_empty()
                && hidden
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// The value of the one `for` of a `forwarded-element` (RFC 7239 section 4); none when it is missing, there twice, or
/// the element is malformed.
fn for_parameter(element: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    let mut rest = element.trim_ascii();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b";") {
            rest = after.trim_ascii_start();
            continue;
        }
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let name = &rest[..equals];
        let (value, after) = value(&rest[equals + 1..])?;
        if !is_token(name) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
        rest = after.trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b";") {
            return None;
        }
    }
    found
}

/// A token or a quoted string without its quotes, and what follows. The colons and brackets of an address are taken
/// without quotes too: several programs forget them, and nothing else could be meant.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text
            .iter()
            .position(|byte| b"; \t".contains(byte))
            .unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        let is_plain = |byte: &u8| is_token(&[*byte]) || b":[]".contains(byte);
        return (!value.is_empty() && value.iter().all(is_plain)).then(|| (value.to_vec(), rest));
    };
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', escaped, after @ ..] => {
                value.push(*escaped);
                rest = after;
            }
            [b'\\'] | [] => return None,
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}
