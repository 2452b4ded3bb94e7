use askama::Template;

use super::{assets, filters, render};

/// Makes the first account. Posts `token`, `csrf`, `email` and `password` to `form_action`.
#[derive(Debug, Clone, Copy, Default, Template)]
#[template(path = "setup.html")]
pub struct SetupPage<'a> {
    /// Where the form posts to.
    pub form_action: &'a str,
    /// The setup token of the link.
    pub token: &'a str,
    /// The value of the hidden input `csrf`.
    pub csrf: &'a str,
    /// What was typed before.
    pub email: &'a str,
    /// Why the last attempt failed.
    pub error: Option<&'a str>,
    /// How many characters a password needs, so that the page says what the server will check.
    pub password_characters_min: usize,
}

/// A setup link that opens nothing any more.
#[derive(Debug, Clone, Copy, Default, Template)]
#[template(path = "setup_used.html")]
pub struct SetupUsedPage {
    /// The first account exists: sign in. Otherwise the link has expired or is not ours: get a fresh one.
    pub owner_exists: bool,
}

/// The first-owner page.
pub fn setup(page: &SetupPage<'_>) -> String {
    render(page)
}

/// The page behind a spent, expired or unknown setup link.
pub fn setup_used(page: &SetupUsedPage) -> String {
    render(page)
}
