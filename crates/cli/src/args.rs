//! The command line, as data. Every value is read here, so that a wrong one names its flag before anything happens.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::ServerSlug;
use url::Url;

use crate::activity::ActivityCommand;
use crate::audit::AuditCommand;
use crate::child_env::ChildEnv;
use crate::clients::ClientsCommand;
use crate::config::{ConfigCommand, Role};
use crate::doctor::DoctorArguments;
use crate::file::{ApplyArguments, PlanArguments};
use crate::grants::GrantsCommand;
use crate::keys::Schedule;
use crate::mail::MailCommand;
use crate::moving::MoveArguments;
use crate::people::PeopleCommand;
use crate::policy::{
    GroupsCommand, LimitsCommand, PolicyCommand, RolesCommand, RulesCommand, ScopesCommand,
};
use crate::public_url::PublicUrl;
use crate::servers::ServersCommand;
use crate::service_tokens::ServiceTokensCommand;
use crate::token_explain::TokenExplainArguments;
use crate::tool_scope::ToolScope;
use crate::tools::ToolsCommand;

/// What the program calls itself. A build for tests, which must never be used, says so wherever it says its version.
pub const VERSION: &str = if cfg!(any(
    feature = "weaken-durability",
    feature = "earlier-schema"
)) {
    concat!(
        env!("CARGO_PKG_VERSION"),
        " (weakened for tests, never for use)"
    )
} else {
    env!("CARGO_PKG_VERSION")
};

/// OAuth 2.1 in front of any MCP server.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version = VERSION, about, max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub global: GlobalArguments,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct GlobalArguments {
    /// Where the authority keeps everything it knows [default: $XDG_DATA_HOME/portcullis]
    #[arg(long, global = true, value_name = "DIR", env = "PORTCULLIS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The configuration file of `serve`; with it, commands work on the database that it names
    #[arg(long, global = true, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    pub config: Option<PathBuf>,
    /// A file with the master key, 32 bytes in base64url; PORTCULLIS_MASTER_KEY may hold the key itself [default:
    /// keys/master.key in the data directory, made at the first start]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PORTCULLIS_MASTER_KEY_FILE"
    )]
    pub master_key_file: Option<PathBuf>,
    /// What goes to the log on stderr, such as `info` or `gateway=debug` [default: $RUST_LOG, or warn, and
    /// what was refused where stderr is no terminal]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Protect an MCP server and serve it until stopped
    Up(UpArguments),
    /// Run in production: what the configuration file says, until stopped
    Serve(ServeArguments),
    /// Call one tool of a protected MCP server, signing in with the browser when needed
    Call(CallArguments),
    /// List the tools of a protected MCP server, signing in with the browser when needed; or decide about those of one here
    Tools(ToolsArguments),
    /// Add a protected MCP server to a client's configuration
    Connect(ConnectArguments),
    /// Say what is wrong with any protected MCP server, ours or not, and what exactly to change
    Doctor(Box<DoctorArguments>),
    /// The people who may sign in
    #[command(visible_alias = "users")]
    People {
        #[command(subcommand)]
        command: PeopleCommand,
    },
    /// The clients that may ask for tokens
    Clients {
        #[command(subcommand)]
        command: ClientsCommand,
    },
    /// The MCP servers and their settings
    Servers {
        #[command(subcommand)]
        command: ServersCommand,
    },
    /// The scopes that an MCP server declares
    Scopes {
        #[command(subcommand)]
        command: ScopesCommand,
    },
    /// What people may have at an MCP server, by role
    Roles {
        #[command(subcommand)]
        command: RolesCommand,
    },
    /// Groups of people, which are given roles and named in rules
    Groups {
        #[command(subcommand)]
        command: GroupsCommand,
    },
    /// What somebody may or may not have, through which client, whatever their roles say
    Rules {
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// The policy of an MCP server: who reaches what, what a change would do, and each earlier one to go back to
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// How often somebody may call: each person, each client, or all together
    Limits {
        #[command(subcommand)]
        command: LimitsCommand,
    },
    /// Write MCP servers, scopes, clients and people as one readable TOML file, without any secret
    Export {
        /// Where to; it is replaced [default: standard output]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Say what a file that `export` wrote, and somebody edited, would change. It changes nothing
    Plan(PlanArguments),
    /// Make what a file says so, all of it or nothing; refused when the store changed since the export
    Apply(ApplyArguments),
    /// Move an MCP server to another public URL: says what breaks, and keeps the old one as an alias until a date
    Move(MoveArguments),
    /// Static tokens for machines that cannot do OAuth
    ServiceTokens {
        #[command(subcommand)]
        command: ServiceTokensCommand,
    },
    /// What people approved and machines were given, as long as it is in force
    Grants {
        #[command(subcommand)]
        command: GrantsCommand,
    },
    /// An access token for the admin API, signing in with the browser when needed; or what a token says
    Token(TokenArguments),
    /// The keys that sign tokens
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// The calls that went through the gateway, and what was decided of each
    Activity {
        #[command(subcommand)]
        command: ActivityCommand,
    },
    /// What happened, and whether the log of it is as it was written
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Write everything to one sealed file, beside a running authority; or look whether one is whole
    Backup(BackupArguments),
    /// Put a backup in the place of an authority that does not run. A new epoch begins: everybody signs in again
    Restore(RestoreArguments),
    /// The mail server of the configuration
    Mail {
        #[command(subcommand)]
        command: MailCommand,
    },
    /// What the configuration file says, and what it can say
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// What `backup` takes.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArguments {
    /// The file, or a folder in which the file is named by the time
    #[arg(value_name = "FILE|DIR")]
    pub to: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
}

#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Look whether a backup is whole and opens with the master key
    Verify {
        /// The backup
        file: PathBuf,
    },
}

