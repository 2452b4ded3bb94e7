use askama::Template;

use super::{assets, filters, render};

/// What is protected, how to connect to it, and who is looking. The sign-out button posts `csrf`.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "home.html")]
pub struct HomePage<'a> {
    /// Who is signed in.
    pub user_name: &'a str,
    /// Their e-mail address.
    pub user_email: &'a str,
    /// The MCP servers, in the order to show.
    pub servers: Vec<HomeServer<'a>>,
    /// Clients that an owner has to decide about; empty for everybody else.
    pub waiting: Vec<WaitingClient<'a>>,
    /// Where Approve and Block post `server`, `client`, `csrf` and `decision` to.
    pub decide_action: &'a str,
    /// Where a person finds their own service tokens.
    pub tokens_path: &'a str,
    /// Something to know before connecting, such as that hosted clients need a public https address.
    pub note: Option<&'a str>,
    /// Where the sign-out button posts to.
    pub sign_out_action: &'a str,
    /// The value of the hidden input `csrf`.
    pub csrf: &'a str,
}

/// One MCP server on the home page.
#[derive(Debug, Clone, Default)]
pub struct HomeServer<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its slug.
    pub slug: &'a str,
    /// Its address, as people type it.
    pub resource: &'a str,
    /// How many tools need a token.
    pub tools_protected: usize,
    /// How many clients are registered.
    pub clients: usize,
    /// How to add it to each client.
    pub connect: Vec<ConnectLine<'a>>,
}

/// A client that waits for a decision.
#[derive(Debug, Clone, Default)]
pub struct WaitingClient<'a> {
    /// The MCP server it wants to use.
    pub server_slug: &'a str,
    /// That server's name.
    pub server_name: &'a str,
    /// The client's id.
    pub client_id: &'a str,
    /// What it calls itself.
    pub name: &'a str,
    /// The host of its metadata document, when it has one.
    pub document_host: Option<&'a str>,
    /// Where answers to it go.
    pub redirect_uris: Vec<&'a str>,
    /// Since when it waits, in words.
    pub since: String,
    /// The value of the hidden input `csrf`.
    pub csrf: String,
}

/// How to add a server to one client.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectLine<'a> {
    /// The client, such as "Claude Code".
    pub client: &'a str,
    /// What to run or to type.
    pub command: &'a str,
}

/// The home page, at `/admin`.
pub fn home(page: &HomePage<'_>) -> String {
    render(page)
}
