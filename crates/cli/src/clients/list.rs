use domain::{ClientRegistration, ClientTrust};

use super::{state, trust_state};
use crate::maintenance::{Maintenance, PAGE, date, table};
use crate::terminal::{Terminal, plain};

impl Maintenance {
    pub(super) async fn list_clients(&self, out: &Terminal) -> anyhow::Result<()> {
        let mut table = table(
            out,
            &[
                "ID",
                "NAME",
                "SERVER",
                "HOW",
                "STATE",
                "REDIRECT URIS",
                "SINCE",
            ],
        );
        let mut waiting = 0_usize;
        let mut after = None;
        loop {
            let page = self.store().list_clients(after.as_ref(), PAGE).await?;
            for client in &page {
                let uris: Vec<String> = client
                    .redirect_uris
                    .iter()
                    .map(|uri| plain(uri.as_str(), 200))
                    .collect();
                waiting += usize::from(state(client) == "waits");
                table.add_row([
                    client.id.to_string(),
                    plain(&client.name, 60),
                    client.server.to_string(),
                    client.registration.as_str().into(),
                    state(client).into(),
                    uris.join("\n"),
                    date(client.created_at),
                ]);
            }
            after = page.last().map(|client| client.id.clone());
            if page.len() < PAGE {
                break;
            }
        }
        let mut after: Option<ClientTrust> = None;
        loop {
            let behind = after.as_ref().map(|trust| (&trust.server, &trust.client));
            let page = self.store().list_client_trust(behind, PAGE).await?;
            for trust in &page {
                let known = known_clients::by_metadata_document(trust.client.as_str());
                waiting += usize::from(trust_state(trust.decision) == "waits");
                table.add_row([
                    plain(trust.client.as_str(), 200),
                    known.map_or_else(String::new, |known| known.name.clone()),
                    trust.server.to_string(),
                    ClientRegistration::MetadataDocument.as_str().into(),
                    trust_state(trust.decision).into(),
                    String::new(),
                    date(trust.at),
                ]);
            }
            let full = page.len() == PAGE;
            after = page.into_iter().last();
            if !full {
                break;
            }
        }
        out.line(table.trim_fmt());
        if waiting > 0 && out.interactive {
            out.line(out.paint.warn(format!(
                "{waiting} wait for you: portcullis clients approve CLIENT_ID, or block"
            )));
        }
        Ok(())
    }
}
