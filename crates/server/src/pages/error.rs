use askama::Template;

use super::{assets, filters, render};

/// Something cannot go on, and a redirect would be wrong or impossible.
#[derive(Debug, Clone, Copy, Default, Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    /// What happened, in a few words; also the page's title.
    pub heading: &'a str,
    /// What happened, in a sentence or two.
    pub explanation: &'a str,
    /// What was compared: a label, and a text that a stranger may have chosen.
    pub details: &'a [(&'static str, String)],
    /// What the reader can do now; may be empty.
    pub what_to_do: &'a str,
    /// Finds the reason in the log; may be empty.
    pub correlation_id: &'a str,
}

/// The error page.
pub fn error(page: &ErrorPage<'_>) -> String {
    render(page)
}
