//! The `portcullis` program: every wire between the other crates, the command line, the terminal.
//!
//! [`main`] is the program. [`Stack`] is all that `up` runs, for tests that want it in their own process.

mod accept;
mod acme;
mod activity;
mod args;
mod arriving;
mod audit;
mod authority_place;
mod backup;
mod browser;
mod child_env;
mod client;
mod clients;
mod config;
mod confirm;
mod connect;
mod connect_lines;
mod data_dir;
mod doctor;
mod failure;
mod file;
mod forwarded;
mod grants;
mod handshake;
mod header_file;
mod id_list;
mod idle;
mod keys;
mod listen;
mod logging;
mod mail;
mod maintenance;
mod master_key;
mod mcp_url_search;
mod moment;
mod moving;
mod moving_authority;
mod operate;
mod own_memory;
mod people;
mod per_address;
mod period;
mod policy;
mod port_holder;
mod preflight;
pub mod providers;
mod public_url;
mod screen;
mod serve;
mod servers;
mod service_tokens;
mod signals;
mod slug;
mod stack;
mod target;
mod terminal;
mod tls;
mod token_explain;
mod tool_scope;
mod tools;
mod traces;
mod unread;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base::{OsRandom, SystemClock};
use clap::Parser as _;
use url::Url;
use wire::oauth::ScopeSet;

use args::{Arguments, BackupCommand, ClientArguments, Command, GlobalArguments, TokenCommand};
use authority_place::AuthorityPlace;
use client::ClientSettings;
use config::{DatabasePlace, Loaded, MasterKeyPlace, Role, Valid};
use data_dir::DataDirectory;
use maintenance::Maintenance;
use terminal::Terminal;
use traces::Traces;

pub use child_env::ChildEnv;
pub use master_key::MasterKeySource;
pub use operate::{DESCRIBED as METRICS, Operations};
pub use public_url::PublicUrl;
pub use stack::{Stack, UpOptions};
pub use target::Target;
pub use tool_scope::ToolScope;

/// Runs the program: parses, does what was asked, says in one message what went wrong.
///
/// Exit codes: 0 done, 1 failed, 2 the command line or a file cannot be what was meant, 3 `plan` found something to change.
pub fn main(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    // Not generic from here on, so that the program is compiled once, in this library.
    run_program(arguments.into_iter().collect())
}

fn run_program(arguments: Vec<std::ffi::OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(refusal) => {
            let _ = refusal.print();
            return ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(2));
        }
    };
    let is_service = matches!(arguments.command, Command::Up(_) | Command::Serve(_));
    let ended = start(&arguments).and_then(|(config, traces)| {
        let serves = matches!(arguments.command, Command::Serve(_));
        own_memory::keep_private(serves);
        if serves || matches!(arguments.command, Command::Up(_)) {
            logging::log_panics();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let ended = runtime.block_on(async {
            if let Some(traces) = &traces {
                traces.begin();
            }
            let ended = run(arguments, config).await;
            if let Some(traces) = traces {
                traces.finish().await;
            }
            ended
        });
        // A thread that still waits for the disk or for a browser must not hold up the end.
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended
    });
    let ended = ended.and_then(|code| match terminal::lost_answer() {
        Some(error) if !is_service => Err(error).context(
            "it was done, but standard output did not take the answer; make room where it goes, and look with `list` or `show` \
             what there is now",
        ),
        _ => Ok(code),
    });
    match ended {
        Ok(code) => code,
        Err(error) => {
            let terminal = Terminal::stderr();
            terminal.line(format!(
                "{} {}",
                terminal.paint.bad("error:"),
                failure::message(&error)
            ));
            failure::exit_code(&error)
        }
    }
}

/// Sets up the log and traces; for `serve`, as its configuration says.
fn start(arguments: &Arguments) -> anyhow::Result<(Option<Valid>, Option<Traces>)> {
    let flag = arguments.global.log.as_deref();
    let Command::Serve(serve) = &arguments.command else {
        logging::install(flag, None, logging::Format::from_environment()?, None)?;
        return Ok((None, None));
    };
    let config = configured_as(&arguments.global, serve.role)?
        .ok_or_else(|| failure::usage("serve needs --config FILE; see docs/configuration.md"))?;
    let master_key = config_master_key(&config, arguments.global.master_key_file.clone())?;
    preflight::read(&config, &master_key, flag)?;
    let (traces, layer) = Traces::new(&config.traces)?.unzip();
    let filter = Some(config.log.filter.as_str());
    logging::install(flag, filter, config.log.format.into(), layer)?;
    Ok((Some(config), traces))
}

