//! `portcullis service-tokens`.

use std::time::Duration;

use anyhow::Context as _;
use base::{Clock as _, OsRandom, SystemClock};
use clap::Subcommand;
use domain::{EmailAddress, ServerSlug, ServiceToken, ServiceTokenId, User};
use oauth::service_tokens::{self, NewServiceToken, Revoker, ServiceTokenFilter};
use wire::oauth::Scope;

use crate::failure::usage;
use crate::id_list::IdList;
use crate::maintenance::{Maintenance, date};
use crate::period::Period;
use crate::terminal::{Terminal, plain};

/// What `service-tokens` does.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A machine sends its token as `Authorization: Bearer pct_…` to the MCP URL; the gateway exchanges it inside.

Example:
  portcullis service-tokens create --name 'nightly build' --scope todo:read --expires 90d")]
pub enum ServiceTokensCommand {
    /// Make a token for a machine that cannot do OAuth, and print it: it is shown this once
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it may do. Repeatable
        #[arg(long, value_name = "SCOPE", required = true, value_parser = Scope::parse)]
        scope: Vec<Scope>,
        /// When it ends, such as 90d; at most 366d
        #[arg(long, value_name = "TIME", value_parser = Period::parse)]
        expires: Period,
        /// The person whose rights it has [default: it stands for itself]
        #[arg(long, value_name = "EMAIL", value_parser = EmailAddress::parse)]
        user: Option<EmailAddress>,
        /// The MCP server it is good for [default: the only one]
        #[arg(long, value_name = "SLUG", value_parser = ServerSlug::parse)]
        server: Option<ServerSlug>,
    },
    /// List the tokens; those that ended stay in sight for 90 days
    List {
        /// Those of one MCP server [default: of all]
        #[arg(long, value_name = "SLUG", value_parser = ServerSlug::parse)]
        server: Option<ServerSlug>,
    },
    /// End a token, everywhere within a second
    Revoke {
        /// Its id, as `list` shows it
        id: String,
    },
}

impl Maintenance {
    /// Runs `portcullis service-tokens`.
    ///
    /// # Errors
    /// In words, when a token cannot be made or is not there.
    pub async fn service_tokens(
        &self,
        command: ServiceTokensCommand,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        match command {
            ServiceTokensCommand::Create {
                name,
                scope,
                expires,
                user,
                server,
            } => {
                let server = self.server(server.as_ref(), "--server").await?;
                let user = match &user {
                    Some(email) => Some(self.live_user(email).await?),
                    None => None,
                };
                let scopes = scope.into_iter().collect();
                let new = NewServiceToken {
                    server: &server,
                    owner: user.as_ref().map(|user| &user.id),
                    name: &name,
                    scopes: &scopes,
                    lifetime: Duration::from_secs(expires.seconds()),
                };
                let now = SystemClock.now();
                let made = service_tokens::create(self.store(), now, &OsRandom, new, None)
                    .await
                    .context("service-tokens create")?;
                // Nothing but the token, so that it can be piped to where it belongs.
                out.line(made.text.expose());
                Ok(())
            }
            ServiceTokensCommand::List { server } => {
                self.list_service_tokens(server.as_ref(), out).await
            }
            ServiceTokensCommand::Revoke { id } => {
                let id = ServiceTokenId::from_text(id);
                let now = SystemClock.now();
                if !service_tokens::revoke(self.store(), now, &id, Revoker::Admin).await? {
                    return Err(usage(format!(
                        "{}: there is no such token, or it was revoked before; `portcullis service-tokens list` shows them",
                        plain(id.as_str(), 60)
                    )));
                }
                out.line(format!("{id} is revoked"));
                Ok(())
            }
        }
    }

    async fn live_user(&self, email: &EmailAddress) -> anyhow::Result<User> {
        let user = self.store().find_user_by_email(email).await?;
        user.filter(|user| user.disabled_at.is_none())
            .ok_or_else(|| {
                usage(format!(
                    "--user {email}: nobody with this address may sign in"
                ))
            })
    }

    async fn list_service_tokens(
        &self,
        server: Option<&ServerSlug>,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let filter = ServiceTokenFilter {
            server,
            owner: None,
        };
        let now = SystemClock.now();
        let heads = ["ID", "NAME", "SERVER", "FOR", "SCOPES", "ENDS", "STATE"];
        let mut list = IdList::new(out, &heads);
        for token in service_tokens::list(self.store(), filter).await? {
            list.add([
                token.id.to_string(),
                plain(&token.name, 60),
                token.server.to_string(),
                self.owner(&token).await?,
                token.scopes.to_string(),
                date(token.expires_at),
                match (token.revoked_at, token.is_live(now)) {
                    (Some(_), _) => "revoked",
                    (None, true) => "good",
                    (None, false) => "expired",
                }
                .to_owned(),
            ]);
        }
        list.show();
        Ok(())
    }

    async fn owner(&self, token: &ServiceToken) -> anyhow::Result<String> {
        let Some(id) = &token.user else {
            return Ok("itself".to_owned());
        };
        let user = self.store().find_user(id).await?;
        Ok(user.map_or_else(|| id.to_string(), |user| user.email.to_string()))
    }
}
