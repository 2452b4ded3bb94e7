use authz::ListKind;
use clap::{Args, Subcommand, ValueEnum};
use domain::ServerSlug;
use wire::oauth::ScopeSet;

/// What `tools` does besides asking as a client.
#[derive(Debug, Subcommand)]
pub enum ToolsCommand {
    /// List what an MCP server offers and what callers need for it, with what waits for a decision
    List {
        /// Which
        #[arg(value_name = "SERVER", value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Print it as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show what changed of a tool since it was accepted
    Diff {
        #[command(flatten)]
        one: OneTool,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Accept a tool as it is defined now; every gateway follows within a second
    Approve(Approve),
    /// Keep a tool hidden, and do not show this definition as waiting any more
    Reject {
        #[command(flatten)]
        one: OneTool,
        /// The definition that was looked at, as `tools diff` shows it [default: the one that waits now]
        #[arg(long, value_name = "FINGERPRINT")]
        fingerprint: Option<String>,
    },
    /// Say what callers need for a tool, whatever it says of itself later
    Map(Map),
}

/// One tool of one MCP server; also a resource, a template, a prompt, or what the server says of itself (`instructions`).
#[derive(Debug, Args)]
pub struct OneTool {
    /// Of which MCP server
    #[arg(value_name = "SERVER", value_parser = ServerSlug::parse)]
    pub server: ServerSlug,
    /// Its name, or its URI
    #[arg(value_name = "TOOL")]
    pub tool: String,
    /// What it is, where several have this name
    #[arg(long)]
    pub kind: Option<ElementKind>,
}

/// What an MCP server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the name says it")]
pub enum ElementKind {
    Tool,
    Resource,
    Template,
    Prompt,
    Instructions,
}

impl ElementKind {
    /// As it is typed.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resource => "resource",
            Self::Template => "template",
            Self::Prompt => "prompt",
            Self::Instructions => "instructions",
        }
    }
}

impl From<ElementKind> for ListKind {
    fn from(kind: ElementKind) -> Self {
        match kind {
            ElementKind::Tool => Self::Tools,
            ElementKind::Resource => Self::Resources,
            ElementKind::Template => Self::ResourceTemplates,
            ElementKind::Prompt => Self::Prompts,
            ElementKind::Instructions => Self::Instructions,
        }
    }
}

impl From<ListKind> for ElementKind {
    fn from(kind: ListKind) -> Self {
        match kind {
            ListKind::Tools => Self::Tool,
            ListKind::Resources => Self::Resource,
            ListKind::ResourceTemplates => Self::Template,
            ListKind::Prompts => Self::Prompt,
            ListKind::Instructions => Self::Instructions,
        }
    }
}

/// What `tools approve` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis tools diff todo add_todo
  portcullis tools approve todo add_todo --fingerprint 0kVbq…
  portcullis tools approve todo --all")]
pub struct Approve {
    /// Of which MCP server
    #[arg(value_name = "SERVER", value_parser = ServerSlug::parse)]
    pub server: ServerSlug,
    /// Its name, or its URI
    #[arg(
        value_name = "TOOL",
        conflicts_with = "all",
        required_unless_present = "all"
    )]
    pub tool: Option<String>,
    /// What it is, where several have this name
    #[arg(long, conflicts_with = "all")]
    pub kind: Option<ElementKind>,
    /// The definition that was looked at, as `tools diff` shows it; refused when it is another one by now [default: the one
    /// that waits, which is shown, and asked about]
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "all")]
    pub fingerprint: Option<String>,
    /// All that waits, but those whose names look like others
    #[arg(long)]
    pub all: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// What `tools map` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis tools map todo add_todo --any-of todo:write
  portcullis tools map todo add_todo --any-of todo:admin --any-of 'todo:read todo:write'    either of the two
  portcullis tools map todo list_todos --public")]
pub struct Map {
    #[command(flatten)]
    pub one: OneTool,
    #[command(flatten)]
    pub to: MapTo,
}

/// What callers need.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct MapTo {
    /// All of these scopes; again for another set that is as good
    #[arg(long, value_name = "SCOPE[ SCOPE]", value_parser = scopes)]
    pub any_of: Vec<ScopeSet>,
    /// A valid token alone
    #[arg(long)]
    pub public: bool,
    /// Nobody may call it
    #[arg(long)]
    pub deny: bool,
}

fn scopes(text: &str) -> Result<ScopeSet, String> {
    let scopes = ScopeSet::parse_lenient(&text.replace(',', " "));
    match scopes.is_empty() {
        true => Err("names no scope; --public needs none".to_owned()),
        false => Ok(scopes),
    }
}
