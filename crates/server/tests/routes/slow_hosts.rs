//! What hosts of strangers may cost somebody who only looks.

use std::time::{Duration, Instant};

use domain::{ClientId, MetadataDocumentTrust, ServerSettings};
use testkit::DocumentHost;
use testkit::document_host::Reply;

use crate::support::{EMAIL, PUBLIC_URL, World};
use crate::waiting::{owner, signed_in};

#[tokio::test]
async fn an_owner_decides_about_clients_whose_hosts_do_not_answer() {
    let names = ["a.example", "b.example", "c.example"];
    let host = DocumentHost::start_as(&names).await;
    host.set("/client.json", Reply::Hang);
    let settings = ServerSettings {
        metadata_documents: MetadataDocumentTrust::Ask,
        ..ServerSettings::default()
    };
    let world = World::with_documents(PUBLIC_URL, settings, Some((&host, &names))).await;
    let alice = world.add_alice().await;
    signed_in(&world, EMAIL).await;
    let mut owner = owner(&world).await;
    let server = world.authority.server("todo").unwrap();
    for name in names {
        let id = ClientId::from_text(format!("https://{name}/client.json"));
        oauth::client_trust::ask(&world.authority, &server, &id, &alice.id)
            .await
            .unwrap();
    }
    let started = Instant::now();
    let dashboard = owner.get(&world, "/admin").await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    for name in names {
        assert!(dashboard.text.contains(name), "{}", dashboard.text);
    }
    assert!(host.count("/client.json") > 0);
}
