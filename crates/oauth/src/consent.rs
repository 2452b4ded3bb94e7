use std::time::Duration;

use authz::{Entry, Requirement, Risk};
use base::{Digest, Timestamp, base64url};
use domain::{
    AuditEvent, AuditEventKind, AuthMethod, AuthorizationCode, Client, Consent, GrantId,
    WithheldReason, WithheldScope,
};
use store::InsertCode;
use wire::oauth::{RedirectUriKind, Scope, ScopeSet};

use crate::authorize::{self, Refusal};
use crate::client_identity::ClientProof;
use crate::look_alike::NameCaution;
use crate::master_key::mac_of_parts;
use crate::session::SignedIn;
use crate::standing::Standing;
use crate::{Authority, AuthorizationRequest, Error, SealedRequest, ServerContext};
use crate::{answer, token_text};

/// How long a code may lie before it is exchanged.
const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// The same for a code that a person carries by hand to a program on another computer.
const CODE_LIFETIME_BY_HAND: Duration = Duration::from_secs(5 * 60);

/// What a person is asked, in the words of the policy.
#[derive(Debug)]
pub struct Question {
    /// The client that asks.
    pub client: Client,
    /// What stands behind its word that it is who it says.
    pub proof: ClientProof,
    /// Why its name deserves a warning.
    pub name_caution: Option<NameCaution>,
    /// Whom the client expected instead of this person.
    pub expected_email: Option<String>,
    /// What it asks for, in the policy's order.
    pub scopes: Vec<AskedScope>,
    /// Of these, what this person may not have through this client as things are. It is approved all the same: when it
    /// is given to them, the client gets it without another question.
    pub withheld: Vec<WithheldScope>,
    /// When this person last approved this client at this return address.
    pub approved_before: Option<Timestamp>,
    /// Nothing has to be asked: see [`crate::next_step::NextStep::GoOn`].
    pub(crate) goes_on: bool,
}

/// What a person decided on the consent page.
#[derive(Debug, Clone, Copy)]
pub struct Approval<'a> {
    /// The boxes that were left ticked.
    pub ticked: &'a ScopeSet,
    /// They carry the code themselves, since this browser cannot reach the client.
    pub by_hand: bool,
}

/// One scope that is asked for.
#[derive(Debug)]
pub struct AskedScope {
    /// Its name.
    pub name: Scope,
    /// Its words.
    pub title: String,
    /// Its risk.
    pub risk: Risk,
    /// The tools, prompts and resources behind it: title and description.
    pub opens: Vec<(String, String)>,
    /// Whether this person approved it for this client before.
    pub approved_before: bool,
}

/// An answer on its way back to the client.
pub struct Answer {
    /// The whole address, with code or error.
    pub address: String,
    /// Who is at the other end.
    pub kind: RedirectUriKind,
    /// The client's name.
    pub client_name: String,
    /// What was approved; empty after a refusal.
    pub scopes: ScopeSet,
    /// After a no, the host (or the scheme) of an address that nobody vouches for: the person is not sent there unless
    /// they want to.
    pub unknown_host: Option<String>,
}

/// Without the address: a code is in it.
impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Answer")
            .field("kind", &self.kind)
            .field("client_name", &self.client_name)
            .field("scopes", &self.scopes)
            .field("unknown_host", &self.unknown_host)
            .finish_non_exhaustive()
    }
}

