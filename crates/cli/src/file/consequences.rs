use std::time::Duration;

use authz::{ListKind, Policy};
use base::Timestamp;
use domain::{AuthMethod, Client, ClientId, McpServer, ServerSlug};
use store::{Declared, Store};
use toml::Value;

use super::differences::{Action, Kind, Step};
use crate::moving::{consequences as of_move, counted};
use crate::policy::{Reached, Standings};

/// As many elements are named.
const NAMED_MAX: usize = 10;

/// Adds to each step what it means for people and clients.
///
/// # Errors
/// When it cannot be counted.
pub(super) async fn add(
    steps: &mut [Step],
    now: &Declared,
    wanted: &Declared,
    store: &Store,
    at: Timestamp,
    kept: Duration,
) -> anyhow::Result<()> {
    for step in steps {
        let server = |of: &Declared| {
            let slug = step.server.as_deref().unwrap_or_default();
            of.servers
                .iter()
                .find(|one| one.slug.as_str() == slug)
                .cloned()
        };
        let client = |of: &Declared| {
            of.clients
                .iter()
                .find(|one| one.id.as_str() == step.name)
                .cloned()
        };
        step.consequences = match (step.kind, server(now), server(wanted)) {
            (Kind::Server, Some(before), None) => removed(&before, store, at).await?,
            (Kind::Server, Some(before), Some(after)) => {
                changed(&before, &after, store, at, kept).await?
            }
            (Kind::Server, None, Some(after)) if after.policy.is_blank() => vec![
                "its tools are mapped when it first answers the authority; until then nobody can call them".to_owned(),
            ],
            (Kind::Client, _, Some(_)) => {
                of_client(step, client(now), client(wanted), store, at).await?
            }
            (Kind::Decision, _, Some(after)) => of_decision(step, &after, store, at).await?,
            (Kind::Person, ..) => of_person(step),
            _ => Vec::new(),
        };
    }
    Ok(())
}

async fn removed(before: &McpServer, store: &Store, at: Timestamp) -> anyhow::Result<Vec<String>> {
    let slug = &before.slug;
    let dependents = store.count_dependents(slug, at).await?;
    Ok(vec![
        format!(
            "{} of {} and {} end, and {} are unknown from then on",
            counted(dependents.sign_ins, "sign-in"),
            counted(dependents.people, "person"),
            counted(dependents.service_tokens, "service token"),
            counted(dependents.clients, "client"),
        ),
        format!(
            "{} answers nobody; another server may get that URL",
            before.resource
        ),
        format!("the slug {slug} is never given again: this cannot be taken back"),
    ])
}

async fn changed(
    before: &McpServer,
    after: &McpServer,
    store: &Store,
    at: Timestamp,
    kept: Duration,
) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    if before.resource != after.resource {
        let dependents = store.count_dependents(&before.slug, at).await?;
        let told = of_move(before, &after.resource, at.after(kept), dependents);
        words.extend(told.iter().skip(1).map(|line| line.trim().to_owned()));
    }
    if before.upstream != after.upstream {
        words.push("MCP sessions with the upstream before end, and clients begin anew".to_owned());
    }
    words.extend(of_policy(before, &after.policy, store, at).await?);
    words.extend(in_quarantine(&before.policy, &after.policy));
    if before.policy != after.policy {
        let standings = Standings::load(store, &before.slug).await?;
        let reached = Reached::of(before, &after.policy, store, &standings).await?;
        let command = "portcullis policy preview";
        words.extend(
            reached
                .summary()
                .map(|words| format!("{words}; {command} {} --file FILE shows which", before.slug)),
        );
    }
    let seconds = after.settings.access_token_seconds;
    if seconds < 600 && seconds != before.settings.access_token_seconds {
        words.push(
            "an access token of less than 10m makes several clients refresh before each call"
                .to_owned(),
        );
    }
    Ok(words)
}

/// The elements that come into quarantine with the file.
fn in_quarantine(before: &Policy, after: &Policy) -> Option<String> {
    let mut names = Vec::new();
    for kind in ListKind::ALL {
        let entries = after.entries(kind).iter().filter(|(name, entry)| {
            !entry.state.is_accepted() && !before.entries(kind).contains_key(*name)
        });
        names.extend(entries.map(|(name, _)| name.escape_debug().to_string()));
    }
    let named = names.iter().take(NAMED_MAX).cloned();
    let named = named.collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| {
        format!(
            "in quarantine until somebody approves them, since they are listed otherwise than the file has them, or that was rejected: \
             {named}{more}"
        )
    })
}

/// What another policy means for those who have roles and scopes.
///
/// # Errors
/// When it cannot be counted.
pub(crate) async fn of_policy(
    before: &McpServer,
    after: &Policy,
    store: &Store,
    at: Timestamp,
) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    if after.is_blank() && !before.policy.is_blank() {
        words.push(
            "no tool is mapped any more: the authority maps them anew when it looks next"
                .to_owned(),
        );
    }
    words.extend(of_roles(&before.policy, after));
    for scope in &before.policy.scopes {
        if after.declaration(&scope.name).is_some() {
            continue;
        }
        let holders = store.count_holders(&before.slug, &scope.name, at).await?;
        let held = format!("{} with a sign-in that has it", counted(holders, "person"));
        let renamed = after.scopes.iter().find(|one| one.id == scope.id);
        words.push(match renamed {
            Some(renamed) => format!(
                "{} is {} from then on: {held} have to approve it anew",
                scope.name, renamed.name
            ),
            None => format!("{} is withdrawn: {held} lose it", scope.name),
        });
    }
    Ok(words)
}

