use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use x509_parser::der_parser::der::parse_der;

use super::*;
use crate::tls::pair::Contents;

fn refusal(files: &CertificateFiles) -> String {
    let error = Certificates::load(std::slice::from_ref(files)).unwrap_err();
    crate::failure::message(&error)
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<String> = STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// The key within PKCS#8: PKCS#1 for RSA, SEC1 for elliptic curves (RFC 5958 section 2).
fn inner(key: &KeyPair) -> Vec<u8> {
    let (_, outer) = parse_der(key.serialized_der()).unwrap();
    outer.as_sequence().unwrap()[2].as_slice().unwrap().to_vec()
}

#[test]
fn each_form_of_a_key_is_read() {
    let folder = Folder::new();
    let files = folder.files("a");
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let curve = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let edwards = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let forms = [
        (pem("RSA PRIVATE KEY", &inner(&rsa)), &rsa),
        (pem("EC PRIVATE KEY", &inner(&curve)), &curve),
        (rsa.serialize_pem(), &rsa),
        (curve.serialize_pem(), &curve),
        (edwards.serialize_pem(), &edwards),
    ];
    for (key, pair) in forms {
        let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let certificate = params.self_signed(pair).unwrap();
        write(&files.certificate, &certificate.pem());
        // What openssl writes before such keys is passed over.
        write(
            &files.key,
            &format!("{}{key}", pem("EC PARAMETERS", &[6, 0])),
        );
        Certificates::load(std::slice::from_ref(&files)).unwrap();
    }
}

#[test]
fn one_file_may_hold_both() {
    let folder = Folder::new();
    let made = Made::new(&["a.example"]);
    let path = folder.path("both.pem");
    write(&path, &(made.key.serialize_pem() + &made.pem));
    let files = CertificateFiles {
        certificate: path.clone(),
        key: path,
    };
    Certificates::load(&[files]).unwrap();
}

#[test]
fn what_is_wrong_is_told_with_the_file_and_without_the_key() {
    let folder = Folder::new();
    let (files, _) = folder.write("a", &["a.example"]);
    let certificate = std::fs::read_to_string(&files.certificate).unwrap();
    let key = std::fs::read_to_string(&files.key).unwrap();
    let other = Made::new(&["a.example"]);
    let large = " ".repeat(1024 * 1024);
    let broken_chain = certificate.clone() + &pem("CERTIFICATE", b"nonsense");
    let one_line = key.replace('\n', " ");
    let encrypted = pem("ENCRYPTED PRIVATE KEY", b"0123456789");
    let old_encrypted =
        key.replace("PRIVATE", "EC PRIVATE")
            .replacen('\n', "\nProc-Type: 4,ENCRYPTED\n\n", 1);
    let table: &[(&str, &str, &str, &str)] = &[
        ("", &key, "a.crt", "there is no certificate in it"),
        (&key, &key, "a.crt", "there is no certificate in it"),
        (
            &broken_chain,
            &key,
            "a.crt",
            "certificate 2 in it is malformed",
        ),
        (&certificate[..200], &key, "a.crt", "was the file cut off"),
        (&certificate, "", "a.key", "there is no private key in it"),
        (
            &certificate,
            &certificate,
            "a.key",
            "there is no private key in it",
        ),
        (&certificate, &encrypted, "a.key", "without a passphrase"),
        (
            &certificate,
            &old_encrypted,
            "a.key",
            "without a passphrase",
        ),
        (
            &certificate,
            &one_line,
            "a.key",
            "were its line breaks lost?",
        ),
        (&certificate, &key[..60], "a.key", "was the file cut off"),
        (
            &other.pem,
            &key,
            "a.key",
            "does not belong to the first certificate in",
        ),
        (
            &(large.clone() + &certificate),
            &key,
            "a.crt",
            "larger than the 1048576 bytes",
        ),
        (
            &certificate,
            &(large.clone() + &key),
            "a.key",
            "larger than the 1048576 bytes",
        ),
    ];
    for (certificate, key_text, file, reason) in table {
        write(&files.certificate, certificate);
        write(&files.key, key_text);
        let told = refusal(&files);
        assert!(told.contains(file) && told.contains(reason), "{told}");
        for line in key.lines().filter(|line| !line.starts_with('-')) {
            assert!(!told.contains(line), "{told}");
        }
    }
    // The twin: both, up to the limit.
    let room = &large[certificate.len()..];
    write(&files.certificate, &(certificate.clone() + room));
    write(&files.key, &key);
    Certificates::load(std::slice::from_ref(&files)).unwrap();

    std::fs::remove_file(&files.key).unwrap();
    assert!(refusal(&files).contains("a.key: it cannot be read: No such file"));
    std::fs::create_dir(&files.key).unwrap();
    assert!(refusal(&files).contains("a.key: it is no file"));
    std::fs::remove_file(&files.certificate).unwrap();
    assert!(refusal(&files).contains("a.crt: it cannot be read: No such file"));
    // None at all is for whoever has them ordered.
    Certificates::load(&[]).unwrap();
}

#[test]
fn the_soonest_end_is_known() {
    let folder = Folder::new();
    let (a, _) = folder.write("a", &["a.example"]);
    let certificates = Certificates::load(std::slice::from_ref(&a)).unwrap();
    let end = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
    let found = || certificates.not_after().unwrap().unix_seconds();
    assert_eq!(found(), end("2041-02-03T00:00:00Z"));

    let sooner = Made::new(&["b.example"]);
    let mut params = CertificateParams::new(vec!["b.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2031, 4, 5);
    write(
        &a.certificate,
        &params.self_signed(&sooner.key).unwrap().pem(),
    );
    write(&a.key, &sooner.key.serialize_pem());
    assert!(certificates.look(false).is_empty());
    assert_eq!(found(), end("2031-04-05T00:00:00Z"));
    let (b, _) = folder.write("b", &["b.example"]);
    let both = Certificates::load(&[b, a]).unwrap();
    assert_eq!(both.not_after(), certificates.not_after());
}

#[test]
fn names_and_addresses_are_told() {
    let folder = Folder::new();
    let (files, _) = folder.write(
        "a",
        &["a.example", "*.b.example", "192.0.2.1", "2001:db8::1"],
    );
    let pair = Contents::read(&files).pair(&files).unwrap();
    assert_eq!(
        pair.names,
        ["a.example", "*.b.example", "192.0.2.1", "2001:db8::1"]
    );
    assert_eq!(pair.not_after_text(), "2041-02-03T00:00:00Z");
}

#[test]
fn a_key_that_others_can_read_is_noticed_and_one_for_the_group_is_not() {
    let folder = Folder::new();
    let (files, _) = folder.write("a", &["a.example"]);
    for (mode, exposed) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(Contents::read(&files).is_exposed(), exposed, "{mode:o}");
    }
}
