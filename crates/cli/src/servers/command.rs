use std::path::PathBuf;

use authz::{ListStepUp, Mode, QuarantineFrom};
use clap::{Args, Subcommand, ValueEnum};
use domain::{
    MetadataDocumentTrust, NativeSchemes, RegistrationMode, ServerSettingsChange, ServerSlug,
};
use url::{Host, Url};

use super::alias::AliasCommand;
use crate::args::parse_mcp_url;
use crate::child_env::ChildEnv;
use crate::period::Period;
use crate::tool_scope::ToolScope;

/// What `servers` does.
#[derive(Debug, Subcommand)]
pub enum ServersCommand {
    /// List the MCP servers
    List {
        /// Print them as a JSON array, each as `show --json` prints it
        #[arg(long)]
        json: bool,
    },
    /// Show the settings of one MCP server
    Show {
        /// Which [default: the only one]
        #[arg(value_name = "SLUG", value_parser = ServerSlug::parse)]
        slug: Option<ServerSlug>,
        /// Print it as JSON; the settings have the names and words of `servers set`
        #[arg(long)]
        json: bool,
    },
    /// Protect one more MCP server; a running authority follows within a second
    Add(AddServer),
    /// Remove an MCP server: its tokens and clients are refused within a second. Its slug is never given again
    Remove {
        /// Which
        #[arg(value_name = "SLUG", value_parser = ServerSlug::parse)]
        slug: ServerSlug,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Change settings of one MCP server; a running authority follows within a second
    Set(SetServer),
    /// Other addresses of an MCP server
    Alias {
        #[command(subcommand)]
        command: AliasCommand,
    },
    /// Make the credential with which an MCP server introspects tokens, and print it as ID:SECRET: it is shown this once.
    /// The one before stays good for 7 days
    Credential {
        /// Which [default: the only one]
        #[arg(value_name = "SLUG", value_parser = ServerSlug::parse)]
        slug: Option<ServerSlug>,
        /// End the one before at once
        #[arg(long)]
        end_older: bool,
    },
}

/// What `servers add` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis servers add weather http://10.0.0.7:8080/mcp
  portcullis servers add weather http://10.0.0.7:8080/mcp --url https://weather.example.com/mcp
  portcullis servers add files --env HOME -- npx -y @modelcontextprotocol/server-filesystem /srv")]
pub struct AddServer {
    /// Its name in addresses, for good
    #[arg(value_name = "SLUG", value_parser = ServerSlug::parse)]
    pub slug: ServerSlug,
    /// The URL of a Streamable HTTP MCP server, or `todo` for the bundled one
    #[arg(
        value_name = "TARGET",
        conflicts_with = "child",
        required_unless_present = "child"
    )]
    pub target: Option<String>,
    /// The command line of a stdio MCP server, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    pub child: Vec<String>,
    /// The URL that people type [default: the authority's origin, /mcp/ and SLUG]
    #[arg(long, value_name = "URL", value_parser = parse_mcp_url)]
    pub url: Option<Url>,
    /// Its name for people [default: made from SLUG]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A variable that the authority passes on to the child from its own environment. Repeatable
    #[arg(long, value_name = "NAME", value_parser = ChildEnv::parse)]
    pub env: Vec<ChildEnv>,
    /// A file of `Name: value` lines sent to the upstream with each call; the authority reads it
    #[arg(long, value_name = "FILE", conflicts_with = "child")]
    pub upstream_header_file: Option<PathBuf>,
    /// The scopes that a tool needs instead of the usual ones. Repeatable
    #[arg(long, value_name = "TOOL=SCOPE[,SCOPE]", value_parser = ToolScope::parse)]
    pub tool_scope: Vec<ToolScope>,
    /// Do not look at the upstream from here; the authority does
    #[arg(long, conflicts_with = "tool_scope")]
    pub unseen: bool,
}

/// What `servers set` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis servers set todo --dynamic-registration approved     clients wait until an owner approves them
  portcullis servers set todo --client-metadata claude.ai,chatgpt.com
  portcullis servers set --access-token 30m --refresh-token 30d")]
pub struct SetServer {
    /// Which [default: the only one]
    #[arg(value_name = "SLUG", value_parser = ServerSlug::parse)]
    pub slug: Option<ServerSlug>,
    #[command(flatten)]
    pub change: Change,
    /// Whether calls that the policy denies are refused, or pass and are only reported
    #[arg(long, value_name = "enforce|observe", group = "Change")]
    pub mode: Option<ModeWord>,
    /// Enforce although there are tools that nobody decided about; nobody can call those
    #[arg(long, requires = "mode")]
    pub with_unmapped: bool,
    /// From which severity on a tool that changed waits until somebody approves it: any change, wider schemas, other words
    /// and hints, or never
    #[arg(long, value_name = "low|medium|high|never", group = "Change")]
    pub quarantine_from: Option<QuarantineWord>,
    /// Whether lists show what somebody could call after their client asked for more scope: to clients known to ask, to all, or to none
    #[arg(long, value_name = "auto|always|never", group = "Change")]
    pub list_step_up: Option<StepUpWord>,
}

