//! `portcullis servers`.

mod add;
mod alias;
mod command;
mod credential;
mod document;
mod mode;

pub(crate) use add::resource;
pub use command::ServersCommand;
pub(crate) use command::say;
pub(crate) use oauth::new_server::{name, same_place};

use std::collections::BTreeMap;

use base::{Clock as _, SystemClock};
use domain::{
    McpServer, MetadataDocumentTrust, NativeSchemes, RegistrationMode, ServerSettings,
    ServerSettingsChange, ServerSlug, Upstream,
};
use oauth::server_settings::{self, SettingsMistake};
use store::SettingsChanged;

use crate::failure::usage;
use crate::maintenance::{Maintenance, table};
use crate::period::Period;
use crate::terminal::{Terminal, plain};
use command::SetServer;
use document::{document, unreadable_document};

/// Claude Code refreshes before each request when a token lives for less.
const ACCESS_TOKEN_COMFORTABLE: u64 = 600;

impl Maintenance {
    /// Runs `portcullis servers`.
    ///
    /// # Errors
    /// In words, when there is no such server or a setting cannot be so.
    pub async fn servers(&self, command: ServersCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            ServersCommand::List { json } => self.list_servers(json, out).await,
            ServersCommand::Show { slug, json } => {
                let server = self.server(slug.as_ref(), "SLUG").await?;
                match json {
                    true => out.line(serde_json::to_string_pretty(&document(&server))?),
                    false => show(&server, out),
                }
                Ok(())
            }
            ServersCommand::Add(add) => self.add_server(add, out).await,
            ServersCommand::Remove { slug, yes } => self.remove_server(&slug, yes, out).await,
            ServersCommand::Set(set) => self.set_server(set, out).await,
            ServersCommand::Alias { command } => self.alias(command, out).await,
            ServersCommand::Credential { slug, end_older } => {
                self.server_credential(slug.as_ref(), end_older, out).await
            }
        }
    }

    async fn list_servers(&self, json: bool, out: &Terminal) -> anyhow::Result<()> {
        let apart = self.store().list_servers_apart().await?;
        let unreadable: BTreeMap<ServerSlug, String> = apart
            .closed
            .iter()
            .map(|(server, error)| (server.slug.clone(), error.to_string()))
            .collect();
        let servers = apart.all();
        if json {
            let documents: Vec<_> = servers
                .iter()
                .map(|server| match unreadable.get(&server.slug) {
                    Some(why) => unreadable_document(server, why),
                    None => document(server),
                })
                .collect();
            out.line(serde_json::to_string_pretty(&documents)?);
            return Ok(());
        }
        let heads = [
            "SLUG",
            "NAME",
            "RESOURCE",
            "UPSTREAM",
            "TOOLS",
            "REGISTRATION",
        ];
        let mut table = table(out, &heads);
        for server in servers {
            table.add_row([
                server.slug.to_string(),
                plain(&server.name, 60),
                plain(&server.resource, 200),
                upstream(&server.upstream),
                match unreadable.contains_key(&server.slug) {
                    true => "cannot be read".to_owned(),
                    false => tools(&server),
                },
                registration(server.settings.dynamic_registration).to_owned(),
            ]);
        }
        out.line(table.trim_fmt());
        for why in unreadable.values() {
            out.line(out.paint.warn(why));
        }
        Ok(())
    }

    async fn set_server(&self, set: SetServer, out: &Terminal) -> anyhow::Result<()> {
        let server = self.server(set.slug.as_ref(), "SLUG").await?;
        check(
            &ServerSettingsChange::from(set.change.clone()),
            &server.settings,
        )?;
        self.set_policy(&server, &set, out).await?;
        let change = ServerSettingsChange::from(set.change);
        if change == ServerSettingsChange::default() {
            return Ok(());
        }
        let (store, now) = (self.store(), SystemClock.now());
        let changed = server_settings::change(store, now, &server.slug, change).await?;
        match changed {
            SettingsChanged::Unknown => Err(usage(format!("{} is gone", server.slug))),
            SettingsChanged::Unchanged => {
                out.line("it is so already; nothing changed");
                Ok(())
            }
            SettingsChanged::Changed { before, after } => {
                for ((label, old), (_, new)) in rows(&before).into_iter().zip(rows(&after)) {
                    if old != new {
                        out.line(format!("{label}  {old} → {new}"));
                    }
                }
                if after.access_token_seconds < ACCESS_TOKEN_COMFORTABLE
                    && before.access_token_seconds != after.access_token_seconds
                {
                    out.line(out.paint.warn(
                        "an access token of less than 10m makes several clients refresh before each call",
                    ));
                }
                Ok(())
            }
        }
    }
}

