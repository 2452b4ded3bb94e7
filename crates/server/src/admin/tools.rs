use ::oauth::administrator::Administrator;
use ::oauth::drift::{self, DriftError, LookedAt, Verdict};
use ::oauth::elements::{self, Element};
use authz::{GoneElements, ListKind, Requirement, Risk, Severity};
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use domain::McpServer;
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::members::Members;
use super::problem::Problem;
use super::query::{Query, page};
use super::servers::AtServer;
use crate::app::AppState;
use crate::respond;

/// How many elements one request decides about.
const DECIDED_MAX: usize = 200;

/// What an MCP server offers, and what callers need for it.
#[derive(Debug, Serialize)]
struct ElementView {
    /// `tools`, `resources`, `resourceTemplates` or `prompts`.
    kind: &'static str,
    name: String,
    /// `mapped`, `public`, `denied`, `quarantined`, `unmapped` or `rejected`.
    state: &'static str,
    /// Whether somebody decided what it needs.
    pinned: bool,
    /// Nothing while nobody decided about it.
    requirement: Option<Requirement>,
    risk: Option<Risk>,
    /// What is wrong with its name.
    flags: Vec<String>,
    /// Which one it seems to be, renamed.
    renamed_from: Option<String>,
    /// The fingerprint of the accepted definition.
    accepted: Option<String>,
    /// The fingerprint of the one that waits.
    waiting: Option<String>,
    severity: Option<Severity>,
}

/// The same of what waits, with all that one must see to decide.
#[derive(Debug, Serialize)]
struct WaitingView {
    #[serde(flatten)]
    element: ElementView,
    /// What differs; nothing when one of the two definitions was not kept.
    changes: Option<Vec<ChangeView>>,
    /// As it is listed now, when it was kept.
    definition: Option<Value>,
    /// Whether the server went back to the accepted definition.
    went_back: bool,
}

#[derive(Debug, Serialize)]
struct ChangeView {
    kind: &'static str,
    severity: Severity,
    path: String,
    before: Option<String>,
    after: Option<String>,
}

impl ElementView {
    fn of(one: &Element, server: &McpServer, gone: &GoneElements<'_>) -> Self {
        let new = one.entry.is_none().then(|| one.proposed()).flatten();
        let renamed =
            new.and_then(|new| gone.renamed_from(&new).map(|old| old.identity().to_owned()));
        Self {
            kind: one.kind.member(),
            name: one.identity.clone(),
            state: one.state(),
            pinned: one.is_pinned(),
            requirement: one.entry.as_ref().map(|entry| entry.requirement.clone()),
            risk: one.risk(server),
            flags: one.flags.iter().map(|flag| flag.words()).collect(),
            renamed_from: renamed,
            accepted: (one.entry.as_ref()).and_then(|entry| entry.fingerprint.clone()),
            waiting: one.waiting().map(|waiting| waiting.fingerprint),
            severity: one.severity(),
        }
    }
}

impl WaitingView {
    fn of(one: &Element, element: ElementView) -> Self {
        let changes = one.changes().map(|changes| {
            let changes = changes.into_iter().map(|change| ChangeView {
                kind: change.kind.as_str(),
                severity: change.kind.severity(),
                path: change.path,
                before: change.before,
                after: change.after,
            });
            changes.collect()
        });
        let text = one.pending().and_then(|one| one.definition.as_deref());
        Self {
            element,
            changes,
            definition: text.and_then(|text| serde_json::from_str(text).ok()),
            went_back: one.went_back(),
        }
    }
}

/// `GET /servers/{slug}/tools`: tools, resources, templates and prompts, by kind and name.
pub(super) async fn list(
    State(app): State<AppState>,
    AtServer(server): AtServer,
    uri: Uri,
) -> Result<Response, Problem> {
    let view = |one: &Element, gone: &GoneElements<'_>| ElementView::of(one, &server, gone);
    listed(&app, &server, &uri, |_| true, view, place).await
}

/// `GET /servers/{slug}/drift`: what of it waits for a decision.
pub(super) async fn waiting(
    State(app): State<AppState>,
    AtServer(server): AtServer,
    uri: Uri,
) -> Result<Response, Problem> {
    let waits = |one: &Element| one.pending().is_some();
    let view = |one: &Element, gone: &GoneElements<'_>| {
        WaitingView::of(one, ElementView::of(one, &server, gone))
    };
    let place = |view: &WaitingView| place(&view.element);
    listed(&app, &server, &uri, waits, view, place).await
}