fn of_roles(before: &Policy, after: &Policy) -> Vec<String> {
    let gone = before.roles.iter();
    let gone = gone.filter(|role| after.role(&role.id).is_none());
    let mut words: Vec<_> = gone
        .map(|role| {
            let name = &role.name;
            format!("the role {name} is taken back from all who were given it")
        })
        .collect();
    if after.roles.is_empty() && !before.roles.is_empty() {
        words.push(
            "it has no roles any more: everybody who may sign in may have every scope that no rule denies them"
                .to_owned(),
        );
    }
    words
}

async fn ends(
    server: &ServerSlug,
    client: &ClientId,
    store: &Store,
    at: Timestamp,
) -> anyhow::Result<String> {
    let usage = store.client_usage(server, client, at).await?;
    Ok(format!(
        "{} end, and it is refused everywhere",
        counted(usage.live_families, "sign-in")
    ))
}

async fn of_client(
    step: &Step,
    before: Option<Client>,
    after: Option<Client>,
    store: &Store,
    at: Timestamp,
) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    let has_secret = |client: &Option<Client>| {
        client
            .as_ref()
            .is_some_and(|one| one.authentication.accepts(AuthMethod::ClientSecret))
    };
    let is_blocked =
        |client: &Option<Client>| client.as_ref().is_some_and(|one| one.disabled_at.is_some());
    if has_secret(&after) && !has_secret(&before) {
        let id = &step.name;
        words.push(format!(
            "no file has its secret: portcullis clients rotate-secret {id} makes and prints one"
        ));
    }
    let Some(before) = before else {
        return Ok(words);
    };
    match after {
        None => {
            words.push(ends(&before.server, &before.id, store, at).await?);
            words.push("what people approved for it is deleted".to_owned());
        }
        Some(_) if is_blocked(&after) && before.disabled_at.is_none() => {
            words.push(ends(&before.server, &before.id, store, at).await?);
        }
        Some(_) if !is_blocked(&after) && before.disabled_at.is_some() => {
            words.push("it is let in again; what it held stays ended".to_owned());
        }
        Some(_) => {}
    }
    Ok(words)
}

async fn of_decision(
    step: &Step,
    server: &McpServer,
    store: &Store,
    at: Timestamp,
) -> anyhow::Result<Vec<String>> {
    let new = step.fields.first().and_then(|field| field.new.as_ref());
    Ok(match new.and_then(Value::as_str) {
        Some("blocked") => {
            let client = ClientId::from_text(step.name.as_str());
            vec![ends(&server.slug, &client, store, at).await?]
        }
        Some(_) => Vec::new(),
        None => vec!["the server's setting client-metadata counts again".to_owned()],
    })
}

fn of_person(step: &Step) -> Vec<String> {
    let mut words = Vec::new();
    let is_true = |value: &Option<Value>| value.as_ref().and_then(Value::as_bool) == Some(true);
    let becomes = |name: &str| {
        let field = step.fields.iter().find(|field| field.field == name);
        field.map(|field| is_true(&field.new))
    };
    if step.action == Action::Create {
        words.push(format!(
            "no file has a password: portcullis users add {} --password-stdin gives one",
            step.name
        ));
    } else {
        match becomes("disabled") {
            Some(true) => words.push(
                "they are signed out everywhere, and every token on their behalf ends".to_owned(),
            ),
            Some(false) => words.push("what they had granted stays ended".to_owned()),
            None => {}
        }
    }
    match becomes("owner") {
        Some(true) => words.push("an owner may do everything in the dashboard".to_owned()),
        Some(false) => words.push("the dashboard does not open for them any more".to_owned()),
        None => {}
    }
    words
}

#[cfg(test)]
mod tests {
    use authz::{Role, RoleScopes};

    use super::*;

    #[test]
    fn of_a_server_that_loses_its_last_role_is_said_that_everybody_may_have_everything() {
        let with = |names: &[&str]| Policy {
            roles: names
                .iter()
                .map(|name| Role {
                    id: format!("rol_{name}"),
                    name: (*name).to_owned(),
                    title: String::new(),
                    scopes: RoleScopes::All,
                })
                .collect(),
            ..Policy::default()
        };
        let both = with(&["reader", "writer"]);
        assert_eq!(of_roles(&both, &both), [] as [String; 0]);
        let taken_back =
            |name: &str| format!("the role {name} is taken back from all who were given it");
        let one = of_roles(&both, &with(&["reader"]));
        assert_eq!(one, [taken_back("writer")]);
        let none = of_roles(&both, &with(&[]));
        assert_eq!(none[..2], [taken_back("reader"), taken_back("writer")]);
        assert!(none[2].contains("may have every scope"), "{none:?}");
        assert_eq!(of_roles(&with(&[]), &both), [] as [String; 0]);
    }
}
