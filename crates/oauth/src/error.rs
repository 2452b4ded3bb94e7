use std::borrow::Cow;
use std::time::Duration;

use wire::oauth::ErrorCode;

/// An OAuth error on its way out: the standard code, a sentence that is safe to show, and a cause for the log alone.
#[derive(Debug)]
pub struct Error {
    code: ErrorCode,
    description: Cow<'static, str>,
    cause: Option<String>,
    retry_after: Option<Duration>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $code:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(description: impl Into<Cow<'static, str>>) -> Self {
                Self::new(ErrorCode::$code, description)
            }
        )*
    };
}

impl Error {
    constructors! {
        /// The request is malformed; the description names the parameter.
        invalid_request => InvalidRequest;
        /// The client is unknown here, or did not prove who it is.
        invalid_client => InvalidClient;
        /// The code or refresh token is no good, for whatever reason.
        invalid_grant => InvalidGrant;
        /// This client may not do this.
        unauthorized_client => UnauthorizedClient;
        /// There is no such grant type here.
        unsupported_grant_type => UnsupportedGrantType;
        /// There is no such response type here.
        unsupported_response_type => UnsupportedResponseType;
        /// None of the scopes asked for can be given.
        invalid_scope => InvalidScope;
        /// The person, or a rule, said no.
        access_denied => AccessDenied;
        /// The `resource` is not this server's.
        invalid_target => InvalidTarget;
        /// None of the redirect URIs can be registered.
        invalid_redirect_uri => InvalidRedirectUri;
        /// A member of a registration is malformed; the description names it.
        invalid_client_metadata => InvalidClientMetadata;
        /// `prompt=none`, and nobody is signed in.
        login_required => LoginRequired;
        /// `prompt=none`, and a person has to approve.
        consent_required => ConsentRequired;
    }

    /// Anything unexpected. The cause is for the log alone.
    pub fn server_error(cause: impl std::fmt::Display) -> Self {
        Self::new(
            ErrorCode::ServerError,
            "something went wrong on our side; the correlation id finds the reason in the log",
        )
        .because(cause)
    }

    /// We are too busy, or something we need is away for a moment.
    pub fn temporarily_unavailable(retry_after: Duration, cause: impl std::fmt::Display) -> Self {
        let mut error = Self::new(
            ErrorCode::TemporarilyUnavailable,
            "too busy at the moment; try again shortly",
        )
        .because(cause);
        error.retry_after = Some(retry_after);
        error
    }

    fn new(code: ErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            description: describing(description.into()),
            cause: None,
            retry_after: None,
        }
    }

    /// Adds what the log should say and the client should not be told.
    #[must_use]
    pub fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Says something else than the usual sentence of its code.
    #[must_use]
    pub(crate) fn saying(mut self, description: &'static str) -> Self {
        self.description = describing(description.into());
        self
    }

    /// The standard code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// One sentence, safe to show to anybody.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What happened, for the log alone.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// When it makes sense to try again, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// RFC 6749 section 5.2 permits printable ASCII without quote and backslash; some clients refuse a whole answer over one
/// character more.
fn describing(text: Cow<'static, str>) -> Cow<'static, str> {
    let permitted =
        |character: char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
    if text.chars().all(permitted) {
        return text;
    }
    let mut described = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => described.push('\''),
            '…' => described.push_str("..."),
            character if permitted(character) => described.push(character),
            _ => described.push('?'),
        }
    }
    described.into()
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code, self.description)
    }
}

impl std::error::Error for Error {}

impl From<store::StoreError> for Error {
    fn from(error: store::StoreError) -> Self {
        use store::StoreError as Cause;
        match error {
            Cause::Busy | Cause::Unavailable(_) => {
                Self::temporarily_unavailable(Duration::from_secs(1), error)
            }
            Cause::NulCharacter(field) => {
                Self::invalid_request(format!("{field} must not contain U+0000"))
            }
            other => Self::server_error(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn a_description_is_of_the_characters_of_rfc_6749_section_5_2() {
        let error = Error::invalid_request("parameter \"a\\b\" has \u{e4}\r\n…");
        assert_eq!(error.description(), "parameter 'a'b' has ???...");
        let error = Error::invalid_request("~ plain !#[]");
        assert_eq!(error.description(), "~ plain !#[]");
    }
}
