use askama::Template;

use super::{assets, render};

/// The person has signed out.
#[derive(Debug, Clone, Copy, Default, Template)]
#[template(path = "signed_out.html")]
pub struct SignedOutPage<'a> {
    /// Where to sign in again: `/sign-in`.
    pub sign_in_path: &'a str,
}

/// The signed-out page.
pub fn signed_out(page: &SignedOutPage<'_>) -> String {
    render(page)
}
