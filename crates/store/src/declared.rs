use base::Digest;
use domain::{
    Client, ClientRegistration, ClientTrust, Group, GroupId, McpServer, TrustDecision, User, UserId,
};
use serde_json::json;

use crate::conn::Conn;
use crate::values::{Args, RowReader};
use crate::{
    GivenRole, Store, StoreError, client_trust, clients, given_roles, groups, servers, users,
};

/// What people say about this authority, as against what happens in it: everything that a readable file holds.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// The MCP servers, by slug.
    pub servers: Vec<McpServer>,
    /// The clients that an admin added, by id.
    pub clients: Vec<Client>,
    /// What was decided about clients with a metadata document, by server and client. Nobody waits here.
    pub decisions: Vec<ClientTrust>,
    /// The people, by id.
    pub people: Vec<User>,
    /// The groups, by name.
    pub groups: Vec<Group>,
    /// Who is in which group, by group and person.
    pub members: Vec<(GroupId, UserId)>,
    /// The roles that people and groups were given, by server, holder and role.
    pub given_roles: Vec<GivenRole>,
}

impl Declared {
    /// The same for the same state, and another one for any other: also for what no file shows, such as the value of a
    /// child's variable.
    pub fn digest(&self) -> Digest {
        let mut text = String::new();
        let mut line = |row: serde_json::Value| {
            text.push_str(&row.to_string());
            text.push('\n');
        };
        for server in &self.servers {
            line(json!([
                "server",
                server.slug,
                server.name,
                server.resource,
                server.upstream,
                server.settings,
                server.policy,
                server.policy_revision,
            ]));
        }
        for client in &self.clients {
            let redirect_uris: Vec<&str> = client
                .redirect_uris
                .iter()
                .map(|uri| uri.as_str())
                .collect();
            line(json!([
                "client",
                client.server,
                client.id,
                client.name,
                redirect_uris,
                client.authentication,
                client.service_scopes,
                client.disabled_at.is_some(),
            ]));
        }
        for trust in &self.decisions {
            line(json!([
                "decision",
                trust.server,
                trust.client,
                trust.decision.as_str(),
            ]));
        }
        for user in &self.people {
            line(json!([
                "person",
                user.id,
                user.email,
                user.name,
                user.role,
                user.disabled_at.is_some(),
            ]));
        }
        for group in &self.groups {
            line(json!(["group", group.id.as_str(), group.name]));
        }
        for (group, user) in &self.members {
            line(json!(["member", group.as_str(), user.as_str()]));
        }
        for given in &self.given_roles {
            line(json!([
                "given role",
                given.server,
                given.holder.as_str(),
                given.role,
            ]));
        }
        Digest::of(text)
    }
}

impl Conn {
    pub(crate) async fn read_declared(&mut self) -> Result<Declared, StoreError> {
        let mut declared = Declared::default();
        let sql = "SELECT slug, name, resource, upstream, settings, policy, policy_revision, created_at, policy_rest \
                   FROM mcp_server WHERE removed_at IS NULL ORDER BY slug";
        let rows = self.fetch_all(sql, Args::default()).await?;
        let mut others = self.list_other_addresses().await?;
        for row in &rows {
            let mut server = servers::read(&RowReader::new(row, "mcp_server"))?;
            server.other_addresses = others.remove(server.slug.as_str()).unwrap_or_default();
            declared.servers.push(server);
        }
        let sql = "SELECT id, server, name, redirect_uris, registration, metadata, created_at, disabled_at, \
                   authentication, service_scopes, waiting_since FROM client WHERE registration = $1 \
                   AND server IN (SELECT slug FROM mcp_server WHERE removed_at IS NULL) ORDER BY id";
        let args = Args::with_capacity(1).text(ClientRegistration::PreRegistered.as_str());
        for row in &self.fetch_all(sql, args).await? {
            let client = clients::read(&RowReader::new(row, "client"))?;
            declared.clients.push(client);
        }
        let sql = "SELECT server, client_id, decision, at, user_id FROM client_trust WHERE decision <> $1 \
                   AND server IN (SELECT slug FROM mcp_server WHERE removed_at IS NULL) ORDER BY server, client_id";
        let args = Args::with_capacity(1).text(TrustDecision::Waiting.as_str());
        for row in &self.fetch_all(sql, args).await? {
            declared.decisions.push(client_trust::read(row)?);
        }
        let sql = "SELECT id, email, name, password_hash, role, created_at, disabled_at \
                   FROM app_user ORDER BY id";
        for row in &self.fetch_all(sql, Args::default()).await? {
            let user = users::read(&RowReader::new(row, "app_user"), 0)?;
            declared.people.push(user);
        }
        for row in &self.fetch_all(groups::ALL, Args::default()).await? {
            let group = groups::read(&RowReader::new(row, "people_group"))?;
            declared.groups.push(group);
        }
        for row in &self.fetch_all(groups::MEMBERS, Args::default()).await? {
            let member = groups::read_member(&RowReader::new(row, "group_member"))?;
            declared.members.push(member);
        }
        let sql = "SELECT server, holder, role FROM given_role WHERE server IN \
                   (SELECT slug FROM mcp_server WHERE removed_at IS NULL) ORDER BY server, holder, role";
        for row in &self.fetch_all(sql, Args::default()).await? {
            let given = given_roles::read(&RowReader::new(row, "given_role"))?;
            declared.given_roles.push(given);
        }
        Ok(declared)
    }
}

impl Store {
    /// Everything that a readable file holds, as it is at one moment.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read_declared(&self) -> Result<Declared, StoreError> {
        self.write((), |conn, ()| Box::pin(conn.read_declared()))
            .await
    }
}