/// What one setting alone cannot say.
///
/// # Errors
/// Names the flag.
pub(crate) fn check(change: &ServerSettingsChange, before: &ServerSettings) -> anyhow::Result<()> {
    let Err(mistake) = server_settings::check(change, before) else {
        return Ok(());
    };
    let after = change.of(before);
    let period = |seconds| Period::of(seconds).to_string();
    Err(usage(match mistake {
        SettingsMistake::AccessToken => "--access-token: between 1m and 1d".to_owned(),
        SettingsMistake::RefreshToken => "--refresh-token: at least 1h".to_owned(),
        SettingsMistake::FamilyBelowRefreshToken => format!(
            "--family {}: shorter than --refresh-token {}, which could then never lie unused for so long",
            period(after.family_seconds),
            period(after.refresh_token_seconds)
        ),
        SettingsMistake::RefreshBelowAccessToken => format!(
            "--refresh-token {}: shorter than --access-token {}",
            period(after.refresh_token_seconds),
            period(after.access_token_seconds)
        ),
    }))
}

fn show(server: &McpServer, out: &Terminal) {
    out.line(format!(
        "{}  {}",
        out.paint.bold(server.slug.as_str()),
        plain(&server.name, 60)
    ));
    let mut lines = vec![
        ("resource", plain(&server.resource, 200)),
        ("upstream", upstream(&server.upstream)),
        ("tools", tools(server)),
        ("scopes", server.policy.declared_scopes().to_string()),
        ("mode", format!("{:?}", server.policy.mode).to_lowercase()),
        (
            "quarantine-from",
            format!("{:?}", server.policy.quarantine_from).to_lowercase(),
        ),
        (
            "list-step-up",
            server.policy.list_step_up.as_str().to_owned(),
        ),
    ];
    lines.extend(rows(&server.settings));
    let width = lines
        .iter()
        .map(|(label, _)| label.len())
        .max()
        .unwrap_or(0);
    for (label, value) in &lines {
        out.line(format!(
            "  {}  {value}",
            out.paint.dim(format!("{label:width$}"))
        ));
    }
    if out.interactive {
        out.line("");
        out.line(out.paint.dim(format!(
            "Change one: portcullis servers set {} --access-token 30m",
            server.slug
        )));
    }
}

/// The settings under the names of their flags.
pub(crate) fn rows(settings: &ServerSettings) -> Vec<(&'static str, String)> {
    let period = |seconds| Period::of(seconds).to_string();
    vec![
        (
            "dynamic-registration",
            registration(settings.dynamic_registration).to_owned(),
        ),
        (
            "client-metadata",
            match &settings.metadata_documents {
                MetadataDocumentTrust::Open => "open".to_owned(),
                MetadataDocumentTrust::Ask => "ask".to_owned(),
                MetadataDocumentTrust::Off => "off".to_owned(),
                MetadataDocumentTrust::AllowedHosts(hosts) => hosts.join(","),
            },
        ),
        (
            "native-schemes",
            match settings.native_schemes {
                NativeSchemes::Any => "any".to_owned(),
                NativeSchemes::Known => "known".to_owned(),
                NativeSchemes::Off => "off".to_owned(),
            },
        ),
        ("access-token", period(settings.access_token_seconds)),
        ("refresh-token", period(settings.refresh_token_seconds)),
        ("family", period(settings.family_seconds)),
        (
            "strict-rotation",
            if settings.strict_rotation {
                "on"
            } else {
                "off"
            }
            .to_owned(),
        ),
        (
            "documentation-url",
            settings
                .documentation_url
                .as_deref()
                .map_or_else(|| "none".to_owned(), |url| plain(url, 2048)),
        ),
    ]
}

/// How many are mapped. One that was never reached has none yet.
fn tools(server: &McpServer) -> String {
    match server.policy.is_blank() {
        true => "not seen yet".to_owned(),
        false => server.policy.tools.len().to_string(),
    }
}

fn registration(mode: RegistrationMode) -> &'static str {
    match mode {
        RegistrationMode::Open => "open",
        RegistrationMode::Approved => "approved",
        RegistrationMode::Off => "off",
    }
}

fn upstream(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Todo => "the bundled todo server".to_owned(),
        Upstream::Http { url, .. } => plain(url, 200),
        Upstream::Stdio { command, args, .. } => {
            let words: Vec<&str> = std::iter::once(command)
                .chain(args)
                .map(String::as_str)
                .collect();
            plain(&words.join(" "), 100)
        }
    }
}
