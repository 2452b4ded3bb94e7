use domain::{Client, ClientId};

use crate::{Authority, Error, ServerContext};

/// The client of this id at this server, in whatever state; none when nobody knows it.
///
/// # Errors
/// Our own outage.
pub(crate) async fn find_client(
    authority: &Authority,
    server: &ServerContext,
    id: &ClientId,
) -> Result<Option<Client>, Error> {
    Ok(authority
        .store()
        .find_client(&server.server.slug, id)
        .await?)
}
