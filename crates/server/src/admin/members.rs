use axum::body::Body;
use axum::extract::Request;
use serde::de::DeserializeOwned;
use wire::mcp::{Json, Limits, Object, parse_strict};

use super::problem::Problem;
use crate::body::{BODY_BYTES_MAX, read_json_of};

/// The longest policy that is taken.
const POLICY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The members of a JSON body, each read once; what is wrong with one names it.
pub(super) struct Members(Object);

impl Members {
    /// Those of a small body.
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        Self::within(request, BODY_BYTES_MAX).await
    }

    /// Those of a body with a policy in it.
    pub(super) async fn with_policy(request: Request) -> Result<Self, Problem> {
        Self::within(request, POLICY_BYTES_MAX).await
    }

    async fn within(request: Request, bytes_max: usize) -> Result<Self, Problem> {
        let (parts, body): (_, Body) = request.into_parts();
        let body = read_json_of(&parts.headers, body, bytes_max).await?;
        let limits = Limits {
            bytes_max,
            ..Limits::default()
        };
        match parse_strict(&body, &limits) {
            Ok(Json::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Problem::at("", "the body is no JSON object")),
            Err(error) => Err(Problem::at("", format!("the body is no JSON: {error}"))),
        }
    }

    /// A member that may be left out.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        let read = value.deserialize();
        read.map(Some).map_err(|error| {
            // Where it stands in a text that nobody sent helps nobody.
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            Problem::at(name, words.to_owned())
        })
    }

    /// A member that must be there.
    pub(super) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Problem> {
        let read = self.optional(name)?;
        read.ok_or_else(|| Problem::at(name, format!("{name} is missing")))
    }

    /// Refuses whatever was not read: it would be believed to count.
    pub(super) fn end(self) -> Result<(), Problem> {
        match self.0.iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.as_str().chars().take(60).collect();
                let words = format!("{} is not known here", name.escape_debug());
                Err(Problem::at(name, words))
            }
        }
    }
}
