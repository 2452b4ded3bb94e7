use store::{AcmeCertificate, AcmeOrder};

use crate::databases::on_every_store;
use crate::fixture::at;

#[tokio::test]
async fn of_sixteen_that_want_one_chore_one_has_it_until_its_time_is_over() {
    on_every_store(|store| async move {
        let racing: Vec<_> = (0..16)
            .map(|index| {
                let store = store.clone();
                tokio::spawn(async move {
                    let holder = format!("node_{index}");
                    let taken = store.take_lease("acme", &holder, at(10), at(20)).await;
                    taken.unwrap().then_some(holder)
                })
            })
            .collect();
        let mut holders = Vec::new();
        for racer in racing {
            holders.extend(racer.await.unwrap());
        }
        assert_eq!(holders.len(), 1, "{holders:?}");
        let holder = holders.remove(0);
        let take = async |who: &str, now, until| {
            let taken = store.take_lease("acme", who, at(now), at(until)).await;
            taken.unwrap()
        };
        assert!(!take("other", 20, 30).await);
        assert!(take(&holder, 20, 30).await, "it may hold on to it");
        assert!(!take("other", 30, 40).await);
        assert!(take("other", 31, 40).await, "its time is over");
        assert!(!take(&holder, 32, 40).await);
        // Only its holder gives it back.
        store.give_lease_back("acme", &holder).await.unwrap();
        assert!(!take("third", 33, 40).await);
        store.give_lease_back("acme", "other").await.unwrap();
        assert!(take("third", 33, 40).await);
        // One from a clock that was a day ahead is not waited for.
        store.give_lease_back("acme", "third").await.unwrap();
        assert!(take("ahead", 50_000, 50_010).await);
        assert!(!take("fourth", 49_995, 50_005).await, "a little ahead");
        assert!(take("fourth", 100, 110).await);
        // Another chore is another's.
        assert!(
            store
                .take_lease("else", &holder, at(33), at(40))
                .await
                .unwrap()
        );
    })
    .await;
}

#[tokio::test]
async fn a_new_certificate_ends_its_order_and_challenges_and_is_a_change() {
    on_every_store(|store| async move {
        let (mine, other) = ("a.example.com", "b.example.com");
        for domain in [mine, other] {
            let order = AcmeOrder {
                order_url: Some("https://ca.example/order/1".into()),
                failures: 2,
                next_try_at: at(50),
                ..AcmeOrder::default()
            };
            store.put_acme_order(domain, order.clone()).await.unwrap();
            assert_eq!(store.find_acme_order(domain).await.unwrap(), Some(order));
            let put = store.put_acme_challenge(domain, "token", "token.proof", at(50));
            put.await.unwrap();
        }
        let proof = async |domain: &str, token: &str, now| {
            let found = store.find_acme_challenge(domain, token, at(now)).await;
            let newest = store.newest_acme_challenge(domain, at(now)).await.unwrap();
            (found.unwrap().is_some(), newest.is_some())
        };
        assert_eq!(proof(mine, "token", 49).await, (true, true));
        assert_eq!(proof(mine, "other", 49).await, (false, true));
        assert_eq!(proof(mine, "token", 50).await, (false, false));

        let before = store.change_counter().await.unwrap();
        let mut certificate = AcmeCertificate {
            domain: mine.into(),
            directory: "https://ca.example/dir".into(),
            chain: "chain".into(),
            sealed_private_key: "sealed".into(),
            issued_at: at(1),
            renew_at: at(2),
            ask_at: at(3),
        };
        store
            .put_acme_certificate(certificate.clone())
            .await
            .unwrap();
        assert!(store.find_acme_order(mine).await.unwrap().is_none());
        assert_eq!(proof(mine, "token", 49).await, (false, false));
        assert!(store.find_acme_order(other).await.unwrap().is_some());
        assert_eq!(proof(other, "token", 49).await, (true, true));
        store.put_acme_renewal(mine, at(7), at(8)).await.unwrap();
        (certificate.renew_at, certificate.ask_at) = (at(7), at(8));
        assert_eq!(store.list_acme_certificates().await.unwrap(), [certificate]);
        assert_eq!(store.change_counter().await.unwrap(), before + 2);
    })
    .await;
}
