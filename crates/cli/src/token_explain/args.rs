use std::path::PathBuf;

use clap::Args;

/// What `token explain` takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis token explain                              asks for the token, and does not show what is pasted
  wl-paste | portcullis token explain -
  portcullis token explain --file response.json --resource https://mcp.example.com/mcp

Nothing is sent anywhere. The signature and the token as a whole are never printed.")]
pub struct TokenExplainArguments {
    /// The token, or `-` for standard input. As an argument it stays in the shell's history
    #[arg(value_name = "TOKEN", conflicts_with = "file")]
    pub pasted: Option<String>,
    /// A file with the token, an Authorization header or a whole token response
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The MCP URL that the token must be for
    #[arg(long, value_name = "URL")]
    pub resource: Option<String>,
    /// The issuer that the token must be from, as the resource metadata writes it
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// The issuer's key set, as its jwks_uri answers it
    #[arg(long, value_name = "FILE")]
    pub jwks: Option<PathBuf>,
    /// Print the explanation as JSON
    #[arg(long)]
    pub json: bool,
}
