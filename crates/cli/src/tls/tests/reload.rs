use super::*;

/// Asks with new connections until one is shown `expected`.
async fn shown_soon(address: SocketAddr, expected: &CertificateDer<'_>) {
    let changed = async {
        while shown(&connect(address, "a.example").await) != *expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), changed)
        .await
        .expect("the new certificate is shown");
}

fn refusal(certificates: &Certificates, tells_again: bool) -> Option<String> {
    let mut refusals = certificates.look(tells_again);
    assert!(refusals.len() <= 1, "{refusals:?}");
    refusals.pop().map(|error| crate::failure::message(&error))
}

#[tokio::test]
async fn a_replaced_certificate_is_shown_to_new_connections_and_open_ones_live_on() {
    let folder = Folder::new();
    let (files, first) = folder.write("a", &["a.example"]);
    let running = start(std::slice::from_ref(&files)).await;
    let watch = tokio::spawn(Arc::clone(&running.certificates).watch(Duration::from_millis(20)));

    let mut open = connect(running.address, "a.example").await;
    assert_eq!(shown(&open), first);
    let (_, second) = folder.write("a", &["a.example"]);
    shown_soon(running.address, &second).await;
    assert!(ask(&mut open).await.ends_with("HTTP/1.1"));
    watch.abort();

    let (_, third) = folder.write("a", &["a.example"]);
    assert_eq!(shown(&connect(running.address, "a.example").await), second);
    running.certificates.reload_now().await;
    assert_eq!(shown(&connect(running.address, "a.example").await), third);
    assert!(ask(&mut open).await.ends_with("HTTP/1.1"));
}

#[tokio::test]
async fn no_session_of_an_earlier_certificate_is_resumed() {
    let folder = Folder::new();
    let (files, _) = folder.write("a", &["a.example"]);
    let running = start(&[files]).await;
    // One configuration keeps the tickets of all its connections.
    let client = client();
    let kind = async || {
        let mut stream = connect_with(running.address, "a.example", client.clone())
            .await
            .unwrap();
        // With the answer come the tickets.
        ask(&mut stream).await;
        stream.get_ref().1.handshake_kind().unwrap()
    };
    assert_eq!(kind().await, rustls::HandshakeKind::Full);
    assert_eq!(kind().await, rustls::HandshakeKind::Resumed);
    folder.write("a", &["a.example"]);
    running.certificates.reload_now().await;
    assert_eq!(kind().await, rustls::HandshakeKind::Full);
    assert_eq!(kind().await, rustls::HandshakeKind::Resumed);
}

#[tokio::test]
async fn files_that_do_not_fit_together_change_nothing_and_are_told_once() {
    let folder = Folder::new();
    let (files, first) = folder.write("a", &["a.example"]);
    let running = start(std::slice::from_ref(&files)).await;
    let certificates = &running.certificates;
    let key = std::fs::read_to_string(&files.key).unwrap();
    let other = Made::new(&["a.example"]);

    let breaks: [(&dyn Fn(), &str); 4] = [
        (&|| write(&files.certificate, &other.pem), "does not belong"),
        (&|| write(&files.certificate, ""), "no certificate in it"),
        (
            &|| std::fs::remove_file(&files.certificate).unwrap(),
            "cannot be read",
        ),
        (&|| write(&files.key, "x"), "cannot be read"),
    ];
    for (damage, reason) in breaks {
        damage();
        let told = refusal(certificates, false).expect(reason);
        assert!(told.contains(reason), "{told}");
        assert_eq!(refusal(certificates, false), None);
        // A signal asks for an answer, also when nothing has changed.
        assert_eq!(refusal(certificates, true), Some(told));
        assert_eq!(shown(&connect(running.address, "a.example").await), first);
    }

    // The other half arrives.
    other.write(&files);
    assert_eq!(refusal(certificates, false), None);
    assert_eq!(
        shown(&connect(running.address, "a.example").await),
        other.der
    );
    assert_eq!(refusal(certificates, true), None);

    // Half a change, taken back.
    write(&files.key, &key);
    assert!(refusal(certificates, false).is_some());
    other.write(&files);
    assert_eq!(refusal(certificates, false), None);
    assert_eq!(refusal(certificates, true), None);
}

#[tokio::test]
async fn one_broken_pair_does_not_hold_up_another() {
    let folder = Folder::new();
    let (a, a_der) = folder.write("a", &["a.example"]);
    let (b, _) = folder.write("b", &["b.example"]);
    let running = start(&[a.clone(), b]).await;
    write(&a.key, "broken");
    let (_, b_der) = folder.write("b", &["b.example"]);
    assert!(refusal(&running.certificates, false).is_some());
    assert_eq!(shown(&connect(running.address, "a.example").await), a_der);
    assert_eq!(shown(&connect(running.address, "b.example").await), b_der);
}

#[tokio::test]
async fn a_symbolic_link_above_the_files_is_swapped_as_kubernetes_does() {
    let folder = Folder::new();
    let made = [Made::new(&["a.example"]), Made::new(&["a.example"])];
    for (version, made) in ["1", "2"].into_iter().zip(&made) {
        std::fs::create_dir(folder.path(version)).unwrap();
        made.write(&folder.files(&format!("{version}/tls")));
    }
    std::os::unix::fs::symlink("1", folder.path("data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        std::os::unix::fs::symlink(format!("data/{name}"), folder.path(name)).unwrap();
    }
    let running = start(&[folder.files("tls")]).await;
    assert_eq!(
        shown(&connect(running.address, "a.example").await),
        made[0].der
    );
    std::os::unix::fs::symlink("2", folder.path("new")).unwrap();
    std::fs::rename(folder.path("new"), folder.path("data")).unwrap();
    assert_eq!(refusal(&running.certificates, false), None);
    assert_eq!(
        shown(&connect(running.address, "a.example").await),
        made[1].der
    );
}
