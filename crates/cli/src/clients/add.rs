use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use base::{OsRandom, SystemClock};
use domain::ClientKeys;
use known_clients::KnownClient;
use oauth::clients::{NewClient, NewClientProof};
use wire::oauth::{JwkSet, RedirectUri};

use super::command::AddClient;
use crate::failure::usage;
use crate::maintenance::Maintenance;
use crate::terminal::Terminal;

const KEYS_BYTES_MAX: u64 = 64 * 1024;

impl Maintenance {
    /// The first line of standard output is the id and the second, if there is one, the secret; everything else is for
    /// a person and goes to `words`.
    pub(super) async fn add_client(
        &self,
        add: AddClient,
        out: &Terminal,
        words: &Terminal,
    ) -> anyhow::Result<()> {
        if add.preset.as_deref() == Some("list") {
            Self::list_presets(out);
            return Ok(());
        }
        let preset = add.preset.as_deref().map(preset).transpose()?;
        let name = match (&add.name, preset) {
            (Some(name), _) => name.as_str(),
            (None, Some(preset)) => &preset.name,
            (None, None) => return Err(usage("--name: what the consent page calls the client")),
        };
        let mut redirect_uris = preset.map_or_else(Vec::new, KnownClient::preset_redirect_uris);
        for uri in &add.redirect_uri {
            if !redirect_uris.contains(uri) {
                redirect_uris.push(uri.clone());
            }
        }
        if let Some(preset) = preset
            && redirect_uris.is_empty()
        {
            return Err(usage(no_address(preset)));
        }
        let texts: Vec<String> = redirect_uris
            .iter()
            .map(|uri| uri.as_str().to_owned())
            .collect();
        let server = self.server_of_clients(add.server.as_ref()).await?;
        let new = NewClient {
            name,
            redirect_uris: &texts,
            proof: proof(&add)?,
            service_scopes: add.service_scope.iter().cloned().collect(),
        };
        let added = oauth::clients::create(self.store(), &SystemClock, &OsRandom, &server, new)
            .await
            .context("clients add")?;
        out.line(added.client.id.as_str());
        if let Some(secret) = &added.secret {
            out.line(secret.expose());
            words.line("The second line is its secret. It is kept as a digest only: keep it now.");
        }
        if let Some(preset) = preset {
            explain(preset, &redirect_uris, server.slug.as_str(), words);
        }
        Ok(())
    }

    pub(super) fn list_presets(out: &Terminal) {
        let clients = known_clients::all()
            .iter()
            .filter(|client| !client.redirect_uris.is_empty());
        let width = clients
            .clone()
            .map(|client| client.id.len())
            .max()
            .unwrap_or(0);
        for client in clients {
            let addresses: Vec<&str> = client
                .redirect_uris
                .iter()
                .map(known_clients::RedirectPattern::as_str)
                .collect();
            let id = out.paint.bold(format!("{:width$}", client.id));
            let name = format!("{id}  {}, {}", client.name, client.maker);
            // In a pipe every client is one line.
            if !out.interactive {
                out.line(format!("{name}  {}", addresses.join(" ")));
                continue;
            }
            out.line(name);
            for address in addresses {
                out.line(out.paint.dim(format!("{:width$}    {address}", "")));
            }
        }
        if out.interactive {
            out.line("");
            out.line(out.paint.dim(
                "portcullis clients add --preset ID gives a client every address above that has no <part> in it.",
            ));
        }
    }
}

fn preset(id: &str) -> anyhow::Result<&'static KnownClient> {
    known_clients::find(id).ok_or_else(|| {
        let ids: Vec<&str> = known_clients::all()
            .iter()
            .filter(|client| !client.preset_redirect_uris().is_empty())
            .map(|client| client.id.as_str())
            .collect();
        usage(format!(
            "--preset {id}: there is no such known client; there are: {}. `portcullis clients presets` tells more",
            ids.join(", ")
        ))
    })
}

fn no_address(preset: &KnownClient) -> String {
    let open: Vec<&str> = preset
        .open_redirect_uris()
        .map(known_clients::RedirectPattern::as_str)
        .collect();
    let why = match open.as_slice() {
        [] => "no return address of it is known".to_owned(),
        open => format!(
            "it returns to {}, which differs by installation",
            open.join(" and ")
        ),
    };
    format!(
        "--preset {}: {why}; add the address with --redirect-uri",
        preset.id
    )
}

fn proof(add: &AddClient) -> anyhow::Result<NewClientProof> {
    if add.secret {
        return Ok(NewClientProof::Secret);
    }
    if let Some(address) = &add.jwks_uri {
        return Ok(NewClientProof::Keys(ClientKeys::Remote(
            address.to_string(),
        )));
    }
    match &add.jwks_file {
        Some(file) => Ok(NewClientProof::Keys(ClientKeys::Inline(read_keys(file)?))),
        None => Ok(NewClientProof::Public),
    }
}

fn read_keys(file: &Path) -> anyhow::Result<JwkSet> {
    let told = || format!("--jwks-file {}", file.display());
    let mut text = String::new();
    std::fs::File::open(file)
        .with_context(told)?
        .take(KEYS_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(told)?;
    if text.len() as u64 > KEYS_BYTES_MAX {
        return Err(usage(format!(
            "{}: more than {KEYS_BYTES_MAX} bytes",
            told()
        )));
    }
    public_keys(&text).map_err(|words| usage(format!("{}: {words}", told())))
}

/// The public keys in `text`, a JWK set.
///
/// # Errors
/// When it is none, or has a private key.
pub(crate) fn public_keys(text: &str) -> Result<JwkSet, String> {
    if text.len() as u64 > KEYS_BYTES_MAX {
        return Err(format!("more than {KEYS_BYTES_MAX} bytes"));
    }
    let members: serde_json::Value =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    // A key file is easily taken for its public half, and what is stored here is read by others.
    let keys = members.get("keys").and_then(serde_json::Value::as_array);
    let private = |key: &serde_json::Value| {
        ["d", "k", "p", "q"]
            .iter()
            .any(|name| key.get(name).is_some())
    };
    if keys.is_some_and(|keys| keys.iter().any(private)) {
        return Err("holds a private key; give the public keys only".to_owned());
    }
    serde_json::from_value(members).map_err(|error| error.to_string())
}

fn explain(preset: &KnownClient, added: &[RedirectUri], server: &str, words: &Terminal) {
    words.line(format!("{} may return to:", preset.name));
    for uri in added {
        words.line(format!(
            "  {uri}{}",
            match uri.kind() {
                wire::oauth::RedirectUriKind::Loopback => "   any port",
                _ => "",
            }
        ));
    }
    for open in preset.open_redirect_uris() {
        words.line(format!(
            "Not added, because it differs each time: {}",
            open.as_str()
        ));
    }
    if let Some(note) = &preset.note {
        words.line(words.paint.dim(note));
    }
    words.line(words.paint.dim(format!(
        "Give the client this client_id for the MCP server {server}."
    )));
}
