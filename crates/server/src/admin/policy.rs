use ::oauth::administrator::Administrator;
use ::oauth::policy::{self, PublishError};
use ::oauth::roll_back::{self, RollBackError};
use authz::{Policy, PolicyChange};
use axum::Extension;
use axum::extract::{RawPathParams, Request, State};
use axum::response::Response;
use domain::{McpServer, PolicyRevision, UserId};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::json;

use super::members::Members;
use super::problem::Problem;
use super::query::{Query, moment, page};
use super::servers::AtServer;
use crate::app::AppState;
use crate::respond;

/// The longest words about a change.
const DETAIL_CHARS_MAX: usize = 500;

/// A policy as it is or was.
#[derive(Debug, Serialize)]
struct PolicyView<'a> {
    revision: i64,
    in_force: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<RevisionView>,
    policy: &'a Policy,
}

/// What is known of a revision.
#[derive(Debug, Serialize)]
struct RevisionView {
    revision: i64,
    at: Option<String>,
    /// The person; nothing for a command.
    by: Option<String>,
    /// The client that they came through, or that acted for itself.
    through: Option<String>,
    /// `added`, `change`, `apply`, `inventory`, `decision` or `roll_back`.
    origin: &'static str,
    of_revision: Option<i64>,
    detail: String,
}

impl From<PolicyRevision> for RevisionView {
    fn from(kept: PolicyRevision) -> Self {
        Self {
            revision: kept.revision,
            at: kept.at.map(moment),
            by: kept.by.as_ref().map(UserId::as_str).map(str::to_owned),
            through: (kept.through.as_ref()).map(|client| client.as_str().to_owned()),
            origin: kept.origin.as_str(),
            of_revision: kept.origin.of_revision(),
            detail: kept.detail,
        }
    }
}

/// `GET /servers/{slug}/policy`: the one in force, with its revision as `ETag`.
pub(super) async fn show(AtServer(server): AtServer) -> Response {
    let view = PolicyView {
        revision: server.policy_revision,
        in_force: true,
        saved: None,
        policy: &server.policy,
    };
    with_revision(respond::json(StatusCode::OK, &view), server.policy_revision)
}

/// `GET /servers/{slug}/policy/revisions`, the newest first.
pub(super) async fn revisions(
    State(app): State<AppState>,
    AtServer(server): AtServer,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::read(&uri, &["limit", "after"])?;
    let (limit, before) = (query.limit()?, query.number("after")?);
    let store = app.authority.store();
    let kept = store.list_policy_revisions(&server.slug, before, limit + 1);
    let views: Vec<RevisionView> = kept.await?.into_iter().map(RevisionView::from).collect();
    Ok(page(views, limit, |view| view.revision.to_string()))
}

/// `GET /servers/{slug}/policy/revisions/{revision}`.
pub(super) async fn revision(
    State(app): State<AppState>,
    AtServer(server): AtServer,
    parameters: RawPathParams,
) -> Result<Response, Problem> {
    let mut parameters = parameters.iter();
    let text = parameters.find(|(name, _)| *name == "revision");
    let number = text.and_then(|(_, text)| text.parse().ok());
    let number = number.ok_or_else(|| not_kept(&server))?;
    let (saved, policy) = at(&app, &server, number).await?;
    let view = PolicyView {
        revision: number,
        in_force: number == server.policy_revision,
        saved: saved.map(RevisionView::from),
        policy: &policy,
    };
    Ok(respond::json(StatusCode::OK, &view))
}

/// `GET /servers/{slug}/policy/diff?from=&to=`.
pub(super) async fn diff(
    State(app): State<AppState>,
    AtServer(server): AtServer,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Query::read(&uri, &["from", "to"])?;
    let from = query.number("from")?;
    let from = from.ok_or_else(|| Problem::at("from", "from is missing"))?;
    let to = query.number("to")?.unwrap_or(server.policy_revision);
    let (_, before) = at(&app, &server, from).await?;
    let (_, after) = at(&app, &server, to).await?;
    let changes = authz::policy_changes(&before, &after);
    let view = json!({ "from": from, "to": to, "changes": changes });
    Ok(respond::json(StatusCode::OK, &view))
}

/// What somebody would have in the place of the policy in force.
struct Proposed {
    policy: Policy,
    changes: Vec<PolicyChange>,
}

/// `POST /servers/{slug}/policy/preview`: what another policy, or going back to a revision, would change. It changes nothing.
pub(super) async fn preview(
    State(app): State<AppState>,
    AtServer(server): AtServer,
    request: Request,
) -> Result<Response, Problem> {
    let mut members = Members::with_policy(request).await?;
    let policy: Option<Policy> = members.optional("policy")?;
    let revision: Option<i64> = members.optional("revision")?;
    members.end()?;
    let store = app.authority.store();
    let policy = match (policy, revision) {
        (Some(policy), None) => policy::written(store, &server, policy).await?,
        (None, Some(revision)) => {
            let planned = roll_back::plan(store, &server, revision).await?;
            planned.back.policy
        }
        _ => return Err(Problem::at("policy", "write either policy or revision")),
    };
    let proposed = Proposed {
        changes: authz::policy_changes(&server.policy, &policy),
        policy,
    };
    let view = json!({
        "in_force": server.policy_revision,
        "changes": proposed.changes,
        "policy": proposed.policy,
    });
    Ok(respond::json(StatusCode::OK, &view))
}

