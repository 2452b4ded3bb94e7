use std::collections::{BTreeMap, HashMap};

use domain::{ClientKeys, ClientTrust, McpServer, RoleHolder, TrustDecision, User, UserRole};
use store::Declared;
use wire::oauth::RedirectUri;

use super::document::{
    Client, Decision, Document, FORMAT, GivenRoles, Group, Person, Server, Upstream, UpstreamKind,
};
use super::entries::{Policy, Scope};
use crate::servers::rows;

impl Document {
    /// What a store holds, in words; its base is still empty.
    pub(super) fn of(declared: &Declared) -> anyhow::Result<Self> {
        let mut servers: BTreeMap<String, Server> = BTreeMap::new();
        for server in &declared.servers {
            servers.insert(server.slug.to_string(), Server::of(server));
        }
        for client in &declared.clients {
            if let Some(server) = servers.get_mut(client.server.as_str()) {
                let shown = Client::of(client)?;
                server.clients.insert(client.id.to_string(), shown);
            }
        }
        for trust in &declared.decisions {
            if let (Some(server), Some(decision)) =
                (servers.get_mut(trust.server.as_str()), Decision::of(trust))
            {
                server.decisions.insert(trust.client.to_string(), decision);
            }
        }
        let mut people: BTreeMap<String, Person> = BTreeMap::new();
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        let (mut addresses, mut names) = (HashMap::new(), HashMap::new());
        for user in &declared.people {
            addresses.insert(&user.id, user.email.to_string());
            people.insert(user.email.to_string(), Person::of(user));
        }
        for group in &declared.groups {
            names.insert(&group.id, group.name.as_str());
            let shown = Group {
                id: group.id.to_string(),
                ..Group::default()
            };
            groups.insert(group.name.clone(), shown);
        }
        for (group, user) in &declared.members {
            let group = names.get(group).and_then(|name| groups.get_mut(*name));
            if let (Some(group), Some(address)) = (group, addresses.get(user)) {
                group.members.push(address.clone());
            }
        }
        for group in groups.values_mut() {
            group.members.sort();
        }
        for given in &declared.given_roles {
            let server = declared.servers.iter().find(|one| one.slug == given.server);
            let role = server.and_then(|server| server.policy.role(&given.role));
            let holder: Option<&mut GivenRoles> = match &given.holder {
                RoleHolder::Person(user) => addresses
                    .get(user)
                    .and_then(|address| people.get_mut(address))
                    .map(|person| &mut person.roles),
                RoleHolder::Group(group) => names
                    .get(group)
                    .and_then(|name| groups.get_mut(*name))
                    .map(|group| &mut group.roles),
            };
            // A role that the policy has not, or has no more, means nothing.
            if let (Some(role), Some(holder)) = (role, holder) {
                let names = holder.entry(given.server.to_string()).or_default();
                names.push(role.name.clone());
                names.sort();
                names.dedup();
            }
        }
        Ok(Self {
            format: FORMAT,
            base: String::new(),
            servers,
            people,
            groups,
        })
    }
}

impl Decision {
    fn of(trust: &ClientTrust) -> Option<Self> {
        match trust.decision {
            // A question is nobody's decision yet.
            TrustDecision::Waiting => None,
            TrustDecision::Approved => Some(Self::Approved),
            TrustDecision::Blocked => Some(Self::Blocked),
        }
    }
}

impl Person {
    /// Without their roles.
    pub(super) fn of(user: &User) -> Self {
        Self {
            name: user.name.clone(),
            owner: user.role == UserRole::Owner,
            disabled: user.disabled_at.is_some(),
            roles: GivenRoles::new(),
        }
    }
}

impl Server {
    /// Without its clients and decisions.
    pub(super) fn of(server: &McpServer) -> Self {
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
    pub(super) fn of(upstream: &domain::Upstream) -> Self {
        let mut shown = Self::default();
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
    pub(super) fn of(client: &domain::Client) -> anyhow::Result<Self> {
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
            removed: false,
        })
    }
}
