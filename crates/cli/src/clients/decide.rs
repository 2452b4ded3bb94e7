use base::{Clock as _, OsRandom, SystemClock};
use domain::{AuthMethod, ClientId};
use oauth::client_decision::{ClientDecision, Decided, decide};
use oauth::client_secret;

use super::command::OneClient;
use crate::failure::usage;
use crate::maintenance::Maintenance;
use crate::terminal::{Terminal, plain};

impl Maintenance {
    pub(super) async fn decide_client(
        &self,
        one: OneClient,
        decision: ClientDecision,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let found = self.one_client(one).await?;
        let now = SystemClock.now();
        let decided = decide(self.store(), now, &found.server, &found.id, decision, None).await?;
        let name = found.name();
        match decided {
            // A document stays where it is; only what was decided about it can be forgotten.
            Decided::Done { .. }
                if found.client.is_none() && decision == ClientDecision::Forget =>
            {
                out.line(format!(
                    "{name} is undecided again: the server's setting counts"
                ));
            }
            Decided::Done { ended } => out.line(format!("{name} {}", done(decision, ended))),
            Decided::Unchanged => out.line(format!("{name} {}", unchanged(decision))),
        }
        Ok(())
    }

    pub(super) async fn rotate_client_secret(
        &self,
        one: OneClient,
        end_older: bool,
        out: &Terminal,
        words: &Terminal,
    ) -> anyhow::Result<()> {
        let found = self.one_client(one).await?;
        let Some(client) = found
            .client
            .as_ref()
            .filter(|client| client.authentication.accepts(AuthMethod::ClientSecret))
        else {
            return Err(usage(format!(
                "{} has no secret; add one that has with `portcullis clients add --secret`",
                found.name()
            )));
        };
        let keep = match end_older {
            true => std::time::Duration::ZERO,
            false => client_secret::OLDER_SECRET_LIFETIME,
        };
        let now = SystemClock.now();
        match client_secret::rotate(self.store(), now, &OsRandom, client, keep).await? {
            Some(secret) => out.line(secret.expose()),
            None => return Err(usage(format!("{} was forgotten meanwhile", found.name()))),
        }
        words.line(match end_older {
            true => "Every older secret has ended.",
            false => "The secret before it goes on working for 7 days; one before that has ended.",
        });
        Ok(())
    }
}

fn done(decision: ClientDecision, ended: u64) -> String {
    let sign_ins = match ended {
        0 => "nobody was signed in with it".to_owned(),
        1 => "1 sign-in ended".to_owned(),
        many => format!("{many} sign-ins ended"),
    };
    match decision {
        ClientDecision::Approve => "is approved: people can use it now".to_owned(),
        ClientDecision::Block => format!("is blocked: it is refused everywhere now; {sign_ins}"),
        ClientDecision::Unblock => "is let in again; people sign in once more".to_owned(),
        ClientDecision::Forget => format!("is forgotten; {sign_ins}"),
    }
}

fn unchanged(decision: ClientDecision) -> &'static str {
    match decision {
        ClientDecision::Approve => "did not wait for anybody; nothing changed",
        ClientDecision::Block => "was blocked before; nothing changed",
        ClientDecision::Unblock => "was not blocked; nothing changed",
        ClientDecision::Forget => "was not there any more; nothing changed",
    }
}

/// `cli_… (Claude Code)`.
pub(super) fn named(id: &ClientId, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{} ({})", plain(id.as_str(), 200), plain(name, 60)),
        None => plain(id.as_str(), 200),
    }
}
