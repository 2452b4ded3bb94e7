use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use base::{Clock as _, OsRandom, SystemClock, Timestamp};
use clap::Args;
use domain::{ClientId, ServerSlug};
use oauth::KeptDefinitions;
use store::{Applied, Apply, CHANGES_MAX, Change, Declared, Store};
use wire::mcp::Json;

use super::differences::{Step, steps};
use super::document::Document;
use super::problems::{Problems, join};
use super::wanted::{Context, Wanted};
use super::{changes, consequences, read, write};
use crate::config::refusal;
use crate::confirm::agreed;
use crate::maintenance::Maintenance;
use crate::moving::KEPT;
use crate::terminal::Terminal;

/// Something would change. Not 1 or 2, which say that it could not be found out.
const WOULD_CHANGE: u8 = 3;

/// What `plan` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code: 0 when nothing would change, 3 when something would, 1 when the file was exported from another state,
2 when something in the file is wrong.")]
pub struct PlanArguments {
    /// The file that `export` wrote, as it is to be
    pub file: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `apply` takes.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// The file that `export` wrote, as it is to be
    pub file: PathBuf,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// What a file would do to the store as it is.
pub(super) struct Planned {
    now: Declared,
    pub(super) wanted: Wanted,
    pub(super) steps: Vec<Step>,
    pub(super) changes: Vec<Change>,
    /// The digest of the state that the file was exported from, as it says.
    pub(super) base: String,
    /// The digest of the state that is there.
    pub(super) base_now: String,
}

impl Planned {
    pub(super) fn is_stale(&self) -> bool {
        self.base != self.base_now
    }
}

impl Maintenance {
    /// Runs `portcullis plan`, which changes nothing.
    ///
    /// # Errors
    /// All that is wrong in the file; or that it was exported from another state.
    pub async fn plan(&self, asked: PlanArguments, out: &Terminal) -> anyhow::Result<ExitCode> {
        let planned = self.planned(&asked.file).await?;
        match asked.json {
            true => out.line(serde_json::to_string_pretty(&planned.json())?),
            false => planned.show(out),
        }
        if planned.is_stale() {
            return Err(self
                .stale(&asked.file, &planned.base, &planned.base_now)
                .await?);
        }
        Ok(match planned.steps.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(WOULD_CHANGE),
        })
    }

    /// Runs `portcullis apply`.
    ///
    /// # Errors
    /// All that is wrong in the file; that it was exported from another state; or that nobody said yes.
    pub async fn apply(&self, asked: ApplyArguments, out: &Terminal) -> anyhow::Result<()> {
        let planned = self.planned(&asked.file).await?;
        if planned.is_stale() {
            return Err(self
                .stale(&asked.file, &planned.base, &planned.base_now)
                .await?);
        }
        planned.show(out);
        if planned.changes.is_empty() {
            return Ok(());
        }
        if !asked.yes {
            agreed("Do all of this?")?;
        }
        let base = planned.base.clone();
        let applied = self
            .store()
            .apply(planned.into_apply(SystemClock.now()))
            .await
            .context("apply")?;
        let base_now = write::base(&Document::of(&self.store().read_declared().await?)?)?;
        match applied {
            Applied::Stale => Err(self.stale(&asked.file, &base, &base_now).await?),
            Applied::Done => {
                out.line(format!(
                    "done; `portcullis export` writes it with its new base {base_now}"
                ));
                Ok(())
            }
        }
    }

    pub(super) async fn planned(&self, file: &Path) -> anyhow::Result<Planned> {
        let text = read::text(file)?;
        let public_url = self.public_url().await?;
        Planned::of(self.store(), &public_url, &text)
            .await?
            .map_err(|problems| refusal(file, &problems))
    }
}

