use std::path::PathBuf;

use clap::{Args, Subcommand};
use domain::ServerSlug;
use url::Url;
use wire::oauth::{RedirectUri, Scope};

/// What `clients` does.
#[derive(Debug, Subcommand)]
pub enum ClientsCommand {
    /// Add a client by hand and print its id
    Add(AddClient),
    /// List the clients, and those with a metadata document that somebody decided about
    List {
        /// Print them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// List the known clients that `clients add --preset` has the addresses of
    Presets,
    /// Tell everything about one client
    Show(OneClient),
    /// Let people use a client that waits for an owner
    Approve(OneClient),
    /// Refuse a client everywhere from now on and end what it holds
    Block(OneClient),
    /// Let a blocked client in again; what it held stays ended
    Unblock(OneClient),
    /// Delete a client with what people approved for it, and end what it holds
    Forget(OneClient),
    /// Give a client a new secret and print it; the one before it goes on working for a week
    RotateSecret {
        #[command(flatten)]
        client: OneClient,
        /// End the older secrets at once
        #[arg(long)]
        end_older: bool,
    },
}

/// What `clients add` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis clients add --preset claude-code           every address that Claude Code returns to
  portcullis clients add --name 'Our app' --redirect-uri https://app.example.com/callback --secret
  portcullis clients add --name nightly --secret --service-scope todo:read     acts for itself, without a person")]
pub struct AddClient {
    /// What the consent page calls it [default: the name of the preset]
    #[arg(long, required_unless_present = "preset")]
    pub name: Option<String>,
    /// A known client, whose addresses it gets; `portcullis clients presets` lists them
    #[arg(long, value_name = "ID")]
    pub preset: Option<String>,
    /// Where codes may go; the port of a loopback address is free. Repeatable
    #[arg(long, value_name = "URI", value_parser = RedirectUri::parse, required_unless_present_any = ["preset", "service_scope"])]
    pub redirect_uri: Vec<RedirectUri>,
    /// Make a secret and print it once, on the second line
    #[arg(long, conflicts_with_all = ["jwks_file", "jwks_uri"])]
    pub secret: bool,
    /// A file with the public keys (JWK set) of a client that signs assertions
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    pub jwks_file: Option<PathBuf>,
    /// The https address of those keys
    #[arg(long, value_name = "URL", value_parser = parse_keys_address)]
    pub jwks_uri: Option<Url>,
    /// A scope it may ask for on its own behalf, without a person. Repeatable
    #[arg(long, value_name = "SCOPE", value_parser = Scope::parse)]
    pub service_scope: Vec<Scope>,
    /// The MCP server it belongs to [default: the only one]
    #[arg(long, value_name = "SLUG", value_parser = ServerSlug::parse)]
    pub server: Option<ServerSlug>,
}

/// Which client is meant.
#[derive(Debug, Args)]
pub struct OneClient {
    /// Its client_id: cli_…, or the https address of its metadata document
    #[arg(value_name = "CLIENT_ID")]
    pub id: String,
    /// At which MCP server, for a client with a metadata document [default: the only one]
    #[arg(long, value_name = "SLUG", value_parser = ServerSlug::parse)]
    pub server: Option<ServerSlug>,
}

fn parse_keys_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not an absolute URL ({error})"))?;
    if url.scheme() != "https" || url.host().is_none() {
        return Err("must be an https address".into());
    }
    Ok(url)
}
