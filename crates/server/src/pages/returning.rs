use askama::Template;
use url::Url;
use wire::oauth::RedirectUriKind;

use super::{assets, filters, render, text};

/// Leads back to the client. A 200 page and no redirect, because Chromium's `form-action` covers the whole chain that a
/// form submission starts, and because a custom scheme or a remote terminal may need the person's help.
#[derive(Debug, Clone, Copy, Template)]
#[template(path = "returning.html")]
pub struct ReturningPage<'a> {
    /// What the client calls itself.
    pub client_name: &'a str,
    /// The redirect URI with the answer in it.
    pub url: &'a str,
    /// What kind of address it is.
    pub kind: RedirectUriKind,
    /// The person said no (or the answer is another error for the client).
    pub denied: bool,
    /// The person carries the code themselves: nothing is opened.
    pub by_hand: bool,
    /// The host of an address that nobody vouches for: there is a way to it, and nothing is opened.
    pub unknown_host: Option<&'a str>,
}

/// The page that returns to the client.
pub fn returning(page: &ReturningPage<'_>) -> String {
    render(page)
}

impl ReturningPage<'_> {
    fn app(&self) -> String {
        let name = text::plain(self.client_name, 60);
        if name.is_empty() {
            "the app".to_owned()
        } else {
            name
        }
    }

    /// The code alone, for clients that ask for no more than that.
    fn code(&self) -> Option<String> {
        let url = Url::parse(self.url).ok()?;
        let (_, code) = url.query_pairs().find(|(name, _)| name == "code")?;
        Some(code.into_owned())
    }

    /// The address as it may stand between single quotes in a shell.
    fn shell_url(&self) -> String {
        self.url.replace('\'', "%27")
    }

    fn goes_by_itself(&self) -> bool {
        self.is_openable() && !self.by_hand && self.unknown_host.is_none()
    }

    /// Registration refuses such schemes long before; a link is where a slip there would become a script.
    fn is_openable(&self) -> bool {
        let scheme = self.url.split(':').next().unwrap_or_default();
        !self
            .url
            .chars()
            .any(|c| c.is_control() || c.is_whitespace())
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            && self.url.len() > scheme.len()
            && !matches!(
                scheme.to_ascii_lowercase().as_str(),
                "javascript"
                    | "data"
                    | "vbscript"
                    | "blob"
                    | "file"
                    | "about"
                    | "view-source"
                    | "filesystem"
            )
    }

    fn is_loopback(&self) -> bool {
        self.kind == RedirectUriKind::Loopback
    }

    fn is_private_use(&self) -> bool {
        self.kind == RedirectUriKind::PrivateUseScheme
    }
}
