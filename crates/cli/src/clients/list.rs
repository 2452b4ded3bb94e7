use domain::{Client, ClientRegistration, ClientTrust};
use serde_json::{Value, json};

use super::{state, trust_state};
use crate::maintenance::{Maintenance, PAGE, date, moment, table};
use crate::terminal::{Terminal, plain};

/// One client of the list.
struct Row {
    id: String,
    name: String,
    server: String,
    how: &'static str,
    state: &'static str,
    redirect_uris: Vec<String>,
    since: String,
}

impl Maintenance {
    pub(super) async fn list_clients(&self, json: bool, out: &Terminal) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        let mut documents = Vec::new();
        let mut after = None;
        loop {
            let page = self.store().list_clients(after.as_ref(), PAGE).await?;
            rows.extend(page.iter().map(Row::of_client));
            documents.extend(page.iter().filter(|_| json).map(client));
            after = page.last().map(|client| client.id.clone());
            if page.len() < PAGE {
                break;
            }
        }
        let mut after: Option<ClientTrust> = None;
        loop {
            let behind = after.as_ref().map(|trust| (&trust.server, &trust.client));
            let page = self.store().list_client_trust(behind, PAGE).await?;
            rows.extend(page.iter().map(Row::of_trust));
            documents.extend(page.iter().filter(|_| json).map(decided));
            let full = page.len() == PAGE;
            after = page.into_iter().last();
            if !full {
                break;
            }
        }
        if json {
            out.line(serde_json::to_string_pretty(&documents)?);
            return Ok(());
        }
        match out.interactive {
            true => tell(&rows, out),
            false => print(&rows, out),
        }
        Ok(())
    }
}

/// One client for a program.
fn client(client: &Client) -> Value {
    let redirect_uris: Vec<&str> = client
        .redirect_uris
        .iter()
        .map(|uri| uri.as_str())
        .collect();
    json!({
        "id": client.id,
        "name": client.name,
        "server": client.server,
        "how": client.registration.as_str(),
        "state": Some(state(client)).filter(|state| !state.is_empty()),
        "authentication": client.authentication.methods,
        "redirect_uris": redirect_uris,
        "service_scopes": client.service_scopes,
        "since": moment(client.created_at),
    })
}

/// A client with a metadata document, of which the decision alone is kept.
fn decided(trust: &ClientTrust) -> Value {
    let known = known_clients::by_metadata_document(trust.client.as_str());
    json!({
        "id": trust.client,
        "name": known.map(|known| known.name.as_str()),
        "server": trust.server,
        "how": ClientRegistration::MetadataDocument.as_str(),
        "state": trust_state(trust.decision),
        "since": moment(trust.at),
    })
}

impl Row {
    fn of_client(client: &Client) -> Self {
        Self {
            id: client.id.to_string(),
            name: plain(&client.name, 60),
            server: client.server.to_string(),
            how: client.registration.as_str(),
            state: state(client),
            redirect_uris: client
                .redirect_uris
                .iter()
                .map(|uri| plain(uri.as_str(), 200))
                .collect(),
            since: date(client.created_at),
        }
    }

    fn of_trust(trust: &ClientTrust) -> Self {
        let known = known_clients::by_metadata_document(trust.client.as_str());
        Self {
            id: plain(trust.client.as_str(), 200),
            name: known.map_or_else(String::new, |known| known.name.clone()),
            server: trust.server.to_string(),
            how: ClientRegistration::MetadataDocument.as_str(),
            state: trust_state(trust.decision),
            redirect_uris: Vec::new(),
            since: date(trust.at),
        }
    }
}

/// For a program: a line each, in columns.
fn print(rows: &[Row], out: &Terminal) {
    let heads = [
        "ID",
        "NAME",
        "SERVER",
        "HOW",
        "STATE",
        "REDIRECT URIS",
        "SINCE",
    ];
    let mut table = table(out, &heads);
    for row in rows {
        table.add_row([
            row.id.as_str(),
            &row.name,
            &row.server,
            row.how,
            row.state,
            &row.redirect_uris.join(" "),
            &row.since,
        ]);
    }
    out.line(table.trim_fmt());
}

/// For a person: ids are copied, so no line of one is ever broken.
fn tell(rows: &[Row], out: &Terminal) {
    for row in rows {
        let state = match row.state {
            "blocked" => out.paint.bad(row.state),
            "waits" => out.paint.warn(row.state),
            other => other.to_owned(),
        };
        let words = [out.paint.bold(&row.id), row.name.clone(), state];
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        out.line(words.join("  "));
        let mut about = vec![format!("{}, {}, {}", row.server, row.how, row.since)];
        about.extend(row.redirect_uris.iter().cloned());
        for line in about {
            out.line(out.paint.dim(format!("    {line}")));
        }
    }
    let waiting = rows.iter().filter(|row| row.state == "waits").count();
    if rows.is_empty() {
        out.line("no client yet: clients add themselves when people connect them");
    } else if waiting > 0 {
        out.line("");
        out.line(out.paint.warn(format!(
            "{waiting} {} for you: portcullis clients approve CLIENT_ID, or block",
            if waiting == 1 { "waits" } else { "wait" }
        )));
    }
}
