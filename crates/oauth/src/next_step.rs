use crate::authorize::{self, Refusal};
use crate::consent::{self, Question};
use crate::session::SignedIn;
use crate::{Authority, AuthorizationRequest, Error, ServerContext};

/// What comes next for a validated request.
#[derive(Debug)]
pub enum NextStep {
    /// The person signs in, or signs in again.
    SignIn,
    /// The person is asked.
    Ask(Box<Question>),
    /// The person has approved the same before, for a client that cannot be anybody else: nothing is asked.
    GoOn(Box<Question>),
}

/// What comes next. Writes nothing.
///
/// # Errors
/// A page, when the client is not what it was; for `prompt=none`, an answer for the client where a person would have
/// to act.
///
/// Spec: OpenID Connect Core section 3.1.2.6.
pub async fn next_step(
    authority: &Authority,
    server: &ServerContext,
    request: &AuthorizationRequest,
    signed_in: Option<&SignedIn>,
) -> Result<NextStep, Refusal> {
    let signed_in = signed_in.filter(|signed_in| request.is_satisfied_by(signed_in));
    let (step, needed) = match signed_in {
        None => {
            let needed = Error::login_required("nobody is signed in");
            (NextStep::SignIn, Some(needed))
        }
        Some(signed_in) => {
            let question = consent::question(authority, server, request, signed_in).await?;
            if question.goes_on {
                (NextStep::GoOn(Box::new(question)), None)
            } else {
                let needed = Error::consent_required("the person has to approve");
                (NextStep::Ask(Box::new(question)), Some(needed))
            }
        }
    };
    match needed {
        Some(error) if request.prompt.none => {
            let client = authorize::find_enabled_client(authority, server, &request.client).await?;
            let user = signed_in.map(|signed_in| &signed_in.user.id);
            let state = request.state.as_deref();
            let uri = &request.redirect_uri;
            Err(authorize::tell(authority, server, &client, uri, state, user, error).await)
        }
        _ => Ok(step),
    }
}
