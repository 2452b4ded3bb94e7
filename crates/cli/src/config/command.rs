use clap::Subcommand;
use comfy_table::Cell;
use serde_json::Value;

use super::load::Loaded;
use super::place::Place;
use super::reference;
use super::role::Role;
use super::schema::{self, Kind, Shape};
use super::valid::{DatabasePlace, Valid};
use crate::args::GlobalArguments;
use crate::failure::usage;
use crate::maintenance::table;
use crate::master_key::MasterKeySource;
use crate::terminal::{Terminal, plain};
use crate::{config_master_key, loaded_as, preflight};

/// The longest value that is shown whole.
const SHOWN_MAX: usize = 200;

/// What `config` does.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what `serve` would run, where each value comes from, and what is wrong; nothing is started or changed
    Check {
        /// Defaults too
        #[arg(long)]
        all: bool,
        /// As `serve --role` says [default: what `role` in the configuration says, else all]
        #[arg(long, value_name = "ROLE")]
        role: Option<Role>,
    },
    /// Print the reference of all settings, as Markdown
    Reference,
    /// Print the JSON schema of the file, for editors
    Schema,
}

/// Runs `portcullis config`.
///
/// # Errors
/// Everything that is wrong with the file and the environment.
pub fn run(command: &ConfigCommand, global: GlobalArguments, out: &Terminal) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check { all, role } => {
            let loaded = loaded_as(&global, *role)?
                .ok_or_else(|| usage("config check needs --config FILE"))?;
            let valid = loaded.valid()?;
            let master_key = config_master_key(&valid, global.master_key_file)?;
            preflight::read(&valid, &master_key, global.log.as_deref())?;
            check(&loaded, &valid, &master_key, *all, out);
        }
        ConfigCommand::Reference => out.write(&reference::page(&schema::document())),
        ConfigCommand::Schema => {
            let text = serde_json::to_string_pretty(&schema::document())?;
            out.line(text);
        }
    }
    Ok(())
}

fn check(loaded: &Loaded, valid: &Valid, master_key: &MasterKeySource, all: bool, out: &Terminal) {
    let document = schema::document();
    let shown = serde_json::to_value(&loaded.config).unwrap_or_default();
    let mut rows = Vec::new();
    values(&Shape::root(&document), "", &shown, &mut rows);
    let mut table = table(out, &["SETTING", "VALUE", "FROM"]);
    for (path, value) in rows {
        let place = loaded.places.of(&path);
        if all || place != Place::Default {
            table.add_row([
                Cell::new(path),
                Cell::new(plain(&value, SHOWN_MAX)),
                Cell::new(place.to_string()),
            ]);
        }
    }
    out.line(table.trim_fmt());
    out.line("");
    for line in would_run(valid, master_key) {
        out.line(line);
    }
    for warning in &valid.warnings {
        out.line(out.paint.warn(format!("warning: {warning}")));
    }
}

/// Every value that is said or has a default.
fn values(shape: &Shape<'_>, path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    for (key, inner) in shape.keys() {
        let path = match path {
            "" => key.to_owned(),
            outer => format!("{outer}.{key}"),
        };
        match (inner.kind(), &value[key]) {
            (_, Value::Null) => {}
            (Kind::Table, table) => values(&inner, &path, table, rows),
            (_, Value::Array(list)) if list.is_empty() => {}
            (_, Value::Array(list)) => {
                let entries: Vec<String> = list.iter().map(one).collect();
                rows.push((path, entries.join(", ")));
            }
            (_, value) => rows.push((path, one(value))),
        }
    }
}

fn one(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => {
            let members: Vec<String> = members.values().map(one).collect();
            members.join(" with ")
        }
        other => other.to_string(),
    }
}