/// What to ask the person about `request`. Writes nothing.
///
/// # Errors
/// A page, when the client is not what it was when the request was validated.
pub async fn question(
    authority: &Authority,
    server: &ServerContext,
    request: &AuthorizationRequest,
    signed_in: &SignedIn,
) -> Result<Question, Refusal> {
    let client = client_still_good(authority, server, request).await?;
    let before = consent_before(authority, server, request, &client, signed_in).await?;
    let proof = ClientProof::of(&client, &request.redirect_uri);
    let goes_on = goes_on(request, &proof, before.as_ref(), signed_in);
    let standing = standing(authority, server, request, &client, &proof, signed_in).await?;
    let policy = &server.server.policy;
    let entries: Vec<&Entry> = policy
        .tools
        .values()
        .chain(policy.prompts.values())
        .chain(policy.resources.values())
        .chain(policy.resource_templates.values())
        // What nobody can call is no reason to say yes.
        .filter(|entry| entry.state.is_accepted())
        .collect();
    let scopes = policy
        .scopes
        .iter()
        .filter(|declared| request.scopes.contains(&declared.name))
        .map(|declared| {
            let mut covered = declared.implies.clone();
            covered.insert(declared.name.clone());
            AskedScope {
                name: declared.name.clone(),
                title: declared.title.clone(),
                risk: declared.risk,
                opens: entries
                    .iter()
                    .filter(|entry| needs_any(&entry.requirement, &covered))
                    .map(|entry| (entry.title.clone(), entry.description.clone()))
                    .collect(),
                approved_before: before
                    .as_ref()
                    .is_some_and(|consent| consent.scopes.contains(&declared.name)),
            }
        })
        .collect();
    Ok(Question {
        name_caution: NameCaution::of(&client, &request.redirect_uri, &proof),
        client,
        proof,
        expected_email: request
            .login_hint
            .clone()
            .filter(|_| request.expects_other_than(signed_in)),
        scopes,
        withheld: standing.withheld(server, &request.scopes),
        approved_before: before.map(|consent| consent.approved_at),
        goes_on,
    })
}

/// Whether the same was approved before, for a client that only itself can receive the answer. Asked again whenever
/// anything grew or differs: a consent is kept by person, MCP server, client and return address.
///
/// Spec: RFC 8252 section 8.6; OAuth 2.1 section 7.3.1.
fn goes_on(
    request: &AuthorizationRequest,
    proof: &ClientProof,
    before: Option<&Consent>,
    signed_in: &SignedIn,
) -> bool {
    !request.prompt.ask
        && !request.expects_other_than(signed_in)
        && proof.holds_next_time(&request.redirect_uri)
        && before.is_some_and(|consent| request.scopes.is_subset(&consent.scopes))
}

/// Records that the person approved `ticked`, and makes the code that says so.
///
/// The code is computed from the sealed request and the session, so a form that is submitted twice gives the same
/// code, one row and one approval: the first one's.
///
/// # Errors
/// A page: the sign-in is not recent enough, the client is gone, or this request was completed before.
pub async fn approve(
    authority: &Authority,
    server: &ServerContext,
    sealed: &SealedRequest,
    signed_in: &SignedIn,
    approval: Approval<'_>,
) -> Result<Answer, Refusal> {
    let request = &sealed.request;
    let client = client_still_good(authority, server, request).await?;
    let before = consent_before(authority, server, request, &client, signed_in).await?;
    complete(
        authority, server, sealed, signed_in, approval, client, before,
    )
    .await
}

/// Makes a code for what was approved before, if nothing has to be asked; none when the person has to be asked after
/// all.
///
/// # Errors
/// As [`approve`].
pub async fn go_on(
    authority: &Authority,
    server: &ServerContext,
    sealed: &SealedRequest,
    signed_in: &SignedIn,
) -> Result<Option<Answer>, Refusal> {
    let request = &sealed.request;
    let client = client_still_good(authority, server, request).await?;
    let before = consent_before(authority, server, request, &client, signed_in).await?;
    let proof = ClientProof::of(&client, &request.redirect_uri);
    if !goes_on(request, &proof, before.as_ref(), signed_in) {
        return Ok(None);
    }
    let approval = Approval {
        ticked: &request.scopes,
        by_hand: false,
    };
    complete(
        authority, server, sealed, signed_in, approval, client, before,
    )
    .await
    .map(Some)
}

