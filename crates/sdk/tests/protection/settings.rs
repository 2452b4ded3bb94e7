use portcullis::IssuerKeys;

use super::*;

#[tokio::test]
async fn settings_that_cannot_work_are_refused_in_words() {
    let issuer = TestIssuer::new();
    let good = || builder(&issuer);
    assert!(good().start().is_ok());
    let bare = || Protection::for_resource(RESOURCE);
    let at = |url: &str| {
        bare()
            .policy(policy())
            .issuer("https://i.test", IssuerKeys::at(url))
    };
    let authority = "https://auth.example.com/servers/todo";
    assert!(bare().authority(authority, "prs_a:pcq_b").start().is_ok());
    assert!(at("http://127.0.0.1:9/jwks.json").start().is_ok());
    for (builder, words) in [
        (Protection::for_resource("notes"), "for_resource"),
        (bare(), "both a policy and an issuer"),
        (bare().policy(policy()), "both a policy and an issuer"),
        (
            bare().issuer(issuer.issuer(), issuer.keys()),
            "both a policy and an issuer",
        ),
        (at("http://issuer.example/jwks.json"), "over https"),
        (good().policy(policy().tool("x", "undeclared")), "tools x"),
        (
            good().authority(authority, "prs_a:pcq_b"),
            "remove one of the two",
        ),
        (
            bare().authority("https://auth.example.com", "prs_a:pcq_b"),
            "servers show",
        ),
        (bare().authority(authority, "secret"), "ID:SECRET"),
        (good().allowed_origins(["app"]), "allowed_origins"),
    ] {
        let error = builder.start().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("pcq_b"), "{error}");
    }
    assert!(good().start().unwrap().require_scope("a b").is_err());
}

#[test]
fn outside_of_a_runtime_it_says_what_is_missing() {
    let issuer = TestIssuer::new();
    let error = builder(&issuer).start().unwrap_err().to_string();
    assert!(error.contains("tokio runtime"), "{error}");
}

#[tokio::test]
async fn with_an_authority_that_is_away_the_answer_is_503_and_the_secret_is_not_shown() {
    let protection = Protection::for_resource(RESOURCE)
        .authority("http://127.0.0.1:9/servers/notes", "prs_a:pcq_canary")
        .start()
        .unwrap();
    assert!(!format!("{protection:?}").contains("pcq_canary"));
    let service = protection.protect(Mcp::new(|asked| result(&asked, &json!({}), false)));
    let answer = ask(&service, "", &message("ping", json!({}), false)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}
