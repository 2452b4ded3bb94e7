use ::oauth::administrator::Administrator;
use ::oauth::launch::{self, Launch};
use ::oauth::new_server::{self, AddServerError, without_query};
use ::oauth::server_settings;
use authz::{ListStepUp, Mode, QuarantineFrom};
use axum::Extension;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::response::Response;
use domain::{McpServer, ServerSettings, ServerSettingsChange, ServerSlug, Upstream};
use http::request::Parts;
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use store::SettingsChanged;
use url::Url;

use super::members::Members;
use super::problem::Problem;
use super::query::{Query, moment, page};
use crate::app::AppState;
use crate::respond;
use crate::routes::OWN_PATHS;

/// The longest address that calls go to, in bytes.
const UPSTREAM_BYTES_MAX: usize = 2048;

/// The MCP server that the path names, as the store has it now.
pub(super) struct AtServer(pub McpServer);

impl FromRequestParts<AppState> for AtServer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let unknown = || Problem::not_found("there is no such MCP server");
        let parameters = RawPathParams::from_request_parts(parts, app).await;
        let parameters = parameters.map_err(|_| unknown())?;
        let mut parameters = parameters.iter();
        let slug = parameters.find(|(name, _)| *name == "slug");
        let slug = slug.and_then(|(_, slug)| ServerSlug::parse(slug).ok());
        let slug = slug.ok_or_else(unknown)?;
        let found = app.authority.store().find_server(&slug).await?;
        found.map(Self).ok_or_else(unknown)
    }
}

/// One MCP server, as it is answered.
#[derive(Debug, Serialize)]
struct ServerView<'a> {
    slug: &'a str,
    name: &'a str,
    resource: &'a str,
    upstream: UpstreamView<'a>,
    /// Nothing of it is known when its policy cannot be read here.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyView>,
    settings: &'a ServerSettings,
    created_at: String,
}

#[derive(Debug, Serialize)]
struct PolicyView {
    revision: i64,
    mode: Mode,
    quarantine_from: QuarantineFrom,
    list_step_up: ListStepUp,
    tools: usize,
    scopes: Vec<String>,
}

/// Where its calls go; what a child is given may be secret and stays out.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum UpstreamView<'a> {
    Todo,
    Http { url: String },
    Stdio { command: &'a str },
}

impl<'a> ServerView<'a> {
    fn of(server: &'a McpServer, is_readable: bool) -> Self {
        let policy = &server.policy;
        Self {
            slug: server.slug.as_str(),
            name: &server.name,
            resource: &server.resource,
            upstream: match &server.upstream {
                Upstream::Todo => UpstreamView::Todo,
                Upstream::Http { url, .. } => UpstreamView::Http {
                    url: without_query(url),
                },
                Upstream::Stdio { command, .. } => UpstreamView::Stdio { command },
            },
            policy: is_readable.then(|| PolicyView {
                revision: server.policy_revision,
                mode: policy.mode,
                quarantine_from: policy.quarantine_from,
                list_step_up: policy.list_step_up,
                tools: policy.tools.len(),
                scopes: (policy.scopes.iter())
                    .map(|scope| scope.name.to_string())
                    .collect(),
            }),
            settings: &server.settings,
            created_at: moment(server.created_at),
        }
    }
}

/// `GET /servers`.
pub(super) async fn list(State(app): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let query = Query::read(&uri, &["limit", "after"])?;
    let limit = query.limit()?;
    let apart = app.authority.store().list_servers_apart().await?;
    let readable = apart.readable.iter().map(|server| (server, true));
    let closed = apart.closed.iter().map(|(server, _)| (server, false));
    let mut all: Vec<(&McpServer, bool)> = readable.chain(closed).collect();
    all.sort_by_key(|(server, _)| &server.slug);
    let after = query.text("after").unwrap_or_default();
    let behind = all.into_iter();
    let behind = behind.filter(|(server, _)| server.slug.as_str() > after);
    let views: Vec<ServerView<'_>> = behind
        .take(limit + 1)
        .map(|(server, is_readable)| ServerView::of(server, is_readable))
        .collect();
    Ok(page(views, limit, |view| view.slug.to_owned()))
}

/// `GET /servers/{slug}`.
pub(super) async fn show(AtServer(server): AtServer) -> Response {
    respond::json(StatusCode::OK, &ServerView::of(&server, true))
}

