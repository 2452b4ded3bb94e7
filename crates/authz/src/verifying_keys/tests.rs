#![allow(clippy::unwrap_used)]

use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RsaKeyPair,
};
use base::base64url;
use wire::oauth::{Jwk, JwkSet};

use super::*;

fn jwk(id: &str, kty: &str) -> Jwk {
    Jwk {
        kty: kty.into(),
        kid: Some(id.into()),
        key_use: None,
        alg: None,
        crv: None,
        x: None,
        y: None,
        n: None,
        e: None,
    }
}

/// A key on P-256 with the two coordinates cut where `cut` says; 32 is where they end.
fn ec_jwk(id: &str, pair: &EcdsaKeyPair, cut: usize) -> Jwk {
    let point = pair.public_key().as_ref();
    Jwk {
        crv: Some("P-256".into()),
        x: Some(base64url(&point[1..=cut])),
        y: Some(base64url(&point[cut + 1..])),
        ..jwk(id, "EC")
    }
}

fn rsa_jwk(id: &str, modulus: &[u8]) -> Jwk {
    Jwk {
        n: Some(base64url(modulus)),
        e: Some(base64url([1, 0, 1])),
        ..jwk(id, "RSA")
    }
}

fn count(keys: Vec<Jwk>) -> usize {
    VerifyingKeys::from_jwks(&JwkSet { keys }).len()
}

fn generate() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

#[test]
fn a_signature_is_of_one_key_one_algorithm_and_one_text() {
    let pair = generate();
    let keys = VerifyingKeys::from_jwks(&JwkSet {
        keys: vec![ec_jwk("a", &pair, 32), ec_jwk("b", &generate(), 32)],
    });
    assert!(!keys.is_empty());
    assert!(keys.contains("a") && keys.contains("b"));
    assert!(!keys.contains("c") && !keys.contains(""));
    let random = aws_lc_rs::rand::SystemRandom::new();
    let signature = pair.sign(&random, b"text").unwrap();
    assert!(keys.verifies("a", "ES256", b"text", signature.as_ref()));
    assert!(!keys.verifies("a", "ES256", b"Text", signature.as_ref()));
    assert!(!keys.verifies("b", "ES256", b"text", signature.as_ref()));
    assert!(!keys.verifies("a", "EdDSA", b"text", signature.as_ref()));
    assert!(!keys.verifies("a", "none", b"text", b""));
    let printed = format!("{keys:?}");
    assert!(printed.contains("\"a\"") && printed.contains("Es256"));
}

#[test]
fn a_signature_of_es256_is_two_numbers_in_range_of_32_bytes_each() {
    // The order of P-256: no number of a signature reaches it.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
        0x25, 0x51,
    ];
    let random = aws_lc_rs::rand::SystemRandom::new();
    let pair = generate();
    let keys = VerifyingKeys::from_jwks(&JwkSet {
        keys: vec![ec_jwk("a", &pair, 32)],
    });
    let verifies = |signature: &[u8]| keys.verifies("a", "ES256", b"text", signature);
    let good = pair.sign(&random, b"text").unwrap().as_ref().to_vec();
    assert!(verifies(&good));
    let (r, s) = good.split_at(32);
    let zero = [0u8; 32];
    for bad in [
        [zero, zero].concat(),
        [r, &zero].concat(),
        [&zero, s].concat(),
        [r, &ORDER].concat(),
        [&ORDER, s].concat(),
        [&ORDER, &ORDER[..]].concat(),
        [s, r].concat(),
        good[..63].to_vec(),
        [&good[..], &[0]].concat(),
        [&[0], &good[..]].concat(),
        Vec::new(),
    ] {
        assert!(!verifies(&bad), "{bad:02x?}");
    }
    // The form of X.509 is not the form of JOSE (RFC 7518 section 3.4).
    let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().unwrap();
    let der = EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        private.as_ref(),
        pair.public_key().as_ref(),
    )
    .unwrap();
    assert!(!verifies(der.sign(&random, b"text").unwrap().as_ref()));
}

#[test]
fn a_point_that_is_not_on_the_curve_or_cut_elsewhere_is_no_key() {
    let pair = generate();
    assert_eq!(count(vec![ec_jwk("a", &pair, 32)]), 1);
    for cut in [0, 1, 31, 33, 64] {
        assert_eq!(count(vec![ec_jwk("a", &pair, cut)]), 0, "cut at {cut}");
    }
    let good = ec_jwk("a", &pair, 32);
    let mut off = base::base64url_decode(good.y.as_deref().unwrap()).unwrap();
    off[31] ^= 1;
    for (x, y) in [
        (good.x.clone(), Some(base64url(off))),
        (good.y.clone(), good.x.clone()),
        (Some(base64url([0; 32])), Some(base64url([0; 32]))),
        (Some(base64url([0xff; 32])), Some(base64url([0xff; 32]))),
        (None, good.y.clone()),
        (good.x.clone(), None),
        (good.x.clone().map(|x| x + "="), good.y.clone()),
    ] {
        let key = Jwk {
            x,
            y,
            ..good.clone()
        };
        assert_eq!(count(vec![key]), 0);
    }
    for crv in ["P-384", "secp256k1", "p-256", ""] {
        let key = Jwk {
            crv: Some(crv.into()),
            ..good.clone()
        };
        assert_eq!(count(vec![key]), 0, "{crv}");
    }
}