/// See [`ListStepUp`].
#[derive(Debug, Clone, Copy, ValueEnum)]
#[allow(missing_docs, reason = "the name says it")]
pub enum StepUpWord {
    Auto,
    Always,
    Never,
}

impl From<StepUpWord> for ListStepUp {
    fn from(word: StepUpWord) -> Self {
        match word {
            StepUpWord::Auto => Self::Auto,
            StepUpWord::Always => Self::Always,
            StepUpWord::Never => Self::Never,
        }
    }
}

/// See [`authz::Mode`].
#[derive(Debug, Clone, Copy, ValueEnum)]
#[allow(missing_docs, reason = "the name says it")]
pub enum ModeWord {
    Enforce,
    Observe,
}

impl From<ModeWord> for Mode {
    fn from(word: ModeWord) -> Self {
        match word {
            ModeWord::Enforce => Self::Enforce,
            ModeWord::Observe => Self::Observe,
        }
    }
}

/// See [`QuarantineFrom`].
#[derive(Debug, Clone, Copy, ValueEnum)]
#[allow(missing_docs, reason = "the name says it")]
pub enum QuarantineWord {
    Low,
    Medium,
    High,
    Never,
}

impl From<QuarantineWord> for QuarantineFrom {
    fn from(word: QuarantineWord) -> Self {
        match word {
            QuarantineWord::Low => Self::Low,
            QuarantineWord::Medium => Self::Medium,
            QuarantineWord::High => Self::High,
            QuarantineWord::Never => Self::Never,
        }
    }
}

