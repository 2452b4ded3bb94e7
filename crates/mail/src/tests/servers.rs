//! Each way of reaching a server, with a real one at the other end.

use testkit::{SmtpSettings, SmtpTls};

use super::{Post, USER};
use crate::Kind;

#[tokio::test]
async fn mail_goes_over_starttls_tls_and_where_it_was_said_in_the_clear() {
    for tls in [SmtpTls::StartTls, SmtpTls::Implicit, SmtpTls::None] {
        let post = Post::start(SmtpSettings {
            tls,
            ..SmtpSettings::default()
        })
        .await;
        let sent = post.send().await.unwrap();
        let received = post.server.received();
        assert_eq!(received.len(), 1, "{tls:?}");
        assert_eq!(received[0].from, "sign-in@example.com");
        assert_eq!(received[0].to, ["ada@example.org"]);
        assert_eq!(received[0].encrypted, tls != SmtpTls::None);
        assert!(received[0].content.contains(&sent.message_id), "{tls:?}");
    }
}

#[tokio::test]
async fn it_signs_in_by_plain_and_by_login_and_never_before_tls() {
    for mechanisms in ["PLAIN LOGIN", "LOGIN", "PLAIN", "CRAM-MD5 LOGIN"] {
        let post = Post::start(SmtpSettings {
            user: Some(USER),
            mechanisms,
            ..SmtpSettings::default()
        })
        .await;
        post.send().await.unwrap();
        assert_eq!(post.server.received()[0].user.as_deref(), Some(USER.0));
        let in_the_clear: Vec<String> = post
            .server
            .commands()
            .into_iter()
            .filter_map(|(command, encrypted)| (!encrypted).then_some(command))
            .collect();
        assert_eq!(in_the_clear, ["EHLO mcp.example.com", "STARTTLS"]);
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_mechanism_that_nobody_speaks_are_told_apart() {
    let mut post = Post::start(SmtpSettings {
        user: Some(USER),
        ..SmtpSettings::default()
    })
    .await;
    post.send().await.unwrap();
    post.settings.credentials = Some((USER.0.to_owned(), "wrong".to_owned().into()));
    let failure = post.send().await.unwrap_err();
    assert_eq!(failure.kind, Kind::NotSignedIn);
    assert_eq!(failure.code, Some(535));
    assert!(
        failure
            .advice(&post.settings)
            .contains("mail.password_file")
    );

    post.settings.credentials = None;
    let failure = post.send().await.unwrap_err();
    assert_eq!((failure.kind, failure.code), (Kind::Refused, Some(530)));
    assert!(failure.advice(&post.settings).contains("mail.user_name"));

    let post = Post::start(SmtpSettings {
        user: Some(USER),
        mechanisms: "CRAM-MD5",
        ..SmtpSettings::default()
    })
    .await;
    let failure = post.send().await.unwrap_err();
    assert_eq!((failure.kind, failure.code), (Kind::NotSignedIn, None));
    assert!(
        failure
            .to_string()
            .contains("neither AUTH PLAIN nor AUTH LOGIN")
    );
}

#[tokio::test]
async fn a_server_without_starttls_is_told_nothing() {
    let mut post = Post::start(SmtpSettings {
        tls: SmtpTls::None,
        ..SmtpSettings::default()
    })
    .await;
    post.send().await.unwrap();
    let before = post.server.commands().len();
    post.settings.encryption = crate::Encryption::StartTls;
    let failure = post.send().await.unwrap_err();
    assert_eq!(failure.kind, Kind::Insecure);
    assert!(failure.is_permanent());
    assert!(
        failure.to_string().contains("does not offer STARTTLS"),
        "{failure}"
    );
    let commands = post.server.commands();
    let said: Vec<&str> = commands[before..]
        .iter()
        .map(|(command, _)| command.as_str())
        .filter(|command| !command.starts_with("QUIT"))
        .collect();
    assert_eq!(
        said,
        ["EHLO mcp.example.com"],
        "no address, no password, no message"
    );
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_an_unknown_root_is_refused() {
    for tls in [SmtpTls::StartTls, SmtpTls::Implicit] {
        let post = Post::start(SmtpSettings {
            tls,
            name: "mail.example.com",
            ..SmtpSettings::default()
        })
        .await;
        let failure = post.send().await.unwrap_err();
        assert_eq!(failure.kind, Kind::Insecure, "{failure}");
        assert!(
            failure.advice(&post.settings).contains("another name"),
            "{failure}"
        );
        assert!(post.server.received().is_empty());

        let mut post = Post::start(SmtpSettings {
            tls,
            ..SmtpSettings::default()
        })
        .await;
        post.send().await.unwrap();
        post.settings.ca_file = None;
        let failure = post.send().await.unwrap_err();
        assert_eq!(failure.kind, Kind::Insecure, "{failure}");
        assert!(
            failure.advice(&post.settings).contains("mail.ca_file"),
            "{failure}"
        );
        assert_eq!(post.server.received().len(), 1, "the twin alone");
    }
}

#[tokio::test]
async fn the_wrong_kind_of_tls_says_which_one_to_set() {
    let mut post = Post::start(SmtpSettings::default()).await;
    post.settings.encryption = crate::Encryption::Implicit;
    let failure = post.send().await.unwrap_err();
    assert_eq!(failure.step, crate::Step::Tls);
    assert!(
        failure.advice(&post.settings).contains("starttls"),
        "{failure}"
    );

    let mut post = Post::start(SmtpSettings {
        tls: SmtpTls::Implicit,
        ..SmtpSettings::default()
    })
    .await;
    post.settings.encryption = crate::Encryption::StartTls;
    post.settings.total_timeout = std::time::Duration::from_millis(400);
    let failure = post.send().await.unwrap_err();
    assert_eq!(
        (failure.step, failure.kind),
        (crate::Step::Greeting, Kind::TimedOut)
    );
    let usual = crate::Settings {
        port: 465,
        ..post.settings.clone()
    };
    assert!(failure.advice(&usual).contains("implicit"));
}
