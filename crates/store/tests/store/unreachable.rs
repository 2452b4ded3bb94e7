//! The network between a node and its PostgreSQL fails.

use base::Secret;
use store::{DatabaseUrl, StoreError};
use testkit::{FaultProxy, Way};

use crate::databases::TestDatabase;
use crate::fixture::Fixture;

/// The test database by way of a proxy; nothing without a PostgreSQL or when its address is no plain one.
async fn behind_a_proxy() -> Option<(FaultProxy, TestDatabase)> {
    let mut database = TestDatabase::postgres()?;
    let DatabaseUrl::Postgres { url, .. } = &mut database.url else {
        return None;
    };
    let host = url.expose().split(['@', '/']).nth(3)?.to_owned();
    let proxy = FaultProxy::start(host.parse().ok()?).await.unwrap();
    let through = url.expose().replace(&host, &proxy.address().to_string());
    *url = Secret::new(through);
    Some((proxy, database))
}

#[tokio::test]
async fn a_proxy_that_closes_each_connection_is_an_unreachable_database_and_no_fault_of_ours() {
    let Some((proxy, database)) = behind_a_proxy().await else {
        return;
    };
    let fixture = Fixture::new(&database.open().await).await;
    let find = || fixture.store.find_user(&fixture.user.id);
    assert!(find().await.unwrap().is_some());
    proxy.switch(Way::Refuse);
    proxy.cut();
    // Whether it is an idle connection that broke or a new one that is closed before its first answer.
    for _ in 0..20 {
        let outcome = find().await;
        assert!(
            matches!(outcome, Err(StoreError::Unavailable(_) | StoreError::Busy)),
            "{outcome:?}"
        );
    }
    proxy.switch(Way::Pass);
    assert!(find().await.unwrap().is_some(), "and it comes back");
}
