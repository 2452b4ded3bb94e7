use std::time::Duration;

use base::{Clock as _, OsRandom, SystemClock};
use domain::ServerSlug;
use oauth::resource_server::{OLDER_CREDENTIAL_LIFETIME, create_credential};

use crate::maintenance::Maintenance;
use crate::terminal::Terminal;

impl Maintenance {
    /// Makes the credential with which an MCP server introspects tokens, and prints it.
    pub(super) async fn server_credential(
        &self,
        slug: Option<&ServerSlug>,
        end_older: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(slug, "SLUG").await?;
        let keep_older = match end_older {
            true => Duration::ZERO,
            false => OLDER_CREDENTIAL_LIFETIME,
        };
        let now = SystemClock.now();
        let made = create_credential(self.store(), now, &OsRandom, &server.slug, keep_older)
            .await?
            .ok_or_else(|| anyhow::anyhow!("the MCP server {} is gone", server.slug))?;
        out.line(format!("{}:{}", made.id, made.secret.expose()));
        let notes = Terminal::stderr();
        notes.line(notes.paint.dim(
            "ID:SECRET for HTTP Basic at the introspection_endpoint of the server's metadata. It is shown this once.",
        ));
        Ok(())
    }
}
