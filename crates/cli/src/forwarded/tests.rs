#![allow(clippy::unwrap_used)]

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1";
const STRANGER: &str = "203.0.113.9";

fn proxies(header: AddressHeader) -> TrustedProxies {
    let networks = ["10.0.0.0/8", "::1/128", "2001:db8:ffff::/48"];
    TrustedProxies::new(
        networks.map(|network| network.parse().unwrap()).to_vec(),
        header,
    )
}

fn headers(name: &'static str, values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn client(header: AddressHeader, peer: &str, values: &[&str]) -> String {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    proxies(header)
        .client_address(
            peer.parse().unwrap(),
            &headers(name(header), values.as_slice()),
        )
        .to_string()
}

fn name(header: AddressHeader) -> &'static str {
    match header {
        AddressHeader::XForwardedFor => "x-forwarded-for",
        AddressHeader::Forwarded => "forwarded",
    }
}

#[test]
fn x_forwarded_for_is_walked_from_the_right_to_the_first_address_that_is_not_trusted() {
    let table: &[(&str, &[&str], &str)] = &[
        // One proxy, and the same words from somebody who is none.
        (PROXY, &["198.51.100.7"], "198.51.100.7"),
        (STRANGER, &["198.51.100.7"], STRANGER),
        // Several, in one line and in several, which are one list.
        (PROXY, &["198.51.100.7, 10.9.9.9,10.1.1.1"], "198.51.100.7"),
        (
            PROXY,
            &["198.51.100.7", "10.9.9.9", "10.1.1.1"],
            "198.51.100.7",
        ),
        // What the client wrote itself stands to the left of its address.
        (PROXY, &["192.0.2.1, 198.51.100.7"], "198.51.100.7"),
        (PROXY, &["192.0.2.1", "198.51.100.7"], "198.51.100.7"),
        (PROXY, &["10.0.0.2, 198.51.100.7"], "198.51.100.7"),
        (
            PROXY,
            &["192.0.2.1, \"", "198.51.100.7, 10.1.1.1"],
            "198.51.100.7",
        ),
        // Everybody is trusted: the farthest.
        (PROXY, &["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        (PROXY, &[], PROXY),
        // IPv6, brackets, ports.
        (PROXY, &["2001:db8::7"], "2001:db8::7"),
        (PROXY, &["[2001:db8::7]"], "2001:db8::7"),
        (PROXY, &["[2001:db8::7]:443"], "2001:db8::7"),
        (PROXY, &["198.51.100.7:5678"], "198.51.100.7"),
        (
            "2001:db8:ffff::5",
            &["198.51.100.7, [::1]:80"],
            "198.51.100.7",
        ),
        // IPv4-mapped addresses are what they map.
        ("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
        ("::ffff:203.0.113.9", &["198.51.100.7"], STRANGER),
        (
            PROXY,
            &["198.51.100.7, [::ffff:10.1.1.1]:80"],
            "198.51.100.7",
        ),
        // An entry without an address ends the walk where it was written.
        (PROXY, &["198.51.100.7, unknown"], PROXY),
        (PROXY, &["198.51.100.7, unknown, 10.1.1.1"], "10.1.1.1"),
        (PROXY, &["198.51.100.7, _hidden, 10.1.1.1"], "10.1.1.1"),
        (PROXY, &["198.51.100.7, , 10.1.1.1"], "10.1.1.1"),
        (PROXY, &["198.51.100.7,"], PROXY),
        (PROXY, &["198.51.100.7", ""], PROXY),
        (PROXY, &["example.com"], PROXY),
        (PROXY, &["198.51.100.7:"], PROXY),
        (PROXY, &["198.51.100.7:http"], PROXY),
        (PROXY, &["198.51.100.7:123456"], PROXY),
        (PROXY, &["[2001:db8::7"], PROXY),
        (PROXY, &["[2001:db8::7]443"], PROXY),
        (PROXY, &["[198.51.100.7]:443"], PROXY),
        (PROXY, &["198.51.100.07"], PROXY),
        (PROXY, &["198.51.100.7/32"], PROXY),
        (PROXY, &["fe80::1%eth0"], PROXY),
        (PROXY, &["\"198.51.100.7\""], PROXY),
        (PROXY, &["for=198.51.100.7"], PROXY),
    ];
    for (peer, values, expected) in table {
        let found = client(AddressHeader::XForwardedFor, peer, values);
        assert_eq!(found, *expected, "{peer} {values:?}");
    }
}

#[test]
fn forwarded_is_read_as_rfc_7239_writes_it() {
    let table: &[(&str, &[&str], &str)] = &[
        // Section 4 and 6.
        (PROXY, &["for=198.51.100.7"], "198.51.100.7"),
        (STRANGER, &["for=198.51.100.7"], STRANGER),
        (PROXY, &[r#"For="[2001:db8::7]:4711""#], "2001:db8::7"),
        (
            PROXY,
            &["for=198.51.100.7;proto=http;by=203.0.113.43"],
            "198.51.100.7",
        ),
        (
            PROXY,
            &["by=203.0.113.43; FOR=198.51.100.7 ;host=a"],
            "198.51.100.7",
        ),
        (PROXY, &["for=192.0.2.43, for=198.51.100.7"], "198.51.100.7"),
        (
            PROXY,
            &["for=192.0.2.43", "for=198.51.100.7, for=10.1.1.1"],
            "198.51.100.7",
        ),
        (PROXY, &[r#"for="198.51.100.7:_gazonk""#], "198.51.100.7"),
        (PROXY, &[";;for=198.51.100.7;"], "198.51.100.7"),
        // Quotes: escapes, and commas and semicolons that part nothing.
        (PROXY, &[r#"for="198.51.100\.7""#], "198.51.100.7"),
        (
            PROXY,
            &[r#"for=198.51.100.7;host="a, for=192.0.2.1""#],
            "198.51.100.7",
        ),
        (
            PROXY,
            &[r#"for=198.51.100.7;host="a\", for=192.0.2.1; \\""#],
            "198.51.100.7",
        ),
        (
            PROXY,
            &[r#"host="\\", for=198.51.100.7, for=10.1.1.1;host="x;for=\"y\"""#],
            "198.51.100.7",
        ),
        // Forgotten quotes.
        (PROXY, &["for=198.51.100.7:5678"], "198.51.100.7"),
        (PROXY, &["for=[2001:db8::7]:443;proto=https"], "2001:db8::7"),
        // A quoted string that the client opened does not swallow what the proxy appended.
        (
            PROXY,
            &[r#"for="192.0.2.1, for=198.51.100.7"#],
            "198.51.100.7",
        ),
        (
            PROXY,
            &[r#"host="x"#, r#"for=198.51.100.7;host="y""#],
            "198.51.100.7",
        ),
        (
            PROXY,
            &[r#"for="192.0.2.1\, for="198.51.100.7""#],
            "198.51.100.7",
        ),
        // No address.
        (
            PROXY,
            &["for=192.0.2.1, for=unknown, for=10.1.1.1"],
            "10.1.1.1",
        ),
        (
            PROXY,
            &["for=192.0.2.1, for=_SEVKISEK, for=10.1.1.1"],
            "10.1.1.1",
        ),
        (
            PROXY,
            &["for=192.0.2.1, proto=https, for=10.1.1.1"],
            "10.1.1.1",
        ),
        (PROXY, &["for=192.0.2.1, , for=10.1.1.1"], "10.1.1.1"),
        (PROXY, &["for=192.0.2.1;for=198.51.100.7"], PROXY),
        (PROXY, &["for=198.51.100.7;For=198.51.100.7"], PROXY),
        (PROXY, &["for="], PROXY),
        (PROXY, &["for"], PROXY),
        (PROXY, &["198.51.100.7"], PROXY),
        (PROXY, &["for = 198.51.100.7"], PROXY),
        (PROXY, &["for=198.51.100.7 proto=https"], PROXY),
        (PROXY, &[r#"for="198.51.100.7"proto=https"#], PROXY),
        (PROXY, &[r#"for="198.51.100.7"#], PROXY),
        (PROXY, &[r#"for=198.51.100.7""#], PROXY),
        (PROXY, &[r#"for="198.51.100.7\""#], PROXY),
        (PROXY, &[r#"for=" 198.51.100.7""#], PROXY),
    ];
    for (peer, values, expected) in table {
        let found = client(AddressHeader::Forwarded, peer, values);
        assert_eq!(found, *expected, "{peer} {values:?}");
    }
}

#[test]
fn bytes_that_are_no_text_spoil_only_the_entry_that_is_read() {
    for (header, values, expected) in [
        (
            AddressHeader::XForwardedFor,
            &b"\xff, 198.51.100.7"[..],
            "198.51.100.7",
        ),
        (AddressHeader::XForwardedFor, b"198.51.100.7\xff", PROXY),
        (
            AddressHeader::Forwarded,
            b"for=198.51.100.7;host=\"\xfcber\"",
            "198.51.100.7",
        ),
        (AddressHeader::Forwarded, b"for=\"198.51.100.7\xff\"", PROXY),
    ] {
        let headers = headers(name(header), &[values]);
        let found = proxies(header).client_address(PROXY.parse().unwrap(), &headers);
        assert_eq!(found.to_string(), expected, "{values:?}");
    }
}

#[test]
fn only_the_chosen_header_is_read_and_no_other_ever() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-forwarded-for", "198.51.100.1"),
        ("forwarded", "for=198.51.100.2"),
        ("x-real-ip", "198.51.100.3"),
        ("host", "198.51.100.4"),
        ("x-forwarded-host", "198.51.100.5"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (header, expected) in [
        (AddressHeader::XForwardedFor, "198.51.100.1"),
        (AddressHeader::Forwarded, "198.51.100.2"),
    ] {
        let found = proxies(header).client_address(PROXY.parse().unwrap(), &headers);
        assert_eq!(found.to_string(), expected);
        headers.remove(name(header));
        let found = proxies(header).client_address(PROXY.parse().unwrap(), &headers);
        assert_eq!(found.to_string(), PROXY);
        headers.insert(
            name(header),
            HeaderValue::from_static("198.51.100.1, for=198.51.100.2"),
        );
    }
}

#[test]
fn nobody_is_trusted_by_default() {
    let headers = headers("x-forwarded-for", &[b"198.51.100.7"]);
    for peer in ["127.0.0.1", "::1", PROXY] {
        let found = TrustedProxies::default().client_address(peer.parse().unwrap(), &headers);
        assert_eq!(found.to_string(), peer);
    }
}

#[test]
fn a_network_of_mapped_addresses_is_the_network_that_it_maps() {
    let headers = headers("x-forwarded-for", &[b"198.51.100.7"]);
    for (network, peer, trusted) in [
        ("::ffff:10.0.0.0/104", "10.2.3.4", true),
        ("::ffff:10.0.0.0/104", "11.2.3.4", false),
        ("::ffff:0:0/96", "11.2.3.4", true),
        // These are IPv6 networks, and mean no IPv4 address.
        ("::/0", "11.2.3.4", false),
        ("::/0", "2001:db8::1", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("0.0.0.0/0", "11.2.3.4", true),
    ] {
        let proxies = TrustedProxies::new(vec![network.parse().unwrap()], Default::default());
        let found = proxies.client_address(peer.parse().unwrap(), &headers);
        let expected = if trusted { "198.51.100.7" } else { peer };
        assert_eq!(found.to_string(), expected, "{network} {peer}");
    }
}

#[test]
fn no_more_than_64_hops_and_8_kib_are_walked() {
    let walked = |values: &[&str]| client(AddressHeader::XForwardedFor, PROXY, values);
    let chain = |hops: usize| format!("198.51.100.7{}", ",10.1.1.1".repeat(hops));
    assert_eq!(walked(&[&chain(63)]), "198.51.100.7");
    assert_eq!(walked(&[&chain(64)]), "10.1.1.1");

    // An entry with its padding may fill the 8 KiB and not exceed them, wherever the comma is.
    let padded = |length: usize| format!("{:>length$}", "198.51.100.7");
    for before in ["", "192.0.2.1,"] {
        let fits = format!("{before}{}", padded(BYTES_MAX));
        assert_eq!(walked(&[&fits]), "198.51.100.7", "{before:?}");
        let exceeds = format!("{before}{}", padded(BYTES_MAX + 1));
        assert_eq!(walked(&[&exceeds]), PROXY, "{before:?}");
        let together = format!("{before}{},10.1.1.1", padded(BYTES_MAX - 9));
        assert_eq!(walked(&[&together]), "198.51.100.7", "{before:?}");
        let exceed = format!("{before}{},10.1.1.1", padded(BYTES_MAX - 8));
        assert_eq!(walked(&[&exceed]), "10.1.1.1", "{before:?}");
    }
    let far = "10.1.1.1,".repeat(100_000);
    assert_eq!(walked(&[&format!("{far}198.51.100.7")]), "198.51.100.7");
}

/// Header values near to what the parsers expect, and far from it.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"for=".to_vec()),
        Just(b"10.1.1.1".to_vec()),
        Just(b"198.51.100.7".to_vec()),
        Just(b"[2001:db8::7]:443".to_vec()),
        Just(b", ".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"\\".to_vec()),
        Just(b";".to_vec()),
        proptest::collection::vec(prop_oneof![32u8..127, 128u8..=255], 0..6),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn header() -> impl Strategy<Value = AddressHeader> {
    prop_oneof![
        Just(AddressHeader::XForwardedFor),
        Just(AddressHeader::Forwarded)
    ]
}

proptest! {
    #[test]
    fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says(
        header in header(),
        peer in any::<IpAddr>(),
        values in proptest::collection::vec(value(), 0..4),
    ) {
        let proxies = proxies(header);
        prop_assume!(!proxies.trusts(peer.to_canonical()));
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let found = proxies.client_address(peer, &headers(name(header), &values));
        prop_assert_eq!(found, peer.to_canonical());
    }

    #[test]
    fn what_stands_to_the_left_of_the_client_changes_nothing(
        header in header(),
        left in proptest::collection::vec(value(), 0..4),
        same_line in any::<bool>(),
        hops in 0usize..4,
    ) {
        let hop = match header {
            AddressHeader::XForwardedFor => "",
            AddressHeader::Forwarded => "for=",
        };
        let mut right = format!("{hop}198.51.100.7");
        for _ in 0..hops {
            right += &format!(", {hop}10.1.1.1");
        }
        let mut values = left.clone();
        match values.last_mut().filter(|_| same_line) {
            Some(last) => {
                last.push(b',');
                last.extend_from_slice(right.as_bytes());
            }
            None => values.push(right.into_bytes()),
        }
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let found = proxies(header)
            .client_address(PROXY.parse().unwrap(), &headers(name(header), &values));
        prop_assert_eq!(found.to_string(), "198.51.100.7");
    }
}
