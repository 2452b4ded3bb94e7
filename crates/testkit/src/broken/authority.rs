//! The authorization server: codes with PKCE, refresh tokens that rotate, registration.

use base::{Digest, OsRandom, random_token};
use serde_json::{Value, json};
use url::Url;

use super::exchange::{Answer, Ask, first};
use super::rules::Refresh;
use super::site::{Code, RefreshToken, Site};

const SCOPES: [&str; 3] = ["notes:read", "notes:write", "offline_access"];

/// The page on which a person says yes. Asking for it changes nothing.
pub(super) fn authorize(site: &Site, ask: &Ask) -> Answer {
    if ask.method != "GET" && ask.method != "HEAD" {
        return Answer::html(405, "This page is opened in a browser.").with("allow", "GET, HEAD");
    }
    match checked(site, &ask.query) {
        Ok(_) => {
            let fields: String = ask
                .query
                .iter()
                .map(|(name, value)| {
                    format!(
                        "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
                        escaped(name),
                        escaped(value)
                    )
                })
                .collect();
            Answer::html(
                200,
                &format!("<form method=\"post\" action=\"/as/approve\">{fields}<button>Allow</button></form>"),
            )
            .with("cache-control", "no-store")
        }
        Err(refusal) => refusal,
    }
}

/// What the button of that page sends.
pub(super) fn approve(site: &Site, ask: &Ask) -> Answer {
    if ask.method != "POST" {
        return Answer::html(405, "This address takes a form.").with("allow", "POST");
    }
    let form = ask.form();
    let code = match checked(site, &form) {
        Ok(code) => code,
        Err(refusal) => return refusal,
    };
    let text = random_token(&OsRandom, "code_");
    let redirect_uri = code.redirect_uri.clone();
    site.memory().codes.insert(text.clone(), code);
    back(site, &redirect_uri, &form, &[("code", &text)])
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

/// To the client's address, always with `iss` and the `state` as it came.
fn back(
    site: &Site,
    redirect_uri: &str,
    form: &[(String, String)],
    parameters: &[(&str, &str)],
) -> Answer {
    let mut url = Url::parse(redirect_uri).expect("a registered address");
    {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(parameters);
        if let Some(state) = first(form, "state") {
            let state = if site.rules.state_is_kept {
                state.to_owned()
            } else {
                state.to_ascii_lowercase()
            };
            query.append_pair("state", &state);
        }
        match site.rules.iss_in_redirect {
            None => drop(query.append_pair("iss", &site.issuer())),
            Some("") => {}
            Some(other) => drop(query.append_pair("iss", other)),
        }
    }
    Answer::redirect(303, url.as_str()).with("cache-control", "no-store")
}

fn checked(site: &Site, form: &[(String, String)]) -> Result<Code, Answer> {
    let parameter = |name| first(form, name).unwrap_or_default();
    let (client_id, redirect_uri) = (parameter("client_id"), parameter("redirect_uri"));
    let registered = site.memory().clients.get(client_id).cloned();
    let is_allowed = match registered {
        Some(registered) => registered
            .iter()
            .any(|known| is_same(site, known, redirect_uri)),
        // A document is not fetched here: its host is believed for what a known client would declare.
        None if is_document(client_id) && site.rules.cimd => {
            // Documents declare loopback addresses without the port.
            let has_port = Url::parse(redirect_uri)
                .is_ok_and(|url| is_loopback(&url) && url.port().is_some() && url.path() != "/");
            is_registrable(redirect_uri) && (site.rules.loopback_port_is_free || !has_port)
        }
        None if site.rules.unknown_client_redirects && Url::parse(redirect_uri).is_ok() => {
            return Err(back(
                site,
                redirect_uri,
                form,
                &[("error", "unauthorized_client")],
            ));
        }
        None => {
            return Err(Answer::html(
                400,
                "This client is not registered here. Let it forget what it knows and connect again.",
            ));
        }
    };
    if !is_allowed {
        return Err(Answer::html(
            400,
            "The return address is not one of this client.",
        ));
    }
    let method = parameter("code_challenge_method");
    let has_pkce = match method {
        "S256" => parameter("code_challenge").len() == 43,
        "plain" => site.rules.plain_challenge,
        _ => !site.rules.pkce_is_required,
    };
    let wrong = if parameter("response_type") != "code" {
        Some(("unsupported_response_type", "only code"))
    } else if !has_pkce {
        Some(("invalid_request", "PKCE with S256 is needed"))
    } else if form
        .iter()
        .any(|(name, value)| name == "resource" && value.trim_end_matches('/') != site.resource())
    {
        Some((
            "invalid_target",
            "this server issues tokens for one resource",
        ))
    } else {
        None
    };
    if let Some((error, description)) = wrong {
        let parameters = [("error", error), ("error_description", description)];
        return Err(back(site, redirect_uri, form, &parameters));
    }
    Ok(Code {
        client_id: client_id.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        challenge: parameter("code_challenge").to_owned(),
        method: method.to_owned(),
        scope: granted(parameter("scope")),
        is_spent: false,
        family: random_token(&OsRandom, "fam_"),
    })
}

/// What is known of the scopes asked for; everything when nothing is.
fn granted(asked: &str) -> String {
    let known: Vec<&str> = asked
        .split(' ')
        .filter(|one| SCOPES.contains(one))
        .collect();
    let has_any = known.iter().any(|one| *one != "offline_access");
    if has_any {
        known.join(" ")
    } else {
        SCOPES[..2].join(" ")
    }
}

fn is_document(client_id: &str) -> bool {
    Url::parse(client_id).is_ok_and(|url| url.scheme() == "https" && url.path() != "/")
}

/// Byte for byte; of a loopback address the port may differ.
fn is_same(site: &Site, known: &str, asked: &str) -> bool {
    if known == asked {
        return true;
    }
    if site.rules.near_redirects {
        return asked.starts_with(known);
    }
    let without_port = |text: &str| -> Option<Url> {
        let mut url = Url::parse(text).ok().filter(is_loopback)?;
        url.set_port(None).ok()?;
        Some(url)
    };
    site.rules.loopback_port_is_free
        && !asked.contains(['#', '@'])
        && without_port(known).is_some_and(|known| Some(known) == without_port(asked))
}

fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http" && matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

/// https, this machine, or a scheme of an application that runs nothing.
fn is_registrable(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let is_app = url.scheme().contains(['.', '-'])
        || [
            "cursor",
            "vscode",
            "claude",
            "windsurf",
            "jetbrains",
            "zed",
            "kiro",
        ]
        .contains(&url.scheme());
    url.fragment().is_none()
        && !text.contains('*')
        && (url.scheme() == "https" || is_loopback(&url) || is_app)
}

/// RFC 7591, for anybody.
pub(super) fn register(site: &Site, ask: &Ask) -> Answer {
    if ask.method != "POST" {
        return Answer::json(405, &json!({"error": "method_not_allowed"})).with("allow", "POST");
    }
    site.memory().registrations += 1;
    let Ok(mut client) = serde_json::from_slice::<Value>(&ask.body) else {
        return oauth_error(400, "invalid_client_metadata", "the body is no JSON");
    };
    let Some(asked) = client["redirect_uris"]
        .as_array()
        .cloned()
        .filter(|list| !list.is_empty())
    else {
        return oauth_error(400, "invalid_redirect_uri", "redirect_uris is missing");
    };
    let taken: Vec<String> = asked
        .iter()
        .filter_map(Value::as_str)
        .filter(|text| is_registrable(text))
        .map(str::to_owned)
        .collect();
    if taken.is_empty() {
        return oauth_error(
            400,
            "invalid_redirect_uri",
            "none of these can be a return address",
        );
    }
    let client_id = random_token(&OsRandom, "cli_");
    if let Value::Object(members) = &mut client {
        members.retain(|_, member| !member.is_null() && *member != "");
    }
    client["redirect_uris"] = json!(taken);
    client["client_id"] = json!(client_id);
    client["client_id_issued_at"] = json!(site.now());
    client["token_endpoint_auth_method"] = json!("none");
    client["grant_types"] = json!(["authorization_code", "refresh_token"]);
    client["response_types"] = json!(["code"]);
    if client["scope"].is_null() {
        client["scope"] = json!("notes:read notes:write");
    }
    let mut memory = site.memory();
    memory.clients.insert(client_id, taken);
    Answer::json(201, &client).with("cache-control", "no-store")
}

/// Codes and refresh tokens become access tokens.
pub(super) fn token(site: &Site, ask: &Ask) -> Answer {
    if ask.method != "POST" {
        return Answer::json(405, &json!({"error": "method_not_allowed"})).with("allow", "POST");
    }
    let is_form = ask
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if !is_form {
        return oauth_error(400, "invalid_request", "the parameters are sent as a form");
    }
    let form = ask.form();
    let client_id = first(&form, "client_id").unwrap_or_default();
    let is_known = site.memory().clients.contains_key(client_id) || is_document(client_id);
    if !is_known {
        return oauth_error(401, "invalid_client", "this client is not registered here");
    }
    match first(&form, "grant_type") {
        Some("authorization_code") => redeem(site, &form, client_id),
        Some("refresh_token") => refresh(site, &form, client_id),
        _ => oauth_error(
            400,
            "unsupported_grant_type",
            "authorization_code or refresh_token",
        ),
    }
}

fn redeem(site: &Site, form: &[(String, String)], client_id: &str) -> Answer {
    let parameter = |name| first(form, name).unwrap_or_default();
    let mut memory = site.memory();
    let Some(code) = memory.codes.get_mut(parameter("code")) else {
        return oauth_error(400, "invalid_grant", "this code is not known");
    };
    let verifier = parameter("code_verifier");
    let proves = match code.method.as_str() {
        "S256" => Digest::of(verifier).to_text() == code.challenge,
        "plain" => verifier == code.challenge,
        _ => true,
    };
    if code.client_id != client_id || code.redirect_uri != parameter("redirect_uri") || !proves {
        return oauth_error(400, "invalid_grant", "this code is not for this request");
    }
    let was_spent = std::mem::replace(&mut code.is_spent, true);
    let code = code.clone();
    if was_spent && site.rules.code_is_spent {
        memory.revoked.insert(code.family);
        return oauth_error(400, "invalid_grant", "this code was used");
    }
    drop(memory);
    let link = RefreshToken {
        client_id: code.client_id,
        family: code.family,
        scope: code.scope,
        successor: None,
    };
    issue(site, link, None, None)
}

fn refresh(site: &Site, form: &[(String, String)], client_id: &str) -> Answer {
    let presented = first(form, "refresh_token").unwrap_or_default();
    let rule = site.rules.refresh;
    let mut memory = site.memory();
    let Some(link) = memory.refresh_tokens.get(presented).cloned() else {
        return oauth_error(400, "invalid_grant", "this refresh token is not known");
    };
    let used_up = match (&link.successor, rule) {
        (None, _) | (_, Refresh::OldWorks) => false,
        (Some(_), Refresh::Races) => true,
        (Some(successor), _) => memory
            .refresh_tokens
            .get(successor)
            .is_some_and(|next| next.successor.is_some()),
    };
    if used_up {
        // Two have the chain, and one of them stole it; who loses a race did not.
        if rule != Refresh::Races {
            memory.revoked.insert(link.family);
        }
        return oauth_error(400, "invalid_grant", "this refresh token was used");
    }
    let is_refused = match rule {
        Refresh::Refused => true,
        Refresh::NeedsResource => first(form, "resource").is_none(),
        Refresh::RefusesScope => first(form, "scope").is_some(),
        _ => false,
    };
    if is_refused || link.client_id != client_id || memory.revoked.contains(&link.family) {
        return oauth_error(400, "invalid_grant", "this refresh token is not good");
    }
    if rule == Refresh::Stays {
        drop(memory);
        let presented = presented.to_owned();
        return issue(site, link, Some(presented), first(form, "scope"));
    }
    if let Some(successor) = link.successor.clone()
        && rule != Refresh::OldWorks
    {
        drop(memory);
        return issue(site, link, Some(successor), first(form, "scope"));
    }
    let successor = random_token(&OsRandom, "rt_");
    if let Some(known) = memory.refresh_tokens.get_mut(presented) {
        known.successor = Some(successor.clone());
    }
    drop(memory);
    issue(site, link, Some(successor), first(form, "scope"))
}

/// A token response; `refresh_token` is made when there is none yet, and less than what was granted can be asked for.
fn issue(
    site: &Site,
    link: RefreshToken,
    refresh_token: Option<String>,
    asked: Option<&str>,
) -> Answer {
    let scope = match asked {
        Some(asked) => link
            .scope
            .split(' ')
            .filter(|scope| asked.split(' ').any(|one| one == *scope))
            .collect::<Vec<_>>()
            .join(" "),
        None => link.scope.clone(),
    };
    let claims = site.claims(&link.client_id, &scope, &link.family);
    let refresh_token = refresh_token.unwrap_or_else(|| random_token(&OsRandom, "rt_"));
    let response = json!({
        "access_token": site.key.sign(&claims),
        "token_type": "Bearer",
        "expires_in": site.lifetime(),
        "scope": scope,
        "refresh_token": refresh_token,
    });
    let mut memory = site.memory();
    memory
        .refresh_tokens
        .entry(refresh_token)
        .or_insert(RefreshToken {
            successor: None,
            ..link
        });
    Answer::json(200, &response).with("cache-control", "no-store")
}

/// RFC 7009: the family of the token ends.
pub(super) fn revoke(site: &Site, ask: &Ask) -> Answer {
    let form = ask.form();
    let token = first(&form, "token").unwrap_or_default();
    let mut memory = site.memory();
    let family = memory
        .refresh_tokens
        .get(token)
        .map(|link| link.family.clone())
        .or_else(|| {
            let payload = base::base64url_decode(token.split('.').nth(1)?)?;
            let claims: Value = serde_json::from_slice(&payload).ok()?;
            claims["grant_id"].as_str().map(str::to_owned)
        });
    memory.revoked.extend(family);
    Answer::empty(200).with("cache-control", "no-store")
}

fn oauth_error(status: u16, error: &str, description: &str) -> Answer {
    let body = json!({"error": error, "error_description": description});
    Answer::json(status, &body).with("cache-control", "no-store")
}