async fn listed<V: Serialize>(
    app: &AppState,
    server: &McpServer,
    uri: &Uri,
    wanted: impl Fn(&Element) -> bool,
    view: impl Fn(&Element, &GoneElements<'_>) -> V,
    place: impl Fn(&V) -> String,
) -> Result<Response, Problem> {
    let query = Query::read(uri, &["limit", "after", "kind"])?;
    let limit = query.limit()?;
    let kind = query
        .text("kind")
        .map(|text| kind(text, "kind"))
        .transpose()?;
    let after = query.text("after").map(behind).transpose()?;
    let store = app.authority.store();
    let all = elements::list(store, server, None).await?;
    let gone = elements::gone(store, server, &all).await?;
    let gone = GoneElements::of(&gone);
    let is_behind = |one: &&Element| match &after {
        None => true,
        Some((kind, name)) => (one.kind, one.identity.as_str()) > (*kind, name.as_str()),
    };
    let views: Vec<V> = all
        .iter()
        .filter(|one| kind.is_none_or(|kind| kind == one.kind))
        .filter(|one| wanted(one))
        .filter(is_behind)
        .take(limit + 1)
        .map(|one| view(one, &gone))
        .collect();
    Ok(page(views, limit, place))
}

/// Where the page behind an element begins.
fn place(view: &ElementView) -> String {
    format!("{}:{}", view.kind, view.name)
}

fn behind(text: &str) -> Result<(ListKind, String), Problem> {
    let (word, name) = text.split_once(':').unwrap_or((text, ""));
    Ok((kind(word, "after")?, name.to_owned()))
}

fn kind(text: &str, field: &'static str) -> Result<ListKind, Problem> {
    let mut all = ListKind::DEFINED.into_iter();
    all.find(|kind| kind.member() == text).ok_or_else(|| {
        let known = ListKind::DEFINED.map(ListKind::member).join(", ");
        Problem::at(field, format!("the kind is one of: {known}"))
    })
}

/// What somebody looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LookedAtBody {
    #[serde(default)]
    kind: Option<String>,
    name: String,
    fingerprint: String,
}

/// `POST /servers/{slug}/tools/approve`: exactly the definitions that were looked at.
pub(super) async fn approve(
    State(app): State<AppState>,
    Extension(administrator): Extension<Administrator>,
    AtServer(server): AtServer,
    request: Request,
) -> Result<Response, Problem> {
    decide(&app, &administrator, &server, Verdict::Approve, request).await
}

/// `POST /servers/{slug}/tools/reject`.
pub(super) async fn reject(
    State(app): State<AppState>,
    Extension(administrator): Extension<Administrator>,
    AtServer(server): AtServer,
    request: Request,
) -> Result<Response, Problem> {
    decide(&app, &administrator, &server, Verdict::Reject, request).await
}

async fn decide(
    app: &AppState,
    administrator: &Administrator,
    server: &McpServer,
    verdict: Verdict,
    request: Request,
) -> Result<Response, Problem> {
    let mut members = Members::read(request).await?;
    let bodies: Vec<LookedAtBody> = members.required("elements")?;
    members.end()?;
    if bodies.is_empty() || bodies.len() > DECIDED_MAX {
        let words = format!("write 1 to {DECIDED_MAX} elements");
        return Err(Problem::at("elements", words));
    }
    let mut looked_at = Vec::new();
    for body in bodies {
        looked_at.push(LookedAt {
            kind: kind(body.kind.as_deref().unwrap_or("tools"), "elements")?,
            identity: body.name,
            fingerprint: body.fingerprint,
        });
    }
    let act = administrator.act(&app.authority);
    let store = app.authority.store();
    let revision = drift::decide(store, act, &server.slug, verdict, &looked_at).await?;
    Ok(respond::json(
        StatusCode::OK,
        &json!({ "revision": revision }),
    ))
}

/// `POST /servers/{slug}/tools/map`: what callers need for one, whatever it says of itself later.
pub(super) async fn map(
    State(app): State<AppState>,
    Extension(administrator): Extension<Administrator>,
    AtServer(server): AtServer,
    request: Request,
) -> Result<Response, Problem> {
    let mut members = Members::read(request).await?;
    let word: Option<String> = members.optional("kind")?;
    let name: String = members.required("name")?;
    let requirement: Requirement = members.required("requirement")?;
    members.end()?;
    let kind = kind(word.as_deref().unwrap_or("tools"), "kind")?;
    let known = elements::list(app.authority.store(), &server, Some(&name)).await?;
    if !known.iter().any(|one| one.kind == kind) {
        let words = format!("{} has no such element", server.slug);
        return Err(Problem::at("name", words));
    }
    let act = administrator.act(&app.authority);
    let store = app.authority.store();
    let element = (kind, name.as_str());
    let revision = drift::map(store, act, &server.slug, element, &requirement).await?;
    Ok(respond::json(
        StatusCode::OK,
        &json!({ "revision": revision }),
    ))
}

impl From<DriftError> for Problem {
    fn from(error: DriftError) -> Self {
        match error {
            DriftError::Store(error) => error.into(),
            DriftError::Gone(_) => Self::not_found(error.to_string()),
            DriftError::NeedsNothing(_) => Self::at("kind", error.to_string()),
            DriftError::UnknownScope { .. } | DriftError::EmptySet => {
                Self::at("requirement", error.to_string())
            }
            DriftError::NothingWaits(_)
            | DriftError::Changed(_)
            | DriftError::Unclear(_)
            | DriftError::Contended(_) => Self::conflict(error.to_string()),
        }
    }
}