fn would_run(valid: &Valid, master_key: &MasterKeySource) -> Vec<String> {
    let addresses = |list: &[std::net::SocketAddr]| {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        list.join(", ")
    };
    let scheme = |tls: bool| if tls { "https" } else { "http" };
    let mut lines = vec![format!(
        "Would serve {} by {} at {}",
        valid.public_url,
        scheme(!valid.certificates.is_empty() || valid.acme.is_some()),
        addresses(&valid.listen)
    )];
    if let Some(elsewhere) = &valid.elsewhere {
        lines[0] = format!(
            "Would be a gateway of {} at {}",
            valid.public_url,
            addresses(&valid.listen)
        );
        for (slug, credential) in &elsewhere.servers {
            lines.push(format!("  {slug}, with the credential {}", credential.id()));
        }
        lines.extend(issuer_lines(valid));
        let way = elsewhere.connect_to.as_ref().unwrap_or(&elsewhere.url);
        lines.push(format!(
            "  authority: by way of {way}; no database, no master key"
        ));
        return lines;
    }
    if valid.role == Role::Authority {
        lines.push(
            "  the authority alone: gateways elsewhere answer for the MCP servers".to_owned(),
        );
    }
    lines.extend(issuer_lines(valid));
    lines.push(match &valid.admin {
        Some(admin) => format!(
            "  dashboard {}/admin by {} at {}",
            admin.url,
            scheme(admin.tls),
            addresses(&admin.listen)
        ),
        None => format!("  dashboard {}/admin", valid.public_url),
    });
    if let Some(acme) = &valid.acme {
        lines.push(format!(
            "  certificates ordered at {}, proven by {}",
            acme.directory,
            acme.challenge.as_str()
        ));
    }
    if !valid.operations.is_empty() {
        lines.push(format!(
            "  /metrics, /healthz and /readyz at {}",
            addresses(&valid.operations)
        ));
    }
    if let Some(mail) = &valid.mail {
        lines.push(mail_line(mail));
    }
    lines.push(match &valid.database {
        DatabasePlace::Sqlite => "  database: SQLite in the data directory, one node".to_owned(),
        DatabasePlace::Postgres { schema, .. } => {
            format!("  database: PostgreSQL, schemas {schema} and {schema}_activity")
        }
    });
    lines.push(match master_key {
        MasterKeySource::DataDirectory => "  master key: made in the data directory".to_owned(),
        MasterKeySource::File(path, _) => format!("  master key: {}", path.display()),
        MasterKeySource::Text(..) => "  master key: as said, not shown".to_owned(),
    });
    lines
}

fn issuer_lines(valid: &Valid) -> impl Iterator<Item = String> {
    valid.issuers.iter().map(|place| {
        let issuer = &place.settings.issuer;
        format!(
            "  {} takes the tokens of {issuer} and no others",
            place.slug
        )
    })
}

fn mail_line(mail: &mail::Settings) -> String {
    let tls = match mail.encryption {
        mail::Encryption::StartTls => "STARTTLS",
        mail::Encryption::Implicit => "TLS",
        mail::Encryption::None => "nothing encrypted",
    };
    let who = match &mail.credentials {
        Some((user_name, _)) => format!("signed in as {user_name}"),
        None => "without signing in".to_owned(),
    };
    format!(
        "  mail from {} through {}:{} with {tls}, {who}; try it with `portcullis mail test`",
        mail.from.address(),
        mail.host,
        mail.port
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::PathBuf;

    use super::*;
    use crate::config::load;

    fn committed(name: &str) -> String {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs")
            .join(name);
        std::fs::read_to_string(&path).unwrap_or_default()
    }

    #[test]
    fn the_reference_and_the_schema_in_docs_are_what_the_program_prints() {
        let reference = reference::page(&schema::document());
        assert_eq!(
            committed("configuration.md"),
            reference,
            "portcullis config reference > docs/configuration.md"
        );
        let schema = serde_json::to_string_pretty(&schema::document()).unwrap();
        assert_eq!(
            committed("configuration.schema.json"),
            format!("{schema}\n"),
            "portcullis config schema > docs/configuration.schema.json"
        );
    }

    #[test]
    fn what_would_run_is_shown_with_its_places_and_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.toml");
        let text = "public_url = \"https://mcp.example.com\"\n\
                    [listen]\naddresses = [\"127.0.0.1:1\", \"[::1]:1\"]\n\
                    [database]\nurl = \"postgres://me:hunter2@db/x\"\n\
                    [keys]\nmaster_key = \"hunter3\"\n\
                    [mail]\nhost = \"smtp.example.com\"\nfrom = \"Example <sign-in@example.com>\"\n\
                    user_name = \"portcullis\"\npassword = \"hunter4\"\n\
                    [proxy]\ntrusted = [\"10.0.0.0/8\"]\n";
        std::fs::write(&file, text).unwrap();
        let variables = [("PORTCULLIS__LIMITS__DRAIN".to_owned(), "20s".to_owned())];
        let loaded = load(&file, variables.into_iter()).unwrap();
        let out = Terminal::memory();
        let valid = loaded.valid().unwrap();
        let master_key = MasterKeySource::File("/run/secrets/key".into(), "keys.master_key_file");
        check(&loaded, &valid, &master_key, false, &out);
        let shown = out.kept();
        assert!(!shown.contains("hunter"), "{shown}");
        insta::assert_snapshot!(shown);
    }
}