/// What `restore` takes.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The backup
    pub file: PathBuf,
    /// Also where an authority is already; files that were there are kept beside it
    #[arg(long)]
    pub replace: bool,
    /// The backup may be in other hands: sign with new keys at once and withdraw those in it
    #[arg(long)]
    pub rotate_keys: bool,
}

/// What `up` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis up                                     the bundled todo server, or what this authority protects already
  portcullis up http://127.0.0.1:8765/mcp           any Streamable HTTP MCP server
  portcullis up -- npx -y some-stdio-mcp-server     any stdio MCP server")]
pub struct UpArguments {
    /// The URL of a Streamable HTTP MCP server, or `todo` for the bundled one
    #[arg(value_name = "TARGET", conflicts_with = "child")]
    pub target: Option<String>,
    /// The command line of a stdio MCP server, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub child: Vec<String>,
    /// The port on 127.0.0.1 and [::1]; fixed at the first start [default: 4180, or the first free one after it]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// The origin that clients see; fixed at the first start [default: http://localhost:PORT]
    #[arg(long, value_name = "URL", value_parser = PublicUrl::parse)]
    pub public_url: Option<PublicUrl>,
    /// The name of the MCP server in addresses [default: made from TARGET or COMMAND]
    #[arg(long, value_name = "SLUG", value_parser = ServerSlug::parse)]
    pub slug: Option<ServerSlug>,
    /// Print one line of JSON on stdout when serving; the screen goes to stderr
    #[arg(long)]
    pub ready_json: bool,
    /// Do not open the browser for the first sign-in
    #[arg(long)]
    pub no_open: bool,
    /// A PEM file with certificates to trust beside the machine's own, when documents of clients are fetched
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<std::path::PathBuf>,
    /// A variable for the child: NAME=VALUE, or NAME to pass ours on. Repeatable
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = ChildEnv::parse)]
    pub env: Vec<ChildEnv>,
    /// The scopes that a tool needs, for the first mapping and for tools that are hidden. Repeatable
    #[arg(long, value_name = "TOOL=SCOPE[,SCOPE]", value_parser = ToolScope::parse)]
    pub tool_scope: Vec<ToolScope>,
    /// A file of `Name: value` lines sent to the upstream with each call
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "child",
        requires = "target"
    )]
    pub upstream_header_file: Option<PathBuf>,
}

/// What `serve` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis serve --config portcullis.toml
  portcullis config check --config portcullis.toml      what it would run, and what is wrong")]
pub struct ServeArguments {
    /// Which parts run here [default: what `role` in the configuration says, else all]
    #[arg(long, value_name = "ROLE")]
    pub role: Option<Role>,
    /// Print one line of JSON on stdout when serving
    #[arg(long)]
    pub ready_json: bool,
}

/// What the built-in client takes.
#[derive(Debug, Args)]
pub struct ClientArguments {
    /// The MCP URL [default: the only MCP server of this data directory's authority]
    #[arg(long, value_name = "URL", value_parser = parse_mcp_url)]
    pub url: Option<Url>,
    /// Print the address to open instead of opening the browser
    #[arg(long)]
    pub no_open: bool,
    /// Sign in again, whatever token is kept
    #[arg(long)]
    pub sign_in: bool,
    /// Ask for these scopes only when signing in [default: what the server suggests]
    #[arg(long, value_name = "SCOPES")]
    pub scope: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub raw: bool,
}