impl Planned {
    /// What the file `text` would do; or all that is wrong in it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn of(
        store: &Store,
        public_url: &str,
        text: &str,
    ) -> anyhow::Result<Result<Self, Vec<String>>> {
        let mut problems = Problems::new(text);
        let document = Document::read(text, &mut problems);
        let now = store.read_declared().await?;
        let at = SystemClock.now();
        let input_schemas = input_schemas(store, &now, &document).await?;
        let kept = kept_definitions(store, &now, &document).await?;
        let with = Context {
            now: &now,
            input_schemas: &input_schemas,
            kept: &kept,
            public_url,
            at,
            random: &OsRandom,
        };
        let wanted = Wanted::of(&document, &with, &mut problems);
        check_names(store, &now, &wanted.declared, &mut problems).await?;
        let before = Document::of(&now)?;
        let changes = changes::changes(&now, &wanted.declared, at, KEPT);
        if changes.len() > CHANGES_MAX {
            let many = changes.len();
            let words = format!(
                "{many} changes at once, and at most {CHANGES_MAX} can be; take several files"
            );
            problems.say_at(0, &words);
        }
        if !problems.is_empty() {
            return Ok(Err(problems.into_words()));
        }
        let mut steps = steps(&before, &Document::of(&wanted.declared)?)?;
        consequences::add(&mut steps, &now, &wanted.declared, store, at, KEPT).await?;
        Ok(Ok(Self {
            base: document.base,
            base_now: write::base(&before)?,
            now,
            wanted,
            steps,
            changes,
        }))
    }

    /// All of it, if the store is still as it was. It is made up anew, since between plan and yes may lie an hour in which
    /// tokens were issued to whoever is cut off.
    pub(super) fn into_apply(self, at: Timestamp) -> Apply {
        Apply {
            expected: self.now.digest(),
            changes: changes::changes(&self.now, &self.wanted.declared, at, KEPT),
        }
    }
}

/// The input schemas of the tools whose arguments the file speaks of.
async fn input_schemas(
    store: &Store,
    now: &Declared,
    document: &Document,
) -> anyhow::Result<HashMap<ServerSlug, HashMap<String, Json>>> {
    let mut schemas = HashMap::new();
    for server in &now.servers {
        let Some(said) = document.servers.get(server.slug.as_str()) else {
            continue;
        };
        let tools = said.policy.tools.iter();
        let tools = tools.filter(|(_, entry)| {
            !entry.conditions.is_empty() || !entry.recorded_arguments.is_empty()
        });
        let tools = tools.map(|(name, _)| name.as_str());
        let found = oauth::input_schemas(store, server, tools).await?;
        schemas.insert(server.slug.clone(), found);
    }
    Ok(schemas)
}

/// The definitions that are kept of servers of which the file has more elements than their policies.
async fn kept_definitions(
    store: &Store,
    now: &Declared,
    document: &Document,
) -> anyhow::Result<HashMap<ServerSlug, KeptDefinitions>> {
    let mut kept = HashMap::new();
    for server in &now.servers {
        let said = document.servers.get(server.slug.as_str());
        if said.is_some_and(|said| said.policy.has_more_than(&server.policy)) {
            let found = KeptDefinitions::load(store, &server.slug).await?;
            kept.insert(server.slug.clone(), found);
        }
    }
    Ok(kept)
}

/// Names that are given once: of servers for good, of clients while they are there.
async fn check_names(
    store: &Store,
    now: &Declared,
    wanted: &Declared,
    problems: &mut Problems<'_>,
) -> anyhow::Result<()> {
    for server in &wanted.servers {
        let is_known = now.servers.iter().any(|known| known.slug == server.slug);
        if !is_known && store.slug_is_taken(&server.slug).await? {
            let path = join("servers", server.slug.as_str());
            let words = "a server of this name was removed, and a slug is never given again; choose another";
            problems.say(&path, words);
        }
    }
    let known: BTreeSet<(&ClientId, &ServerSlug)> = now
        .clients
        .iter()
        .map(|one| (&one.id, &one.server))
        .collect();
    for client in &wanted.clients {
        let is_known = known.contains(&(&client.id, &client.server));
        if !is_known && store.client_id_is_taken(&client.id).await? {
            let server = join("servers", client.server.as_str());
            let path = join(&join(&server, "clients"), client.id.as_str());
            let words =
                "another client has this id: one that registered itself, or one at another server";
            problems.say(&path, words);
        }
    }
    Ok(())
}