/// `PUT /servers/{slug}/policy`: the whole policy, over the revision that was read.
pub(super) async fn put(
    State(app): State<AppState>,
    Extension(administrator): Extension<Administrator>,
    AtServer(server): AtServer,
    request: Request,
) -> Result<Response, Problem> {
    let condition = if_match(request.headers())?;
    let mut members = Members::with_policy(request).await?;
    let base = members.optional("base_revision")?;
    let policy: Policy = members.required("policy")?;
    let detail = detail(&mut members)?;
    members.end()?;
    still_at(&server, base, condition)?;
    let store = app.authority.store();
    let policy = policy::written(store, &server, policy).await?;
    if policy == server.policy {
        return Ok(published(server.policy_revision));
    }
    let act = administrator.act(&app.authority);
    let revision = policy::put(store, act, &server, &policy, detail).await?;
    Ok(published(revision))
}

/// `POST /servers/{slug}/policy/rollback`: an earlier revision again.
pub(super) async fn roll_back(
    State(app): State<AppState>,
    Extension(administrator): Extension<Administrator>,
    AtServer(server): AtServer,
    request: Request,
) -> Result<Response, Problem> {
    let condition = if_match(request.headers())?;
    let mut members = Members::read(request).await?;
    let base = members.optional("base_revision")?;
    let revision: i64 = members.required("revision")?;
    members.end()?;
    still_at(&server, base, condition)?;
    let store = app.authority.store();
    let planned = roll_back::plan(store, &server, revision).await?;
    let act = administrator.act(&app.authority);
    let revision = roll_back::publish(store, act, &server, planned).await?;
    Ok(published(revision))
}

fn published(revision: i64) -> Response {
    let view = json!({ "revision": revision });
    with_revision(respond::json(StatusCode::OK, &view), revision)
}

fn with_revision(mut response: Response, revision: i64) -> Response {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// The revision that `If-Match` names (RFC 9110 section 13.1.1); one alone, since a policy is at one.
fn if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let number = text.trim_matches('"').parse();
    let wrong = |_| Problem::at("If-Match", "write the ETag of the policy, such as \"12\"");
    number.map(Some).map_err(wrong)
}

/// Whoever writes a policy says which one they saw.
fn still_at(server: &McpServer, base: Option<i64>, tag: Option<i64>) -> Result<(), Problem> {
    match base.or(tag) {
        None => Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "precondition_required",
            "say which revision you saw, with base_revision or If-Match",
        )),
        Some(seen) if seen == server.policy_revision && tag.is_none_or(|tag| tag == seen) => Ok(()),
        Some(_) => Err(Problem::stale()),
    }
}

fn detail(members: &mut Members) -> Result<String, Problem> {
    let detail: Option<String> = members.optional("detail")?;
    let detail = detail.unwrap_or_else(|| "over the admin API".to_owned());
    match detail.chars().count() > DETAIL_CHARS_MAX || detail.contains(char::is_control) {
        false => Ok(detail),
        true => Err(Problem::at(
            "detail",
            format!("at most {DETAIL_CHARS_MAX} characters, none of them a control character"),
        )),
    }
}

/// The policy of a revision, with what is known of it.
async fn at(
    app: &AppState,
    server: &McpServer,
    revision: i64,
) -> Result<(Option<PolicyRevision>, Policy), Problem> {
    let store = app.authority.store();
    match store.find_policy_revision(&server.slug, revision).await? {
        Some((kept, policy)) => Ok((Some(kept), policy)),
        // Saved by a node of a release that keeps none.
        None if revision == server.policy_revision => Ok((None, server.policy.clone())),
        None => Err(not_kept(server)),
    }
}

fn not_kept(server: &McpServer) -> Problem {
    let words = format!(
        "{} has no such revision of its policy that is kept",
        server.slug
    );
    Problem::not_found(words)
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Store(error) => error.into(),
            PublishError::Stale => Self::stale(),
            PublishError::Removed => Self::not_found(error.to_string()),
            PublishError::Setting(name) => Self::at(format!("policy.{name}"), error.to_string()),
            PublishError::Blank | PublishError::EmptySet(_) => {
                Self::at("policy", error.to_string())
            }
            PublishError::Mistakes(ref mistakes) => {
                let first = mistakes.first().map(|mistake| mistake.place.clone());
                let field = format!("policy.{}", first.unwrap_or_default());
                Self::at(field, error.to_string())
            }
        }
    }
}

impl From<RollBackError> for Problem {
    fn from(error: RollBackError) -> Self {
        match error {
            RollBackError::Store(error) => error.into(),
            RollBackError::Stale(_) => Self::stale(),
            RollBackError::NotKept(_) | RollBackError::Removed => {
                Self::not_found(error.to_string())
            }
            RollBackError::InForce(_)
            | RollBackError::Blank(_)
            | RollBackError::Mistakes { .. }
            | RollBackError::Changed(_) => Self::conflict(error.to_string()),
        }
    }
}