async fn complete(
    authority: &Authority,
    server: &ServerContext,
    sealed: &SealedRequest,
    signed_in: &SignedIn,
    approval: Approval<'_>,
    client: Client,
    before: Option<Consent>,
) -> Result<Answer, Refusal> {
    let now = authority.now();
    let request = &sealed.request;
    if !request.is_satisfied_by(signed_in) {
        return Err(Refusal::page(
            Error::login_required("the application asked for a fresh sign-in"),
            "Go back to the application and start the sign-in again.",
        ));
    }
    // The form only ever narrows what was validated; a name added to it counts for nothing.
    let scopes = approval
        .ticked
        .intersection(&request.scopes)
        .intersection(&server.declared_scopes);
    let lifetime = if approval.by_hand {
        CODE_LIFETIME_BY_HAND
    } else {
        CODE_LIFETIME
    };
    let consent = Consent {
        user: signed_in.user.id.clone(),
        server: server.server.slug.clone(),
        client: client.id.clone(),
        redirect_uri: request.redirect_uri.as_str().to_owned(),
        // What was asked now is as it was answered now: something unticked is not given by itself the next time.
        scopes: before
            .map_or_else(ScopeSet::new, |consent| consent.scopes)
            .difference(&request.scopes)
            .union(&scopes),
        approved_at: now,
    };
    authority
        .client_documents()
        .keep(&client)
        .await
        .map_err(Error::from)?;
    let text = code_text(authority, sealed, signed_in);
    let digest = Digest::of(&text);
    let code = AuthorizationCode {
        digest,
        server: consent.server.clone(),
        client: client.id.clone(),
        user: consent.user.clone(),
        session: signed_in.session.id.clone(),
        redirect_uri: consent.redirect_uri.clone(),
        code_challenge: request.challenge()?,
        scopes: scopes.clone(),
        withheld: withheld(server, request, &scopes),
        authenticated_at: signed_in.session.authenticated_at,
        grant: GrantId::at(now, authority.random()),
        issued_at: now,
        expires_at: now.after(lifetime),
        redeemed_at: None,
    };
    let event = AuditEvent {
        grant: Some(code.grant.clone()),
        ..event(AuditEventKind::ConsentGiven, request, signed_in, now)
    };
    let inserted = authority
        .store()
        .insert_code(
            code,
            consent,
            AuditEvent {
                detail: scopes.to_string(),
                ..event
            },
        )
        .await
        .map_err(Error::from)?;
    let scopes = match inserted {
        InsertCode::Inserted => scopes,
        InsertCode::AlreadyThere => first_approval(authority, &digest, now).await?,
        InsertCode::AlreadyRedeemed => return Err(completed_before()),
    };
    Ok(Answer {
        address: answer::success(server, request, &text),
        kind: request.redirect_uri.kind(),
        client_name: client.name,
        scopes,
        unknown_host: None,
    })
}

/// Records that the person said no, and makes the address that tells the client. Whether the browser goes there by
/// itself is decided as for every other error: anybody can register an address, and a no is no wish to go there.
///
/// # Errors
/// A page, when the client is not what it was.
///
/// Spec: RFC 6749 section 4.1.2.1, `access_denied`; RFC 9700 section 4.11.2.
pub async fn deny(
    authority: &Authority,
    server: &ServerContext,
    request: &AuthorizationRequest,
    signed_in: &SignedIn,
) -> Result<Answer, Refusal> {
    let client = client_still_good(authority, server, request).await?;
    let event = event(
        AuditEventKind::ConsentRefused,
        request,
        signed_in,
        authority.now(),
    );
    // Before the no is recorded, for that takes the earlier yes back.
    let user = Some(&signed_in.user.id);
    let is_known = authorize::may_be_told(authority, &client, &request.redirect_uri, user).await?;
    // An earlier yes does not outlive it: the next request is asked about.
    authority
        .store()
        .withdraw_consent(&client.id, request.redirect_uri.as_str(), event)
        .await
        .map_err(Error::from)?;
    let error = Error::access_denied("the person did not approve");
    Ok(Answer {
        address: answer::failure(
            server,
            &request.redirect_uri,
            request.state.as_deref(),
            &error,
        ),
        kind: request.redirect_uri.kind(),
        client_name: client.name,
        scopes: ScopeSet::new(),
        unknown_host: (!is_known).then(|| request.redirect_uri.display_host()),
    })
}

