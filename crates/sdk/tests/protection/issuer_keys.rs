use std::time::Duration;

use portcullis::IssuerKeys;
use testkit::DocumentHost;
use testkit::document_host::Reply;

use super::*;

const KEYS: &str = "/jwks.json";

struct Rig {
    host: DocumentHost,
    protection: Protection,
    _folder: tempfile::TempDir,
}

async fn reading_keys() -> Rig {
    let host = DocumentHost::start().await;
    let folder = tempfile::tempdir().unwrap();
    let protection = Protection::for_resource(RESOURCE)
        .policy(policy())
        .issuer("https://issuer.test", IssuerKeys::at(host.url(KEYS)))
        .ca_file(host.write_ca(folder.path()))
        .start()
        .unwrap();
    Rig {
        host,
        protection,
        _folder: folder,
    }
}

impl Rig {
    async fn status(&self, issuer: &TestIssuer) -> StatusCode {
        let mcp = Mcp::new(|asked| result(&asked, &json!({}), false));
        let token = issuer.token(RESOURCE).mint();
        let service = self.protection.protect(mcp);
        ask(&service, &token, &message("ping", json!({}), false))
            .await
            .status
    }
}

fn set(issuers: &[&TestIssuer]) -> Value {
    let keys: Vec<_> = issuers
        .iter()
        .flat_map(|issuer| issuer.key_set().keys)
        .collect();
    json!({"keys": keys})
}

#[tokio::test]
async fn before_the_first_keys_the_answer_is_503_and_known_keys_go_on_through_an_outage() {
    let (one, two) = (TestIssuer::new(), TestIssuer::new());
    let rig = reading_keys().await;
    assert_eq!(rig.status(&one).await, StatusCode::SERVICE_UNAVAILABLE);
    rig.host.set_json(KEYS, &set(&[&one]));
    tokio::time::timeout(Duration::from_secs(10), rig.protection.ready())
        .await
        .unwrap();
    assert_eq!(rig.status(&one).await, StatusCode::OK);
    for outage in [
        Reply::status(500),
        Reply::json(&json!({"keys": []})),
        Reply::json(&json!(5)),
    ] {
        rig.host.set(KEYS, outage);
        assert_eq!(rig.status(&two).await, StatusCode::UNAUTHORIZED);
        assert_eq!(rig.status(&one).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_key_that_is_not_known_is_looked_for_once_and_a_flood_of_them_costs_no_more() {
    let (one, two) = (TestIssuer::new(), TestIssuer::new());
    let rig = reading_keys().await;
    rig.host.set_json(KEYS, &set(&[&one]));
    rig.protection.ready().await;
    let before = rig.host.count(KEYS);
    rig.host.set_json(KEYS, &set(&[&one, &two]));
    // Several at once wait for the same one.
    let (first, second) = tokio::join!(rig.status(&two), rig.status(&two));
    assert_eq!((first, second), (StatusCode::OK, StatusCode::OK));
    assert_eq!(rig.host.count(KEYS), before + 1);
    let stranger = TestIssuer::new();
    for _ in 0..50 {
        assert_eq!(rig.status(&stranger).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(rig.host.count(KEYS), before + 1);
    assert_eq!(rig.status(&one).await, StatusCode::OK);
}

#[tokio::test]
async fn a_key_set_of_256_kib_is_read_and_a_longer_one_is_not() {
    let one = TestIssuer::new();
    let rig = reading_keys().await;
    let text = set(&[&one]).to_string();
    let padded = |bytes: usize| text.clone() + &" ".repeat(bytes - text.len());
    rig.host.set(
        KEYS,
        Reply::typed("application/json", padded(256 * 1024 + 1)),
    );
    let waited = tokio::time::timeout(Duration::from_millis(1500), rig.protection.ready()).await;
    assert!(waited.is_err());
    rig.host
        .set(KEYS, Reply::typed("application/json", padded(256 * 1024)));
    tokio::time::timeout(Duration::from_secs(10), rig.protection.ready())
        .await
        .unwrap();
    assert_eq!(rig.status(&one).await, StatusCode::OK);
}
