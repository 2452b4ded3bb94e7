//! What a person sees in a browser: plain functions from a view to the whole HTML text. No I/O, and no script but the
//! one that presses the button of [`going_on`].
//!
//! Templates are in `crates/server/templates`, the stylesheet and drawings in `crates/server/assets`. Everything a
//! stranger may have chosen (a client's name, a tool's title) goes through the `plain` filter of [`text`] and stands in
//! a `<bdi>`, so that it can neither reorder, hide nor push away the words around it.

pub mod assets;
mod consent;
mod error;
mod filters;
mod going_on;
mod home;
mod returning;
mod setup;
mod sign_in;
mod signed_out;
pub mod text;
mod tokens;
mod waiting;

#[cfg(test)]
mod tests;

pub use consent::{ClientStanding, ConsentPage, ConsentScope, ConsentTool, consent};
pub use error::{ErrorPage, error};
pub use going_on::{GoingOnPage, going_on};
pub use home::{ConnectLine, HomePage, HomeServer, WaitingClient, home};
pub use returning::{ReturningPage, returning};
pub use setup::{SetupPage, SetupUsedPage, setup, setup_used};
pub use sign_in::{SignInPage, sign_in};
pub use signed_out::{SignedOutPage, signed_out};
pub use tokens::{TokenLine, TokenMadePage, TokenServer, TokensPage, token_made, tokens};
pub use waiting::{AskForm, WaitingPage, waiting};

/// The `Content-Security-Policy` that every page here is written for.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The same for the page of [`going_on`], whose script is a file of our own.
pub const CONTENT_SECURITY_POLICY_GOING_ON: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Renders a template of this folder.
fn render(template: &impl askama::Template) -> String {
    template
        .render()
        .expect("writing text and numbers into a String cannot fail")
}
