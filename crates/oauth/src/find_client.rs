use domain::{
    Client, ClientId, ClientRegistration, MetadataDocumentTrust, RegistrationMode, TrustDecision,
};
use wire::oauth::RedirectUriKind;

use crate::client_id_metadata::Age;
use crate::client_id_metadata::url::{DocumentUrl, is_allowed_host};
use crate::registered_redirects::scheme_problem;
use crate::{Authority, Error, ServerContext};

/// The client of this id at this server, in whatever state; none when nobody knows it. An id that is an address is the
/// client that the document there describes.
///
/// # Errors
/// `invalid_client` for a document that this server does not accept; `temporarily_unavailable` for one that does not
/// come now, and while we are out ourselves.
pub(crate) async fn find_client(
    authority: &Authority,
    server: &ServerContext,
    id: &ClientId,
) -> Result<Option<Client>, Error> {
    find(authority, server, id, Age::Bounded).await
}

/// As [`find_client`], for the token endpoint: what was approved goes on while the host of the document is away, however
/// long.
///
/// # Errors
/// As [`find_client`].
pub(crate) async fn find_granted_client(
    authority: &Authority,
    server: &ServerContext,
    id: &ClientId,
) -> Result<Option<Client>, Error> {
    find(authority, server, id, Age::Any).await
}

async fn find(
    authority: &Authority,
    server: &ServerContext,
    id: &ClientId,
    age: Age,
) -> Result<Option<Client>, Error> {
    if id.is_metadata_document() {
        return document_client(authority, server, id, age).await.map(Some);
    }
    Ok(authority
        .store()
        .find_client(&server.server.slug, id)
        .await?)
}

/// Cheap checks first, then the trust of this server, and the fetch last: who is not welcome makes us fetch nothing.
async fn document_client(
    authority: &Authority,
    server: &ServerContext,
    id: &ClientId,
    age: Age,
) -> Result<Client, Error> {
    let settings = &server.server.settings;
    if settings.metadata_documents == MetadataDocumentTrust::Off {
        return Err(Error::invalid_client(match settings.dynamic_registration {
            RegistrationMode::Off => {
                "this server does not accept client ID metadata documents; ask its owner for a client_id"
            }
            _ => "this server does not accept client ID metadata documents; register instead",
        }));
    }
    let url = DocumentUrl::parse(id.as_str())
        .map_err(|problem| Error::invalid_client(format!("client_id {problem}")))?;
    let slug = &server.server.slug;
    let decided = authority.store().find_client_trust(slug, id).await?;
    let mut waiting_since = None;
    match decided.map(|trust| (trust.decision, trust.at)) {
        Some((TrustDecision::Approved, _)) => {}
        Some((TrustDecision::Blocked, _)) => {
            return Err(
                Error::invalid_client("this application is blocked at this server")
                    .because(format!("client {url} is blocked at {slug}")),
            );
        }
        undecided => match &settings.metadata_documents {
            MetadataDocumentTrust::Open => {}
            MetadataDocumentTrust::AllowedHosts(hosts) if is_allowed_host(url.host(), hosts) => {}
            MetadataDocumentTrust::AllowedHosts(_) | MetadataDocumentTrust::Off => {
                return Err(Error::invalid_client(
                    "this server does not accept applications of this host; its owner can allow them",
                )
                .because(format!("the host of {url} is not allowed at {slug}")));
            }
            MetadataDocumentTrust::Ask => {
                waiting_since = Some(undecided.map_or_else(|| authority.now(), |(_, at)| at));
            }
        },
    }
    let (document, since) = authority.client_documents().document(&url, age).await?;
    let redirect_uris: Vec<_> = document
        .redirect_uris
        .iter()
        .filter(|uri| {
            uri.kind() != RedirectUriKind::PrivateUseScheme
                || scheme_problem(settings.native_schemes, uri).is_none()
        })
        .cloned()
        .collect();
    if redirect_uris.is_empty() {
        return Err(Error::invalid_client(
            "the client metadata document has no redirect_uri that this server accepts",
        ));
    }
    Ok(Client {
        id: id.clone(),
        server: slug.clone(),
        name: document.name.clone(),
        redirect_uris,
        registration: ClientRegistration::MetadataDocument,
        authentication: document.authentication.clone(),
        service_scopes: None,
        metadata: document.metadata.clone(),
        // Since when it is the client that people may have approved.
        created_at: since,
        waiting_since,
        disabled_at: None,
    })
}
