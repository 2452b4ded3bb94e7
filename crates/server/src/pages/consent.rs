use askama::Template;
use authz::Risk;
use oauth::NameCaution;
use wire::oauth::RedirectUriKind;

use super::{assets, filters, render, text};

/// How many tools are named in the closed list before "and N more".
const TOOLS_NAMED: usize = 4;

/// Asks a person what a client may do. Posts `request`, `csrf`, `scope` (once for each ticked box) and `decision`
/// (`approve` or `deny`) to `form_action`; the account link posts `request` and `csrf` to `switch_account_action`.
#[derive(Debug, Clone, Template)]
#[template(path = "consent.html")]
pub struct ConsentPage<'a> {
    /// The MCP server's name.
    pub server_name: &'a str,
    /// The MCP server's address, as people type it.
    pub resource: &'a str,
    /// What the client calls itself.
    pub client_name: &'a str,
    /// What stands behind that name.
    pub standing: ClientStanding<'a>,
    /// Its logo, from our own origin.
    pub client_logo: Option<&'a str>,
    /// Why that name deserves a warning.
    pub name_caution: Option<NameCaution>,
    /// Where the code goes: [`wire::oauth::RedirectUri::display_host`], without words.
    pub return_host: &'a str,
    /// Who can be at that place; chooses the words.
    pub return_kind: RedirectUriKind,
    /// Whether the code may be shown, to be carried to another computer by hand.
    pub by_hand: bool,
    /// Who is signed in.
    pub user_name: &'a str,
    /// Their e-mail address.
    pub user_email: &'a str,
    /// Whom the client expected instead.
    pub expected_email: Option<&'a str>,
    /// What may be given, in the policy's order.
    pub scopes: Vec<ConsentScope<'a>>,
    /// Scopes that were asked for and cannot be given: the scope, and why.
    pub withheld: Vec<(&'a str, &'a str)>,
    /// Where the form posts to.
    pub form_action: &'a str,
    /// The sealed authorization request.
    pub sealed_request: &'a str,
    /// The value of the hidden input `csrf`.
    pub csrf: &'a str,
    /// Where "use another account" posts to.
    pub switch_account_action: &'a str,
    /// How long the client stays connected without another question, in one sentence.
    pub lasts: &'a str,
    /// What is remembered of this decision, in one sentence.
    pub remember_note: Option<&'a str>,
}

/// What stands behind a client's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientStanding<'a> {
    /// This host has proven that it is the client, and receives the answer.
    Verified(&'a str),
    /// The owner added it.
    AddedByOwner,
    /// It shows the papers of this host, which anybody can who receives the answer.
    DocumentOf(&'a str),
    /// Nothing.
    Unverified,
}

/// One checkbox of the consent page.
#[derive(Debug, Clone)]
pub struct ConsentScope<'a> {
    /// The scope itself, which the checkbox sends.
    pub name: &'a str,
    /// In words, such as "See your todos".
    pub title: &'a str,
    /// How much harm it can do.
    pub risk: Risk,
    /// The tools that it opens.
    pub tools: Vec<ConsentTool<'a>>,
    /// The person has allowed it to this client before.
    pub already_granted: bool,
}

/// One tool behind a scope.
#[derive(Debug, Clone, Copy)]
pub struct ConsentTool<'a> {
    /// Its title, or its name.
    pub title: &'a str,
    /// What it does; may be empty.
    pub description: &'a str,
}

/// The consent page.
pub fn consent(page: &ConsentPage<'_>) -> String {
    render(page)
}

impl ConsentPage<'_> {
    fn name_mixes_alphabets(&self) -> bool {
        authz::mixes_alphabets(self.client_name)
    }

    fn is_trusted(&self) -> bool {
        matches!(
            self.standing,
            ClientStanding::Verified(_) | ClientStanding::AddedByOwner
        )
    }
}

impl ConsentScope<'_> {
    fn label(&self) -> &str {
        if text::plain(self.title, 1).is_empty() {
            self.name
        } else {
            self.title
        }
    }

    fn risk_class(&self) -> &'static str {
        match self.risk {
            Risk::Low => "low",
            Risk::Medium => "medium",
            Risk::High | Risk::Critical => "high",
        }
    }

    fn risk_words(&self) -> Option<&'static str> {
        match self.risk {
            Risk::Low => None,
            Risk::Medium => Some("Medium risk"),
            Risk::High => Some("High risk"),
            Risk::Critical => Some("Critical risk"),
        }
    }

    /// The tools named while the list is closed. One more than the limit is named as well: "and 1 more" saves nothing.
    fn tools_named(&self) -> &[ConsentTool<'_>] {
        if self.tools.len() <= TOOLS_NAMED + 1 {
            &self.tools
        } else {
            &self.tools[..TOOLS_NAMED]
        }
    }

    fn tools_unnamed(&self) -> usize {
        self.tools.len() - self.tools_named().len()
    }
}
