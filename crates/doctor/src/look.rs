use crate::{Ended, Exchange, Failure};

/// What kind of answer stands where a JSON document should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    /// A JSON object with status 200.
    Document,
    /// Nothing is there.
    Nothing,
    /// It wants somebody to sign in, or refuses.
    Login,
    /// A page for people.
    Page,
    /// Something that is no JSON object.
    NotJson,
    /// The server failed.
    ServerError,
    /// It is elsewhere.
    Redirect(String),
    /// There is no answer, in words.
    NoAnswer(String),
}

impl Look {
    /// What `exchange` answered.
    pub(crate) fn of(exchange: &Exchange) -> Self {
        let answer = match &exchange.answer {
            Ok(answer) => answer,
            Err(Failure::LimitReached(words)) => return Self::NoAnswer(words.clone()),
            Err(failure) => return Self::NoAnswer(failure.words().to_owned()),
        };
        if let Some(place) = exchange.redirects_to() {
            return Self::Redirect(place.to_owned());
        }
        match answer.status.as_u16() {
            401 | 403 | 407 => Self::Login,
            500.. => Self::ServerError,
            200 if answer.ended != Ended::Complete => {
                Self::NoAnswer("the answer has no end that is worth reading to".to_owned())
            }
            200 if exchange.json().is_some_and(|json| json.is_object()) => Self::Document,
            200 if exchange.is_html() => Self::Page,
            200..=299 => Self::NotJson,
            _ => Self::Nothing,
        }
    }
}