/// What the configuration file says, when one was named.
fn configured(global: &GlobalArguments) -> anyhow::Result<Option<Valid>> {
    configured_as(global, None)
}

/// The same in another role than the file says.
fn configured_as(global: &GlobalArguments, role: Option<Role>) -> anyhow::Result<Option<Valid>> {
    let loaded = loaded_as(global, role)?;
    loaded.map(|loaded| loaded.valid()).transpose()
}

/// The same before it is known whether it fits together.
pub(crate) fn loaded_as(
    global: &GlobalArguments,
    role: Option<Role>,
) -> anyhow::Result<Option<Loaded>> {
    let Some(file) = &global.config else {
        return Ok(None);
    };
    if global.data_dir.is_some() {
        return Err(failure::usage(
            "--data-dir and --config are both given; say data_dir in the configuration",
        ));
    }
    let mut loaded = config::load(file, config::variables())?;
    loaded.config.role = role.unwrap_or(loaded.config.role);
    Ok(Some(loaded))
}

/// Where a maintenance command works.
fn place(global: &GlobalArguments) -> anyhow::Result<AuthorityPlace> {
    match configured(global)? {
        Some(config) => place_of(&config),
        None => AuthorityPlace::of_directory(global.data_dir.clone()),
    }
}

/// The place of an authority; a gateway has none.
fn place_of(config: &Valid) -> anyhow::Result<AuthorityPlace> {
    match &config.elsewhere {
        Some(authority) => Err(failure::usage(format!(
            "this --config is of a gateway, which keeps nothing; give this command the one of its authority, {}",
            authority.url
        ))),
        None => AuthorityPlace::of_config(config),
    }
}

/// The master key of a configuration, unless the command line or its own variable names one.
pub(crate) fn config_master_key(
    config: &Valid,
    file: Option<PathBuf>,
) -> anyhow::Result<MasterKeySource> {
    let said = MasterKeySource::from_environment(file)?;
    match (&config.master_key, said) {
        (MasterKeyPlace::DataDirectory, MasterKeySource::DataDirectory)
            if matches!(config.database, DatabasePlace::Postgres { .. }) =>
        {
            Err(failure::usage(
                "keys.master_key_file is missing: every node on one PostgreSQL needs the same key. Make one with \
                 `openssl rand 32 | basenc --base64url -w0 | tr -d =` and keep it beside your backups",
            ))
        }
        (MasterKeyPlace::DataDirectory, said) => Ok(said),
        (MasterKeyPlace::File(file), MasterKeySource::DataDirectory) => {
            Ok(MasterKeySource::File(file.clone(), "keys.master_key_file"))
        }
        (MasterKeyPlace::Text(text), MasterKeySource::DataDirectory) => {
            Ok(MasterKeySource::Text(text.clone(), "keys.master_key"))
        }
        _ => Err(failure::usage(
            "the configuration names a master key, and so does the command line or PORTCULLIS_MASTER_KEY; leave one out",
        )),
    }
}

/// The master key of a maintenance command.
fn named_master_key(global: &GlobalArguments) -> anyhow::Result<MasterKeySource> {
    let file = global.master_key_file.clone();
    match configured(global)? {
        Some(config) => config_master_key(&config, file),
        None => MasterKeySource::from_environment(file),
    }
}