/// Between the sealing and now the client may have been disabled or its addresses changed.
async fn client_still_good(
    authority: &Authority,
    server: &ServerContext,
    request: &AuthorizationRequest,
) -> Result<Client, Refusal> {
    let client = authorize::find_enabled_client(authority, server, &request.client).await?;
    if client.waiting_since.is_some() {
        return Err(Refusal::Waiting {
            error: Error::access_denied("an owner has to allow this application first"),
            client: Box::new(client),
        });
    }
    if client
        .accepted_redirect_uri(&request.redirect_uri)
        .is_none()
    {
        return Err(Refusal::page(
            Error::invalid_request("redirect_uri is not registered any more"),
            "Go back to the application and start the sign-in again.",
        ));
    }
    Ok(client)
}

async fn standing(
    authority: &Authority,
    server: &ServerContext,
    request: &AuthorizationRequest,
    client: &Client,
    proof: &ClientProof,
    signed_in: &SignedIn,
) -> Result<Standing, Refusal> {
    let user = signed_in.user.id.as_str();
    // Whoever must prove themselves at the token endpoint gets nothing otherwise.
    let will_prove = !client.authentication.accepts(AuthMethod::None);
    let proven = will_prove || matches!(proof, ClientProof::Host(_));
    Ok(Standing::of(authority, server, user, &request.client, proven).await?)
}

async fn consent_before(
    authority: &Authority,
    server: &ServerContext,
    request: &AuthorizationRequest,
    client: &Client,
    signed_in: &SignedIn,
) -> Result<Option<Consent>, Refusal> {
    let found = authority
        .store()
        .find_consent(
            &signed_in.user.id,
            &server.server.slug,
            &request.client,
            request.redirect_uri.as_str(),
        )
        .await
        .map_err(Error::from)?;
    // A client whose document says something else since then is not the one that was approved.
    Ok(found.filter(|consent| consent.approved_at >= client.created_at))
}

fn code_text(authority: &Authority, sealed: &SealedRequest, signed_in: &SignedIn) -> String {
    let mac = mac_of_parts(
        &authority.subkeys().authorization_code,
        &[
            Digest::of(&sealed.text).as_bytes(),
            signed_in.session.id.as_str().as_bytes(),
        ],
    );
    format!("{}{}", token_text::CODE, base64url(mac))
}

/// The same form came again. While the code lives the answer is the same; afterwards a code would only puzzle the
/// client.
async fn first_approval(
    authority: &Authority,
    digest: &Digest,
    now: Timestamp,
) -> Result<ScopeSet, Refusal> {
    let found = authority
        .store()
        .find_code(*digest)
        .await
        .map_err(Error::from)?;
    match found {
        Some(state) if state.code.redeemed_at.is_none() && now < state.code.expires_at => {
            Ok(state.code.scopes)
        }
        _ => Err(completed_before()),
    }
}

fn completed_before() -> Refusal {
    Refusal::page(
        Error::invalid_request("this sign-in was completed before"),
        "If the application does not work yet, go back to it and start the sign-in again.",
    )
}

/// What was asked for and is not granted, with the reason: introspection shows it.
fn withheld(
    server: &ServerContext,
    request: &AuthorizationRequest,
    granted: &ScopeSet,
) -> Vec<WithheldScope> {
    let unknown = request.unknown_scopes.iter();
    let asked = request.scopes.iter();
    asked
        .filter(|scope| !granted.contains(scope))
        .map(|scope| {
            let reason = if server.declared_scopes.contains(scope) {
                WithheldReason::NotApproved
            } else {
                WithheldReason::RemovedSince
            };
            (scope, reason)
        })
        .chain(unknown.map(|scope| (scope, WithheldReason::Unknown)))
        .map(|(scope, reason)| WithheldScope {
            scope: scope.clone(),
            reason,
        })
        .collect()
}

fn needs_any(requirement: &Requirement, scopes: &ScopeSet) -> bool {
    match requirement {
        Requirement::AnyOf(sets) => sets
            .iter()
            .any(|set| set.iter().any(|scope| scopes.contains(scope))),
        Requirement::Public | Requirement::Denied => false,
    }
}

fn event(
    kind: AuditEventKind,
    request: &AuthorizationRequest,
    signed_in: &SignedIn,
    now: Timestamp,
) -> AuditEvent {
    AuditEvent {
        at: now,
        kind,
        server: Some(request.server.clone()),
        user: Some(signed_in.user.id.clone()),
        client: Some(request.client.clone()),
        grant: None,
        detail: String::new(),
    }
}