/// The settings, each to be left out.
#[derive(Debug, Clone, Default, Args)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// Whether clients may register themselves: they may, they wait for an owner, or they may not
    #[arg(long, value_name = "MODE")]
    dynamic_registration: Option<Registration>,
    /// Which client ID metadata documents are believed: open, ask (an owner decides), off, or a list of hosts, in which
    /// *.example.com means every host under it
    #[arg(long, value_name = "open|ask|off|HOST,HOST", value_parser = parse_trust)]
    client_metadata: Option<MetadataDocumentTrust>,
    /// Which private-use schemes a client that registers itself may return to: any harmless one, those of known clients
    /// and reverse domain names, or none
    #[arg(long, value_name = "SCHEMES")]
    native_schemes: Option<Schemes>,
    /// How long an access token lives, such as 1h
    #[arg(long, value_name = "TIME", value_parser = Period::parse)]
    access_token: Option<Period>,
    /// How long a refresh token may lie unused, such as 90d
    #[arg(long, value_name = "TIME", value_parser = Period::parse)]
    refresh_token: Option<Period>,
    /// How long a sign-in lasts however much it is used, such as 365d
    #[arg(long, value_name = "TIME", value_parser = Period::parse)]
    family: Option<Period>,
    /// Refuse any repeat of a spent refresh token, also of a client whose answer was lost
    #[arg(long, value_name = "on|off")]
    strict_rotation: Option<Switch>,
    /// Where people read about the MCP server, or none
    #[arg(long, value_name = "URL|none", value_parser = parse_documentation)]
    documentation_url: Option<Documentation>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Registration {
    Open,
    Approved,
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Schemes {
    Any,
    Known,
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Documentation(Option<String>);

impl From<Change> for ServerSettingsChange {
    fn from(change: Change) -> Self {
        Self {
            dynamic_registration: change.dynamic_registration.map(|mode| match mode {
                Registration::Open => RegistrationMode::Open,
                Registration::Approved => RegistrationMode::Approved,
                Registration::Off => RegistrationMode::Off,
            }),
            metadata_documents: change.client_metadata,
            native_schemes: change.native_schemes.map(|schemes| match schemes {
                Schemes::Any => NativeSchemes::Any,
                Schemes::Known => NativeSchemes::Known,
                Schemes::Off => NativeSchemes::Off,
            }),
            access_token_seconds: change.access_token.map(Period::seconds),
            refresh_token_seconds: change.refresh_token.map(Period::seconds),
            family_seconds: change.family.map(Period::seconds),
            strict_rotation: change
                .strict_rotation
                .map(|switch| matches!(switch, Switch::On)),
            documentation_url: change
                .documentation_url
                .map(|documentation| documentation.0),
        }
    }
}

/// Puts the setting that the flag `name` of `servers set` changes into `change`.
///
/// # Errors
/// When it cannot be `word`; there must be such a flag.
pub(crate) fn say(change: &mut ServerSettingsChange, name: &str, word: &str) -> Result<(), String> {
    let mut said = Change::default();
    match name {
        "dynamic-registration" => said.dynamic_registration = Some(choice(word)?),
        "client-metadata" => said.client_metadata = Some(parse_trust(word)?),
        "native-schemes" => said.native_schemes = Some(choice(word)?),
        "access-token" => said.access_token = Some(Period::parse(word)?),
        "refresh-token" => said.refresh_token = Some(Period::parse(word)?),
        "family" => said.family = Some(Period::parse(word)?),
        "strict-rotation" => said.strict_rotation = Some(choice(word)?),
        "documentation-url" => said.documentation_url = Some(parse_documentation(word)?),
        _ => return Err("there is no such setting".into()),
    }
    let said = ServerSettingsChange::from(said);
    *change = ServerSettingsChange {
        dynamic_registration: said.dynamic_registration.or(change.dynamic_registration),
        metadata_documents: said.metadata_documents.or(change.metadata_documents.take()),
        native_schemes: said.native_schemes.or(change.native_schemes),
        access_token_seconds: said.access_token_seconds.or(change.access_token_seconds),
        refresh_token_seconds: said.refresh_token_seconds.or(change.refresh_token_seconds),
        family_seconds: said.family_seconds.or(change.family_seconds),
        strict_rotation: said.strict_rotation.or(change.strict_rotation),
        documentation_url: said.documentation_url.or(change.documentation_url.take()),
    };
    Ok(())
}

fn choice<T: ValueEnum>(word: &str) -> Result<T, String> {
    T::from_str(word, false).map_err(|_| {
        let words = T::value_variants().iter();
        let words: Vec<String> = words
            .filter_map(|one| Some(one.to_possible_value()?.get_name().to_owned()))
            .collect();
        format!("{word:?} is none of: {}", words.join(", "))
    })
}

fn parse_trust(text: &str) -> Result<MetadataDocumentTrust, String> {
    match text {
        "open" => return Ok(MetadataDocumentTrust::Open),
        "ask" => return Ok(MetadataDocumentTrust::Ask),
        "off" => return Ok(MetadataDocumentTrust::Off),
        _ => {}
    }
    let hosts: Vec<String> = text.split(',').map(parse_host).collect::<Result<_, _>>()?;
    if hosts.len() > 100 {
        return Err("at most 100 hosts".into());
    }
    Ok(MetadataDocumentTrust::AllowedHosts(hosts))
}

fn parse_host(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (star, name) = match text.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", text),
    };
    match Host::parse(name) {
        Ok(Host::Domain(host)) if host.contains('.') => Ok(format!("{star}{host}")),
        _ => Err(format!(
            "{text:?} is no host name; write open, ask, off, or hosts such as claude.ai,*.example.com"
        )),
    }
}

fn parse_documentation(text: &str) -> Result<Documentation, String> {
    if text == "none" {
        return Ok(Documentation(None));
    }
    let url = Url::parse(text).map_err(|error| format!("not an absolute URL ({error})"))?;
    if !matches!(url.scheme(), "https" | "http") || text.len() > 2048 {
        return Err("must be an https or http address, or none".into());
    }
    // It goes into metadata as it is, and readers differ on what they make of other characters.
    if !text.bytes().all(|byte| byte.is_ascii_graphic())
        || text.contains(['\\', '<', '>', '"', '`', '{', '}', '|', '^'])
    {
        return Err("has a character that does not belong in a URL; write it as %XX".into());
    }
    Ok(Documentation(Some(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_with_a_dot_and_words_are_words() {
        let hosts = |hosts: &[&str]| {
            Ok(MetadataDocumentTrust::AllowedHosts(
                hosts.iter().map(|host| (*host).to_owned()).collect(),
            ))
        };
        assert_eq!(parse_trust("ask"), Ok(MetadataDocumentTrust::Ask));
        assert_eq!(
            parse_trust("Claude.ai, *.example.com"),
            hosts(&["claude.ai", "*.example.com"])
        );
        for bad in [
            "",
            "claude",
            "127.0.0.1",
            "https://claude.ai",
            "claude.ai,",
            "*",
            "*.*",
        ] {
            assert!(parse_trust(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn documentation_is_a_plain_address_or_none() {
        for (good, kept) in [
            ("none", None),
            (
                "https://a.example/%1B?q=1#part",
                Some("https://a.example/%1B?q=1#part"),
            ),
        ] {
            assert_eq!(
                parse_documentation(good),
                Ok(Documentation(kept.map(str::to_owned))),
                "{good}"
            );
        }
        for bad in [
            "",
            "a.example",
            "javascript:alert(1)",
            "https://a.example/\u{1b}?q=1#part",
            "https://a.example/\"<x>",
            "https://a.example/a b",
        ] {
            assert!(parse_documentation(bad).is_err(), "{bad:?}");
        }
    }
}