/// `POST /servers`: what `portcullis servers add URL --unseen` does; the authority looks at it within seconds. A program is added
/// by the command alone: whoever has a token could else start any.
pub(super) async fn add(
    State(app): State<AppState>,
    Extension(administrator): Extension<Administrator>,
    request: Request,
) -> Result<Response, Problem> {
    let mut members = Members::read(request).await?;
    let slug: String = members.required("slug")?;
    let upstream: String = members.required("upstream")?;
    let url: Option<String> = members.optional("url")?;
    let name: Option<String> = members.optional("name")?;
    members.end()?;
    let slug = ServerSlug::parse(&slug).map_err(|error| Problem::at("slug", error.to_string()))?;
    let address = upstream_url(&upstream)?;
    let where_to = without_query(address.as_str());
    let upstream = Upstream::Http {
        url: address.into(),
        header_file: None,
    };
    let (authority, store) = (&app.authority, app.authority.store());
    let act = administrator.act(authority);
    let mut server = new_server::new_server(&slug, upstream, authority.public_url(), act.at);
    if let Some(url) = url {
        let place = Url::parse(&url).map_err(|error| Problem::at("url", error.to_string()))?;
        server.resource = new_server::resource(&place, authority.public_url(), &OWN_PATHS)
            .map_err(|mistake| Problem::at("url", mistake.to_string()))?;
    }
    if let Some(name) = name {
        server.name = new_server::name(&name).map_err(|words| Problem::at("name", words))?;
    }
    new_server::add(store, act, &server, &where_to)
        .await
        .map_err(|error| match error {
            AddServerError::Store(error) => Problem::from(error),
            taken => Problem::conflict(taken.to_string()),
        })?;
    Ok(respond::json(
        StatusCode::CREATED,
        &ServerView::of(&server, true),
    ))
}

/// Where calls go: http or https, and nothing in it that would stand in logs.
fn upstream_url(said: &str) -> Result<Url, Problem> {
    let refused = |words: &'static str| Err(Problem::at("upstream", words));
    if said.len() > UPSTREAM_BYTES_MAX {
        return refused("it has more than 2048 bytes");
    }
    match Url::parse(said) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            refused("it is no http or https URL")
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => refused(
            "a user name or password does not belong there; portcullis servers add takes --upstream-header-file",
        ),
        Ok(url) if url.fragment().is_some() => refused("leave out what follows #"),
        Ok(url) => Ok(url),
        Err(error) => Err(Problem::at("upstream", error.to_string())),
    }
}

/// `DELETE /servers/{slug}`: what `portcullis servers remove` does. The slug is never given again.
pub(super) async fn remove(
    State(app): State<AppState>,
    Extension(administrator): Extension<Administrator>,
    AtServer(server): AtServer,
) -> Result<Response, Problem> {
    let act = administrator.act(&app.authority);
    match new_server::remove(app.authority.store(), act, &server).await? {
        true => Ok(respond::empty(StatusCode::NO_CONTENT)),
        false => Err(Problem::not_found("there is no such MCP server")),
    }
}

/// `PATCH /servers/{slug}`: what `portcullis servers set` does. Members that are left out stay.
pub(super) async fn change(
    State(app): State<AppState>,
    Extension(administrator): Extension<Administrator>,
    AtServer(server): AtServer,
    request: Request,
) -> Result<Response, Problem> {
    let mut members = Members::read(request).await?;
    let launch = Launch {
        mode: members.optional("mode")?,
        quarantine_from: members.optional("quarantine_from")?,
        list_step_up: members.optional("list_step_up")?,
    };
    let with_unmapped: bool = members.optional("with_unmapped")?.unwrap_or(false);
    let settings: SettingsBody = members.optional("settings")?.unwrap_or_default();
    members.end()?;
    let change = ServerSettingsChange::from(settings);
    server_settings::check(&change, &server.settings).map_err(|mistake| {
        Problem::at(
            format!("settings.{}", mistake.setting()),
            mistake.to_string(),
        )
    })?;
    let store = app.authority.store();
    if launch.mode == Some(Mode::Enforce) && !with_unmapped {
        let reach = launch::first_reach(store, &server).await?;
        if let Some(first) = reach.unmapped.first() {
            let words = format!(
                "nobody decided about {} tools, such as {}; nobody could call them: map them, or say with_unmapped",
                reach.unmapped.len(),
                first.escape_debug()
            );
            return Err(Problem::conflict(words));
        }
    }
    if !launch.is_empty() {
        let act = administrator.act(&app.authority);
        launch::change(store, act, &server, launch).await?;
    }
    if change != ServerSettingsChange::default() {
        let act = administrator.act(&app.authority);
        let changed = server_settings::change(store, act, &server.slug, change).await?;
        if changed == SettingsChanged::Unknown {
            return Err(Problem::not_found("there is no such MCP server"));
        }
    }
    let server = store.find_server(&server.slug).await?;
    let server = server.ok_or_else(|| Problem::not_found("there is no such MCP server"))?;
    Ok(respond::json(
        StatusCode::OK,
        &ServerView::of(&server, true),
    ))
}

/// The settings that can be changed here.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SettingsBody {
    dynamic_registration: Option<domain::RegistrationMode>,
    metadata_documents: Option<domain::MetadataDocumentTrust>,
    native_schemes: Option<domain::NativeSchemes>,
    access_token_seconds: Option<u64>,
    refresh_token_seconds: Option<u64>,
    family_seconds: Option<u64>,
    strict_rotation: Option<bool>,
}

impl From<SettingsBody> for ServerSettingsChange {
    fn from(body: SettingsBody) -> Self {
        Self {
            dynamic_registration: body.dynamic_registration,
            metadata_documents: body.metadata_documents,
            native_schemes: body.native_schemes,
            access_token_seconds: body.access_token_seconds,
            refresh_token_seconds: body.refresh_token_seconds,
            family_seconds: body.family_seconds,
            strict_rotation: body.strict_rotation,
            documentation_url: None,
        }
    }
}
