use std::collections::BTreeMap;

use domain::{ClientKeys, ClientRegistration, ClientTrust, McpServer, TrustDecision, UserRole};
use wire::oauth::RedirectUri;

use super::document::{Client, Decision, Document, FORMAT, Person, Server, Upstream, UpstreamKind};
use super::entries::{Policy, Scope};
use crate::maintenance::{Maintenance, PAGE};
use crate::servers::rows;

impl Maintenance {
    /// What is there now; its base is still empty.
    pub(super) async fn gather(&self) -> anyhow::Result<Document> {
        let mut servers: BTreeMap<String, Server> = BTreeMap::new();
        for server in self.store().list_servers().await? {
            servers.insert(server.slug.to_string(), Server::of(&server));
        }
        let mut after = None;
        loop {
            let page = self.store().list_clients(after.as_ref(), PAGE).await?;
            for client in &page {
                let added = client.registration == ClientRegistration::PreRegistered;
                if let (true, Some(server)) = (added, servers.get_mut(client.server.as_str())) {
                    let shown = Client::of(client)?;
                    server.clients.insert(client.id.to_string(), shown);
                }
            }
            after = page.last().map(|client| client.id.clone());
            if page.len() < PAGE {
                break;
            }
        }
        self.gather_decisions(&mut servers).await?;
        Ok(Document {
            format: FORMAT,
            base: String::new(),
            servers,
            people: self.gather_people().await?,
        })
    }

    async fn gather_decisions(&self, servers: &mut BTreeMap<String, Server>) -> anyhow::Result<()> {
        let mut after: Option<ClientTrust> = None;
        loop {
            let behind = after.as_ref().map(|trust| (&trust.server, &trust.client));
            let page = self.store().list_client_trust(behind, PAGE).await?;
            for trust in &page {
                let decision = match trust.decision {
                    // A question is nobody's decision yet.
                    TrustDecision::Waiting => continue,
                    TrustDecision::Approved => Decision::Approved,
                    TrustDecision::Blocked => Decision::Blocked,
                };
                if let Some(server) = servers.get_mut(trust.server.as_str()) {
                    let id = trust.client.to_string();
                    server.decisions.insert(id, decision);
                }
            }
            let full = page.len() == PAGE;
            after = page.into_iter().last();
            if !full {
                return Ok(());
            }
        }
    }

    async fn gather_people(&self) -> anyhow::Result<BTreeMap<String, Person>> {
        let mut people = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.store().list_users(after.as_ref(), PAGE).await?;
            for user in &page {
                let person = Person {
                    name: user.name.clone(),
                    owner: user.role == UserRole::Owner,
                    disabled: user.disabled_at.is_some(),
                };
                people.insert(user.email.to_string(), person);
            }
            after = page.last().map(|user| user.id.clone());
            if page.len() < PAGE {
                return Ok(people);
            }
        }
    }
}

impl Server {
    fn of(server: &McpServer) -> Self {
        Self {
            name: server.name.clone(),
            url: server.resource.clone(),
            upstream: Upstream::of(&server.upstream),
            settings: rows(&server.settings)
                .into_iter()
                .map(|(flag, word)| (flag.to_owned(), word))
                .collect(),
            scopes: server.policy.scopes.iter().map(Scope::of).collect(),
            policy: Policy::of(&server.policy),
            clients: BTreeMap::new(),
            decisions: BTreeMap::new(),
        }
    }
}

impl Upstream {
    fn of(upstream: &domain::Upstream) -> Self {
        let mut shown = Self {
            kind: UpstreamKind::Todo,
            url: None,
            header_file: None,
            command: Vec::new(),
            env: Vec::new(),
            directory: None,
        };
        match upstream {
            domain::Upstream::Todo => {}
            domain::Upstream::Http { url, header_file } => {
                shown.kind = UpstreamKind::Http;
                shown.url = Some(url.clone());
                shown.header_file.clone_from(header_file);
            }
            domain::Upstream::Stdio {
                command,
                args,
                env,
                directory,
            } => {
                shown.kind = UpstreamKind::Stdio;
                shown.command = std::iter::once(command).chain(args).cloned().collect();
                let name = |one: &String| one.split('=').next().unwrap_or_default().to_owned();
                shown.env = env.iter().map(name).collect();
                shown.directory = Some(directory.clone());
            }
        }
        shown
    }
}

impl Client {
    fn of(client: &domain::Client) -> anyhow::Result<Self> {
        let (jwks_uri, jwks) = match &client.authentication.keys {
            None => (None, None),
            Some(ClientKeys::Remote(address)) => (Some(address.clone()), None),
            Some(ClientKeys::Inline(keys)) => (None, Some(serde_json::to_string(keys)?)),
        };
        let text = |uri: &RedirectUri| uri.as_str().to_owned();
        Ok(Self {
            name: client.name.clone(),
            blocked: client.disabled_at.is_some(),
            redirect_uris: client.redirect_uris.iter().map(text).collect(),
            authentication: client.authentication.methods.clone(),
            jwks_uri,
            jwks,
            service_scopes: client.service_scopes.as_ref().map(ToString::to_string),
        })
    }
}