/// What `token` takes.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  portcullis token                        to look at things
  portcullis token --write                to change them as well
  curl -H \"Authorization: Bearer $(portcullis token)\" http://localhost:4180/admin/api/v1/servers"
)]
pub struct TokenArguments {
    /// The address of the admin API [default: that of this data directory's authority]
    #[arg(long, value_name = "URL", value_parser = parse_mcp_url)]
    pub url: Option<Url>,
    /// Also to change things
    #[arg(long)]
    pub write: bool,
    /// Print the address to open instead of opening the browser
    #[arg(long)]
    pub no_open: bool,
    /// Sign in again, whatever token is kept
    #[arg(long)]
    pub sign_in: bool,
    #[command(subcommand)]
    pub command: Option<TokenCommand>,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// What a token says, in words, and whether an MCP server would take it. Works offline
    Explain(TokenExplainArguments),
}

/// What `tools` takes.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ToolsArguments {
    #[command(flatten)]
    pub client: ClientArguments,
    #[command(subcommand)]
    pub command: Option<ToolsCommand>,
}

/// What `call` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis call list_todos
  portcullis call add_todo title='Buy milk'
  portcullis call search --json '{\"query\": \"milk\", \"limit\": 3}'

A value that reads as JSON is sent as JSON (3, true, [1,2]) unless the tool's schema asks for a string.")]
pub struct CallArguments {
    /// The tool's name
    pub tool: String,
    /// Its arguments
    #[arg(value_name = "KEY=VALUE", conflicts_with = "json")]
    pub arguments: Vec<String>,
    /// Its arguments as one JSON object
    #[arg(long, value_name = "OBJECT")]
    pub json: Option<String>,
    #[command(flatten)]
    pub client: ClientArguments,
}

/// What `connect` takes.
#[derive(Debug, Args)]
pub struct ConnectArguments {
    /// The client to configure
    pub client: ConnectTarget,
    /// Show what would change and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The MCP URL [default: the only MCP server of this data directory's authority]
    #[arg(long, value_name = "URL", value_parser = parse_mcp_url)]
    pub url: Option<Url>,
    /// The name of the entry [default: the last part of the URL]
    #[arg(long, value_name = "NAME", value_parser = ServerSlug::parse)]
    pub name: Option<ServerSlug>,
}

/// A client whose configuration we know how to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the name says it")]
pub enum ConnectTarget {
    ClaudeCode,
    #[value(name = "vscode")]
    VsCode,
    Cursor,
    Codex,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the keys and what each is good for
    List,
    /// Make new keys: published now and signing ten minutes later, while the old ones go on verifying what they signed
    Rotate {
        /// What signs access tokens from this rotation on [default: what it was]
        #[arg(long, value_name = "ALGORITHM", ignore_case = true)]
        algorithm: Option<KeyAlgorithmArgument>,
        /// A key was stolen: sign with the new ones at once and refuse whatever the old ones signed. Refresh tokens live
        /// on, and clients that use them after a 401, as nearly all do, ask nobody to sign in again
        #[arg(long)]
        now: bool,
    },
    /// Say after how many days keys are rotated by themselves, such as 90d, or off
    Schedule {
        #[arg(value_name = "DAYS", value_parser = Schedule::parse)]
        every: Schedule,
    },
}

/// What may sign access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the name says it")]
pub enum KeyAlgorithmArgument {
    Es256,
    Eddsa,
    Rs256,
}

/// The longest MCP URL. Proxies and clients have bounds of about this size.
const URL_BYTES_MAX: usize = 2048;

/// Reads an MCP URL: absolute, http or https, without user name, query or fragment.
pub fn parse_mcp_url(text: &str) -> Result<Url, String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("must not be longer than {URL_BYTES_MAX} bytes"));
    }
    let url = Url::parse(text).map_err(|error| {
        format!("not an absolute URL ({error}); write it as http://127.0.0.1:8765/mcp")
    })?;
    match url.scheme() {
        "http" | "https" => {}
        other => {
            return Err(format!(
                "{other}: is not spoken here; use http:// or https://"
            ));
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user name or password; use --upstream-header-file".into());
    }
    if url.fragment().is_some() {
        return Err("must not contain a fragment (#…)".into());
    }
    Ok(url)
}