#[test]
fn rsa_keys_have_2048_to_4096_bits_and_the_usual_exponent() {
    let pair = RsaKeyPair::generate(KeySize::Rsa4096).unwrap();
    let modulus = pair
        .public_key()
        .modulus()
        .big_endian_without_leading_zero()
        .to_vec();
    assert_eq!(modulus.len(), 512);
    let good = rsa_jwk("r", &modulus);
    assert_eq!(count(vec![good.clone()]), 1);
    let padded = [&[0], &modulus[..]].concat();
    assert_eq!(count(vec![rsa_jwk("r", &padded)]), 1);
    let mut longer = modulus.clone();
    longer.push(1);
    // An odd number of the size is enough for a parser: whether it is a product is not asked.
    for (bytes, expected) in [(127, 0), (128, 0), (255, 0), (256, 1), (511, 1)] {
        let mut odd = vec![0xff; bytes];
        odd[bytes - 1] = 0xfb;
        if bytes == 256 {
            let mut small = odd.clone();
            small[0] = 0x7f;
            assert_eq!(count(vec![rsa_jwk("r", &small)]), 0, "2047 bits");
        }
        assert_eq!(count(vec![rsa_jwk("r", &odd)]), expected, "{bytes} bytes");
    }
    assert_eq!(count(vec![rsa_jwk("r", &longer)]), 0, "513 bytes");
    for exponent in [
        &[1][..],
        &[3],
        &[17],
        &[1, 0, 0],
        &[1, 0, 3],
        &[0, 1, 0, 1],
        &[],
    ] {
        let key = Jwk {
            e: Some(base64url(exponent)),
            ..good.clone()
        };
        assert_eq!(count(vec![key]), 0, "{exponent:?}");
    }
    let other = Jwk {
        alg: Some("PS256".into()),
        ..good
    };
    assert_eq!(count(vec![other]), 0);
}

#[test]
fn a_set_of_a_hundred_thousand_keys_is_read_as_far_as_it_may_be() {
    let pair = generate();
    let many: Vec<Jwk> = (0..100_000)
        .map(|number| ec_jwk(&number.to_string(), &pair, 32))
        .collect();
    let begun = std::time::Instant::now();
    assert_eq!(count(many.clone()), KEYS_MAX);
    let clients = VerifyingKeys::from_client_jwks(&JwkSet { keys: many });
    assert_eq!(clients.len(), CLIENT_KEYS_MAX);
    assert!(begun.elapsed().as_secs() < 10);
}

#[test]
fn an_id_is_a_name_to_look_up_and_nothing_else() {
    let pair = generate();
    let longest = "k".repeat(KEY_ID_BYTES_MAX);
    assert_eq!(count(vec![ec_jwk(&longest, &pair, 32)]), 1);
    assert_eq!(count(vec![ec_jwk(&format!("{longest}k"), &pair, 32)]), 0);
    assert_eq!(count(vec![ec_jwk("", &pair, 32)]), 0);
    let keys = VerifyingKeys::from_jwks(&JwkSet {
        keys: vec![ec_jwk("a", &pair, 32)],
    });
    for id in [
        "A",
        "a ",
        " a",
        "a\0",
        "../a",
        "./a",
        "a/../a",
        "a' OR '1'='1",
        "%61",
        "\u{430}",
        "a\u{200b}",
        "*",
        "",
        &"a".repeat(100_000),
    ] {
        assert!(keys.find(id, Algorithm::Es256).is_none(), "{id:?}");
    }
    assert!(keys.find("a", Algorithm::Es256).is_some());
    assert!(keys.find("a", Algorithm::Rs256).is_none());
}

#[test]
fn a_client_may_leave_its_keys_without_ids_and_an_issuer_may_not() {
    let (one, two) = (generate(), generate());
    let set = JwkSet {
        keys: vec![
            ec_jwk("", &one, 32),
            ec_jwk("", &two, 32),
            ec_jwk("a", &one, 32),
            ec_jwk("a", &two, 32),
        ],
    };
    assert_eq!(VerifyingKeys::from_jwks(&set).len(), 1);
    let keys = VerifyingKeys::from_client_jwks(&set);
    assert_eq!(keys.len(), 3);
    assert_eq!(keys.of_client(None, Algorithm::Es256).count(), 3);
    assert_eq!(keys.of_client(Some("a"), Algorithm::Es256).count(), 1);
    assert_eq!(keys.of_client(Some("b"), Algorithm::Es256).count(), 0);
    assert_eq!(keys.of_client(None, Algorithm::Rs256).count(), 0);
}

/// Whoever accepts a key set of a client counts to the same number; a key beyond would be there and never found.
#[test]
fn the_last_key_that_a_client_may_have_is_found_and_one_more_is_not() {
    let pair = generate();
    let ids: Vec<String> = (0..=CLIENT_KEYS_MAX).map(|n| n.to_string()).collect();
    let keys = ids.iter().map(|id| ec_jwk(id, &pair, 32)).collect();
    let keys = VerifyingKeys::from_client_jwks(&JwkSet { keys });
    let found = |id: &String| keys.of_client(Some(id), Algorithm::Es256).count();
    assert_eq!(found(&ids[CLIENT_KEYS_MAX - 1]), 1);
    assert_eq!(found(&ids[CLIENT_KEYS_MAX]), 0);
}
