use base::Timestamp;
use http::{StatusCode, Uri};
use serde::Serialize;
use url::form_urlencoded;

use axum::response::Response;
use domain::ServerSlug;

use super::problem::Problem;
use crate::respond;

/// How many things one page holds when nobody says how many.
const PAGE: usize = 50;

/// The most that one page holds.
pub(super) const PAGE_MAX: usize = 200;

/// The longest value of a parameter.
const VALUE_BYTES_MAX: usize = 2048;

/// The parameters of a request, each at most once and each of those that are known.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads them. `known` are those that count here.
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut found: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let shown: String = name.chars().take(60).collect();
            if !known.contains(&&*name) {
                let words = format!(
                    "{} is no parameter here; there are: {}",
                    shown.escape_debug(),
                    known.join(", ")
                );
                return Err(Problem::at(shown, words));
            }
            if found.iter().any(|(other, _)| *other == name) {
                return Err(Problem::at(shown, "it stands there twice"));
            }
            if value.len() > VALUE_BYTES_MAX || value.contains('\0') {
                return Err(Problem::at(
                    shown,
                    "it is too long, or has a character U+0000",
                ));
            }
            found.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(found))
    }

    /// The text of one.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// One that is a whole number from 0 on.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Problem> {
        let read = |text: &str| text.parse().ok().filter(|number| *number >= 0);
        self.text(name)
            .map(|text| read(text).ok_or_else(|| Problem::at(name, "write a whole number")))
            .transpose()
    }

    /// One that is a moment.
    pub(super) fn moment(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let read = |text: &str| text.parse::<jiff::Timestamp>().ok();
        let wrong = || Problem::at(name, "write a time such as 2027-01-31T12:00:00Z");
        let found = self.text(name).map(|text| read(text).ok_or_else(wrong));
        let found = found.transpose()?;
        Ok(found.map(|at| Timestamp::from_unix_ms(at.as_millisecond())))
    }

    /// The slug of an MCP server.
    pub(super) fn server(&self) -> Result<Option<ServerSlug>, Problem> {
        let slug = self.text("server").map(ServerSlug::parse).transpose();
        slug.map_err(|error| Problem::at("server", error.to_string()))
    }

    /// How many things the page is to hold.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.text("limit") else {
            return Ok(PAGE);
        };
        let read = text
            .parse()
            .ok()
            .filter(|limit| (1..=PAGE_MAX).contains(limit));
        read.ok_or_else(|| {
            Problem::at(
                "limit",
                format!("write a whole number from 1 to {PAGE_MAX}"),
            )
        })
    }
}

/// One page of a list.
#[derive(Debug, Serialize)]
struct Page<T> {
    items: Vec<T>,
    /// What `after` is for the next page; nothing when this was the last.
    next: Option<String>,
}

/// Answers with a page: `items` is what was read, one more than `limit` when there are others.
pub(super) fn page<T: Serialize>(
    mut items: Vec<T>,
    limit: usize,
    place: impl Fn(&T) -> String,
) -> Response {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(place);
    respond::json(StatusCode::OK, &Page { items, next })
}

/// A moment for a program: RFC 3339, in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_ms())
        .map(|at| at.to_string())
        .unwrap_or_default()
}
