//! Clients that an owner decides about, and what a person does with what is their own.

use std::time::Duration;

use base::{OsRandom, Secret};
use domain::{
    AuditEventKind, EmailAddress, MetadataDocumentTrust, RegistrationMode, ServerSettings, UserRole,
};
use http::StatusCode;

use crate::consent::with_claude;
use crate::support::{Answer, Browser, EMAIL, PASSWORD, PUBLIC_URL, World, authorize_path, owned};

const OWNER: &str = "owner@example.com";
const CLAUDE: &str = "https://claude.ai/oauth/client.json";

pub async fn signed_in(world: &World, email: &str) -> Browser {
    let mut browser = Browser::default();
    let page = browser.get(world, "/sign-in").await;
    let fields = owned(&[
        ("csrf", page.input("csrf").as_str()),
        ("email", email),
        ("password", PASSWORD),
    ]);
    let answer = browser.post(world, "/sign-in", &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    browser
}

pub async fn owner(world: &World) -> Browser {
    oauth::users::add(
        &world.store,
        &world.clock,
        &OsRandom,
        EmailAddress::parse(OWNER).unwrap(),
        &Secret::new(PASSWORD.to_owned()),
        UserRole::Owner,
    )
    .await
    .unwrap();
    signed_in(world, OWNER).await
}

/// The fields of the first form of `page` that posts to `action`.
fn form(page: &Answer, action: &str) -> Vec<(String, String)> {
    let (_, form) = page
        .text
        .split_once(&format!("action=\"{action}\""))
        .unwrap_or_else(|| panic!("no form to {action} in {}", page.text));
    let form = form.split("</form>").next().unwrap();
    form.split("<input type=\"hidden\" name=\"")
        .skip(1)
        .map(|rest| {
            let (name, rest) = rest.split_once("\" value=\"").unwrap();
            let value = rest.split('"').next().unwrap();
            (name.to_owned(), value.replace("&#38;", "&"))
        })
        .collect()
}

fn with(mut fields: Vec<(String, String)>, name: &str, value: &str) -> Vec<(String, String)> {
    fields.retain(|(found, _)| found != name);
    fields.push((name.to_owned(), value.to_owned()));
    fields
}

#[tokio::test]
async fn a_registered_client_waits_until_the_owner_has_decided() {
    let settings = ServerSettings {
        dynamic_registration: RegistrationMode::Approved,
        ..ServerSettings::default()
    };
    let world = World::with(PUBLIC_URL, settings).await;
    world.add_alice().await;
    let mut owner = owner(&world).await;
    let mut alice = signed_in(&world, EMAIL).await;
    for (decision, then) in [
        ("approve", "value=\"approve\""),
        ("block", "not registered"),
    ] {
        let client = world.register_named(decision).await;
        let path = authorize_path(&client, &[]);
        let page = alice.get(&world, &path).await;
        page.assert_status(200);
        assert!(page.text.contains("Waiting for the owner"), "{}", page.text);
        assert!(
            page.text
                .contains("content=\"15;url=/servers/todo/authorize?request=")
        );
        assert!(!page.text.contains("name=\"decision\""));

        let dashboard = owner.get(&world, "/admin").await;
        assert!(dashboard.text.contains("Waiting for your decision"));
        let fields = with(form(&dashboard, "/admin/clients"), "decision", decision);
        let answer = owner.post(&world, "/admin/clients", &fields).await;
        assert_eq!(answer.location(), "/admin", "{}", answer.text);
        let dashboard = owner.get(&world, "/admin").await;
        assert!(!dashboard.text.contains("Waiting for your decision"));

        let page = alice.get(&world, &path).await;
        assert!(page.text.contains(then), "{decision}: {}", page.text);
    }
    let kinds = world.audit_kinds().await;
    assert!(kinds.contains(&AuditEventKind::ClientApproved));
    assert!(kinds.contains(&AuditEventKind::ClientBlocked));
}

#[tokio::test]
async fn nobody_but_an_owner_on_their_own_page_decides() {
    let settings = ServerSettings {
        dynamic_registration: RegistrationMode::Approved,
        ..ServerSettings::default()
    };
    let world = World::with(PUBLIC_URL, settings).await;
    world.add_alice().await;
    let client = world.register().await;
    let mut owner = owner(&world).await;
    let dashboard = owner.get(&world, "/admin").await;
    let good = with(form(&dashboard, "/admin/clients"), "decision", "approve");

    // A member does not see it, and cannot decide with the owner's form or one of their own making.
    let mut alice = signed_in(&world, EMAIL).await;
    let page = alice.get(&world, "/admin").await;
    assert!(!page.text.contains("Waiting for your decision"));
    let path = "/admin/clients";
    alice
        .post(&world, path, &good)
        .await
        .assert_page(400, "not sent from a page of ours");
    let mut foreign = owner.clone();
    foreign.fetch_site = Some("cross-site");
    foreign
        .post(&world, path, &good)
        .await
        .assert_page(400, "not sent from a page of ours");
    for (name, value) in [("csrf", "x"), ("client", "cli_other"), ("server", "other")] {
        owner
            .post(&world, path, &with(good.clone(), name, value))
            .await
            .assert_page(400, "not sent from a page of ours");
    }
    owner
        .post(&world, path, &with(good.clone(), "decision", "perhaps"))
        .await
        .assert_page(400, "approve or block");
    let nobody = Browser::default().post(&world, path, &good).await;
    assert_eq!(nobody.location(), "/sign-in");
    let page = alice.get(&world, &authorize_path(&client, &[])).await;
    assert!(page.text.contains("Waiting for the owner"));
    // The accepted twin.
    let answer = owner.post(&world, path, &good).await;
    assert_eq!(answer.location(), "/admin");
    let page = alice.get(&world, &authorize_path(&client, &[])).await;
    assert!(page.text.contains("value=\"approve\""));
}

#[tokio::test]
async fn a_person_asks_the_owner_for_a_client_with_a_document_and_then_waits() {
    let settings = ServerSettings {
        metadata_documents: MetadataDocumentTrust::Ask,
        ..ServerSettings::default()
    };
    let (world, _host) = with_claude(settings).await;
    let mut owner = owner(&world).await;
    let mut alice = signed_in(&world, EMAIL).await;
    let callback = Some("https://claude.ai/api/mcp/auth_callback");
    let path = authorize_path(CLAUDE, &[("redirect_uri", callback)]);
    let page = alice.get(&world, &path).await;
    assert!(page.text.contains("Ask the owner"), "{}", page.text);
    let dashboard = owner.get(&world, "/admin").await;
    assert!(
        !dashboard.text.contains("Waiting for your decision"),
        "looking asks nobody"
    );
    let fields = with(form(&page, "/servers/todo/authorize"), "decision", "ask");
    // Twice is once.
    for _ in 0..2 {
        let answer = alice.post(&world, "/servers/todo/authorize", &fields).await;
        let page = alice.get(&world, answer.location()).await;
        assert!(page.text.contains("Waiting for the owner"), "{}", page.text);
    }
    let asked = world.audit_kinds().await;
    let asked = asked
        .iter()
        .filter(|kind| **kind == AuditEventKind::ClientAskedFor);
    assert_eq!(asked.count(), 1);
    let dashboard = owner.get(&world, "/admin").await;
    assert!(dashboard.text.contains(">claude.ai<"));
    let fields = with(form(&dashboard, "/admin/clients"), "decision", "approve");
    owner.post(&world, "/admin/clients", &fields).await;
    let page = alice.get(&world, &path).await;
    assert!(page.text.contains("value=\"approve\""), "{}", page.text);
}

#[tokio::test]
async fn a_person_makes_sees_and_revokes_their_own_tokens() {
    let world = World::new().await;
    world.add_alice().await;
    world.add_user("bob@example.com").await;
    let mut alice = signed_in(&world, EMAIL).await;
    let path = "/account/tokens";
    let page = alice.get(&world, path).await;
    assert!(page.text.contains("You have none yet"));
    let hidden = form(&page, path);
    let complete = with(hidden.clone(), "name", "Weekly");
    let complete = with(with(complete, "scope", "todo:read"), "days", "30");
    for (name, value, words) in [
        ("name", "", "what the token is for"),
        ("name", &"x".repeat(81), "what the token is for"),
        ("scope", "", "at least one thing"),
        ("scope", "other:read", "other:read"),
        ("days", "0", "1 to 365"),
        ("days", "366", "1 to 365"),
        ("server", "other", "no such server"),
    ] {
        let answer = alice
            .post(&world, path, &with(complete.clone(), name, value))
            .await;
        answer.assert_page(400, words);
    }
    let mut foreign = alice.clone();
    foreign.fetch_site = Some("cross-site");
    let answer = foreign.post(&world, path, &complete).await;
    answer.assert_page(400, "not sent from a page of ours");
    let page = alice.get(&world, path).await;
    assert!(page.text.contains("You have none yet"), "nothing was made");

    let made = alice.post(&world, path, &complete).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    assert_eq!(made.header("cache-control"), "no-store");
    let (_, rest) = made.text.split_once("<code>pct_").unwrap();
    let token = format!("pct_{}", rest.split('<').next().unwrap());
    assert_eq!(token.len(), 47);
    let page = alice.get(&world, path).await;
    assert!(page.text.contains("Weekly") && !page.text.contains(&token));
    let server = world.authority.server("todo").unwrap();
    let exchange = || oauth::service_tokens::exchange(&world.authority, &server, &token);
    exchange().await.unwrap();

    // Bob has a page of his own, and his form ends nothing of hers.
    let mut bob = signed_in(&world, "bob@example.com").await;
    let revoke = form(&page, "/account/tokens/revoke");
    let page = bob.get(&world, path).await;
    assert!(!page.text.contains("Weekly"));
    let his = with(form(&page, path), "id", &revoke[1].1);
    bob.post(&world, "/account/tokens/revoke", &his).await;
    exchange().await.unwrap();
    let answer = alice.post(&world, "/account/tokens/revoke", &revoke).await;
    assert_eq!(answer.location(), path);
    exchange().await.unwrap_err();
    let page = alice.get(&world, path).await;
    assert!(page.text.contains(">Revoked<"));
    assert_eq!(
        Browser::default().get(&world, path).await.location(),
        "/sign-in"
    );
    world.clock.advance(Duration::from_secs(1));
}

#[tokio::test]
async fn a_client_that_waits_is_told_so_at_the_token_endpoint_and_another_what_it_lacks() {
    let settings = ServerSettings {
        dynamic_registration: RegistrationMode::Approved,
        ..ServerSettings::default()
    };
    for (world, words) in [
        (World::with(PUBLIC_URL, settings).await, "waits for the"),
        (World::new().await, "cannot act for itself"),
    ] {
        let client = world.register().await;
        let grant = ("grant_type", "client_credentials");
        world
            .token(&[grant, ("client_id", &client)])
            .await
            .assert_error(400, "unauthorized_client", words);
    }
}
