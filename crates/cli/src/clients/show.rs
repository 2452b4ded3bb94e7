use base::{Clock as _, SystemClock};
use domain::{AuthMethod, Client, ClientKeys, ClientRegistration, TrustDecision};
use known_clients::KnownClient;
use wire::oauth::RedirectUriKind;

use super::Found;
use super::command::OneClient;
use crate::maintenance::{Maintenance, date};
use crate::terminal::{Terminal, plain};

impl Maintenance {
    pub(super) async fn show_client(&self, one: OneClient, out: &Terminal) -> anyhow::Result<()> {
        let found = self.one_client(one).await?;
        out.line(out.paint.bold(found.name()));
        let mut lines = Lines::default();
        lines.add("server", found.server.slug.to_string());
        match &found.client {
            Some(client) => registered(&mut lines, client),
            None => documented(&mut lines, &found),
        }
        if let Some((known, proof)) = known(&found) {
            lines.add(
                "known as",
                format!("{} by {}, {proof}", known.name, known.maker),
            );
            if let Some(note) = &known.note {
                lines.add("", note.clone());
            }
        }
        let now = SystemClock.now();
        let usage = self
            .store()
            .client_usage(&found.server.slug, &found.id, now)
            .await?;
        lines.add(
            "in use",
            match (usage.live_families, usage.approved_at) {
                (_, None) if usage.live_families == 0 => "nobody has approved it".to_owned(),
                (families, approved_at) => format!(
                    "{families} {} of {} {}{}",
                    if families == 1 { "sign-in" } else { "sign-ins" },
                    usage.people,
                    if usage.people == 1 {
                        "person"
                    } else {
                        "people"
                    },
                    approved_at
                        .map_or_else(String::new, |at| format!(", last approved {}", date(at)))
                ),
            },
        );
        lines.print(out);
        Ok(())
    }
}

fn registered(lines: &mut Lines, client: &Client) {
    lines.add(
        "how",
        match client.registration {
            ClientRegistration::Dynamic => format!("registered itself {}", date(client.created_at)),
            ClientRegistration::PreRegistered => format!("added {}", date(client.created_at)),
            ClientRegistration::MetadataDocument => "has a metadata document".to_owned(),
        },
    );
    lines.add(
        "state",
        match (client.disabled_at, client.waiting_since) {
            (Some(at), _) => format!("blocked since {}", date(at)),
            (None, Some(at)) => format!(
                "waits for an owner since {}: portcullis clients approve {}",
                date(at),
                client.id
            ),
            (None, None) => "people may use it".to_owned(),
        },
    );
    let methods: Vec<String> = client
        .authentication
        .methods
        .iter()
        .map(|method| match (method, &client.authentication.keys) {
            (AuthMethod::None, _) => "with nothing but its id and PKCE".to_owned(),
            (AuthMethod::ClientSecret, _) => "with a secret".to_owned(),
            (AuthMethod::PrivateKeyJwt, Some(ClientKeys::Remote(address))) => {
                format!("with assertions under the keys of {}", plain(address, 200))
            }
            (AuthMethod::PrivateKeyJwt, _) => "with assertions under its keys".to_owned(),
        })
        .collect();
    lines.add("comes", methods.join(", or "));
    for (number, uri) in client.redirect_uris.iter().enumerate() {
        let label = if number == 0 { "returns to" } else { "" };
        let any = match uri.kind() {
            RedirectUriKind::Loopback => "   any port",
            _ => "",
        };
        lines.add(label, format!("{}{any}", plain(uri.as_str(), 200)));
    }
    if let Some(scopes) = &client.service_scopes {
        lines.add("for itself", scopes.to_string());
    }
    for (label, value) in [
        ("says it is", &client.metadata.software_id),
        ("page", &client.metadata.client_uri),
        ("asks for", &client.metadata.scope),
    ] {
        if let Some(value) = value {
            lines.add(label, plain(value, 200));
        }
    }
}

fn documented(lines: &mut Lines, found: &Found) {
    lines.add("how", "has a metadata document at this address".to_owned());
    let approve = format!(
        "portcullis clients approve {}",
        plain(found.id.as_str(), 200)
    );
    lines.add(
        "state",
        match &found.trust {
            None => "nobody decided about it; the server's setting counts".to_owned(),
            Some(trust) => match trust.decision {
                TrustDecision::Waiting => {
                    format!("waits for an owner since {}: {approve}", date(trust.at))
                }
                TrustDecision::Approved => format!("approved {}", date(trust.at)),
                TrustDecision::Blocked => format!("blocked since {}", date(trust.at)),
            },
        },
    );
}

/// The known client it is or says it is, and how sure that is.
fn known(found: &Found) -> Option<(&'static KnownClient, &'static str)> {
    if let Some(known) = known_clients::by_metadata_document(found.id.as_str()) {
        return Some((known, "proven by its address"));
    }
    let client = found.client.as_ref()?;
    let proven = client
        .redirect_uris
        .iter()
        .filter(|uri| uri.kind() == RedirectUriKind::Https)
        .find_map(known_clients::by_redirect_uri);
    match proven {
        Some(known) => Some((known, "proven where it returns to its maker's address")),
        None => {
            known_clients::by_dcr_name(&client.name).map(|known| (known, "by its own words alone"))
        }
    }
}

/// Labels in one column, values in the next.
#[derive(Default)]
struct Lines(Vec<(&'static str, String)>);

impl Lines {
    fn add(&mut self, label: &'static str, value: String) {
        self.0.push((label, value));
    }

    fn print(&self, out: &Terminal) {
        let width = self
            .0
            .iter()
            .map(|(label, _)| label.len())
            .max()
            .unwrap_or(0);
        for (label, value) in &self.0 {
            let label = out.paint.dim(format!("{label:width$}"));
            out.line(format!("  {label}  {value}"));
        }
    }
}
