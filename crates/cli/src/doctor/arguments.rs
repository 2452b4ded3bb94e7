use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// What `doctor` takes.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("token").args(["token_file", "sign_in", "client_credentials"]),
    after_help = "\
Examples:
  portcullis doctor https://mcp.example.com/mcp
  portcullis doctor URL --as claude-code,chatgpt,vscode       how far each of them comes; --as all
  portcullis doctor URL --sign-in                             with a token too: refresh, step-up, revocation
  portcullis doctor URL --junit report.xml                    for CI

Exit code: 0 nothing found, 1 something below high, 2 something high or critical, 3 the server could not be examined."
)]
pub struct DoctorArguments {
    /// The URL that people give to their MCP clients [default: found in this folder's files]
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// Also run the sequences of these clients, up to their browser step; `all` for every one that is known
    #[arg(long = "as", value_name = "CLIENTS", value_delimiter = ',')]
    pub clients: Vec<String>,
    /// What a client shows, copied from its screen: which flaws that may be. With a URL it is examined as well
    #[arg(long, value_name = "WORDS", conflicts_with = "json")]
    pub says: Option<String>,
    /// Register clients at the authorization server, each with a name that begins with "Portcullis doctor". On this machine
    /// that is done without being asked
    #[arg(long)]
    pub register: bool,
    /// Try attacks that must be refused, also at a server that is not on this machine. Only where you may
    #[arg(long)]
    pub attack: bool,
    /// A PEM file with a private key that the authorization server signs with, of a test system: expired tokens, other
    /// audiences and other issuers are tried with it, which no correct server issues
    #[arg(long, value_name = "FILE")]
    pub attack_key: Option<PathBuf>,
    /// A file with a token of fewer scopes, to see what it opens
    #[arg(long, value_name = "FILE")]
    pub narrow_token_file: Option<PathBuf>,
    /// A file with a token that was good once and has expired
    #[arg(long, value_name = "FILE")]
    pub expired_token_file: Option<PathBuf>,
    /// A file with a token of the same issuer for another resource
    #[arg(long, value_name = "FILE")]
    pub other_audience_token_file: Option<PathBuf>,
    /// A file with an access token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Sign in with the browser and look at what is issued
    #[arg(long)]
    pub sign_in: bool,
    /// Get a token as the client with this id, for itself
    #[arg(long, value_name = "ID", requires = "client_secret_file")]
    pub client_credentials: Option<String>,
    /// The client to sign in with [default: one is registered]
    #[arg(long, value_name = "ID", requires = "sign_in")]
    pub client_id: Option<String>,
    /// A file with the secret of that client
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// Print the address to open instead of opening the browser
    #[arg(long)]
    pub no_open: bool,
    /// A PEM file with certificates to trust beside the machine's own
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How many seconds all of it may take [default: 60, and 600 with --sign-in]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: Option<u64>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Write the report as JUnit XML too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the report with every request and answer too, without secrets, to attach to an issue
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
}