async fn run(arguments: Arguments, config: Option<Valid>) -> anyhow::Result<ExitCode> {
    let global = arguments.global;
    let out = Terminal::stdout();
    match arguments.command {
        Command::Up(up) => {
            let master_key = MasterKeySource::from_environment(global.master_key_file)?;
            up::run(up, global.data_dir, master_key).await?;
        }
        Command::Serve(serve) => {
            let config = config.context("serve reads its configuration first")?;
            let master_key = config_master_key(&config, global.master_key_file)?;
            serve::run(serve, config, master_key).await?;
        }
        Command::Call(call) => {
            let (settings, url) = client(&global, &call.client).await?;
            let worked = client::run_call(settings, url, &call, &out).await?;
            return Ok(if worked {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Command::Tools(tools) => {
            let Some(command) = tools.command else {
                let (settings, url) = client(&global, &tools.client).await?;
                client::run_tools(settings, url, tools.client.raw, &out).await?;
                return Ok(ExitCode::SUCCESS);
            };
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.tools(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Connect(connect) => {
            let url = match &connect.url {
                Some(url) => url.clone(),
                None => only_mcp_url(&global, false).await?,
            };
            let homes = connect::Homes::from_environment()?;
            connect::run(&connect, &url, &homes, &out)?;
        }
        Command::Doctor(asked) => return doctor::run(*asked, &out).await,
        Command::People { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.people(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Scopes { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.scopes(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Grants { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.grants(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Token(asked) => {
            if let Some(TokenCommand::Explain(asked)) = &asked.command {
                let is_well = token_explain::run(asked, &out)?;
                return Ok(if is_well {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                });
            }
            let url = match &asked.url {
                Some(url) => url.clone(),
                None => own_admin_url(&global).await?,
            };
            let asked = ClientArguments {
                url: Some(url),
                no_open: asked.no_open,
                sign_in: asked.sign_in,
                scope: asked.write.then(|| oauth::administration::WRITE.to_owned()),
                raw: false,
            };
            let (settings, url) = client(&global, &asked).await?;
            client::run_token(settings, url, &out).await?;
        }
        Command::Roles { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.roles(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Groups { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.groups(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Limits { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.limits(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Rules { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.rules(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Policy { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.policy(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Keys { command } => {
            let master_key = named_master_key(&global)?;
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.keys(command, &master_key, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Activity { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.activity(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Audit { command } => {
            let master_key = named_master_key(&global)?;
            let kept = match configured(&global)? {
                Some(config) => config.retention.audit.duration(),
                None => stack::NodeLimits::default().audit_kept,
            };
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.audit(command, kept, &master_key, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Backup(asked) => {
            let master_key = named_master_key(&global)?;
            let place = place(&global)?;
            match (asked.command, asked.to) {
                (Some(BackupCommand::Verify { file }), _) => {
                    backup::verify(place, master_key, file, out).await?;
                }
                (None, Some(to)) => backup::backup(place, master_key, to, out).await?,
                (None, None) => {
                    return Err(failure::usage("backup: say where to, a file or a folder"));
                }
            }
        }
        Command::Restore(asked) => {
            let master_key = named_master_key(&global)?;
            let place = match configured(&global)? {
                Some(config) => place_of(&config)?,
                None => {
                    let directory = DataDirectory::open_or_create(global.data_dir.as_deref())?;
                    AuthorityPlace::of_up(&directory)
                }
            };
            let options = backup::RestoreOptions {
                replace: asked.replace,
                rotate_keys: asked.rotate_keys,
            };
            backup::restore(place, master_key, asked.file, options, out).await?;
        }
        Command::Servers { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.servers(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Export { file } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.export(file.as_deref(), &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Plan(asked) => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.plan(asked, &out).await;
            maintenance.close().await;
            return ended;
        }
        Command::Apply(asked) => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.apply(asked, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Move(asked) => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.move_address(asked, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::ServiceTokens { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.service_tokens(command, &out).await;
            maintenance.close().await;
            ended?;
        }
        Command::Config { command } => {
            config::run(&command, global, &out)?;
        }
        Command::Mail { command } => {
            let config = configured(&global)?.ok_or_else(|| {
                failure::usage("mail needs --config FILE; see docs/configuration.md")
            })?;
            if !mail::run(command, config.mail, &out).await? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Clients { command } => {
            let maintenance = Maintenance::open(place(&global)?).await?;
            let ended = maintenance.clients(command, &out).await;
            maintenance.close().await;
            ended?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the built-in client needs, and whom it calls.
async fn client(
    global: &GlobalArguments,
    asked: &ClientArguments,
) -> anyhow::Result<(ClientSettings, Url)> {
    let url = match &asked.url {
        Some(url) => url.clone(),
        None => only_mcp_url(global, true).await?,
    };
    let directory = DataDirectory::open_or_create(global.data_dir.as_deref())?;
    let opens = !asked.no_open && browser::is_likely();
    Ok((
        ClientSettings {
            token_file: directory.file("client-tokens.json"),
            sign_in_again: asked.sign_in,
            scope: asked.scope.as_deref().map(ScopeSet::parse_lenient),
            open_browser: Arc::new(move |url| opens && browser::open(url)),
            progress: Terminal::stderr(),
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
        },
        url,
    ))
}

/// The admin API of the authority here.
async fn own_admin_url(global: &GlobalArguments) -> anyhow::Result<Url> {
    let config = configured(global)?;
    let origin = match config.and_then(|config| config.admin.map(|admin| admin.url.to_string())) {
        Some(url) => url,
        None => {
            let maintenance = Maintenance::open(place(global)?).await?;
            let url = maintenance.public_url().await;
            maintenance.close().await;
            url?
        }
    };
    let path = oauth::administration::PATH;
    Url::parse(&format!("{origin}{path}")).with_context(|| format!("{origin}{path}"))
}

async fn only_mcp_url(global: &GlobalArguments, must_run: bool) -> anyhow::Result<Url> {
    let maintenance = Maintenance::open(place(global)?).await?;
    let url = maintenance.mcp_url(must_run).await;
    maintenance.close().await;
    url
}
