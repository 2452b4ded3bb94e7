#![allow(clippy::unwrap_used)]

use authz::{Condition, Inventory, Operator};
use domain::{OtherAddresses, ServerSettings, Upstream};
use store::{DatabaseUrl, StoreOptions};
use wire::oauth::Scope;

use super::*;
use crate::inventory::{self, PublishedInventory};

/// A store with the MCP server `todo`, which is looked at each time a test says what it lists.
struct Rig {
    _folder: tempfile::TempDir,
    store: Store,
    slug: ServerSlug,
}

impl Rig {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("authority.db"));
        let clock = testkit::MovableClock::default();
        let store = Store::open(StoreOptions::new(url), &clock).await.unwrap();
        let slug = ServerSlug::parse("todo").unwrap();
        let server = McpServer {
            slug: slug.clone(),
            name: "Todo".to_owned(),
            resource: "http://localhost:4180/mcp/todo".to_owned(),
            other_addresses: OtherAddresses::default(),
            upstream: Upstream::Todo,
            settings: ServerSettings::default(),
            policy: Policy::default(),
            policy_revision: 1,
            created_at: now(),
        };
        let added = event(now(), &slug, String::new());
        store.insert_server(&server, added).await.unwrap();
        Self {
            _folder: folder,
            store,
            slug,
        }
    }

    async fn look(&self, inventory: &Inventory) -> PublishedInventory {
        self.look_with(inventory, &[]).await
    }

    async fn look_with(
        &self,
        inventory: &Inventory,
        overrides: &[(String, ScopeSet)],
    ) -> PublishedInventory {
        let published = inventory::publish(
            &self.store,
            now(),
            &self.slug,
            inventory,
            overrides,
            |_, _| {},
        );
        published.await.unwrap()
    }

    async fn decide(&self, verdict: Verdict, tool: &Definition) -> Result<i64, DriftError> {
        let looked_at = [LookedAt {
            kind: tool.kind(),
            identity: tool.identity().to_owned(),
            fingerprint: authz::fingerprint(tool),
        }];
        decide(&self.store, now(), &self.slug, verdict, &looked_at).await
    }

    async fn edit(&self, change: impl Fn(&mut Policy) + Send) {
        edit(&self.store, now(), &self.slug, "by hand", change)
            .await
            .unwrap();
    }

    async fn policy(&self) -> Policy {
        find(&self.store, &self.slug).await.unwrap().policy
    }

    async fn entry(&self, tool: &str) -> Entry {
        self.policy().await.tools[tool].clone()
    }

    async fn states(&self, tool: &str) -> Vec<DefinitionState> {
        let versions = self
            .store
            .list_versions(&self.slug, ListKind::Tools, tool)
            .await;
        versions.unwrap().into_iter().map(|one| one.state).collect()
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_000_000)
}

fn tool(name: &str, words: &str) -> Definition {
    let json = Json::object([
        ("name", Json::from(name)),
        ("description", Json::from(words)),
    ]);
    Definition::read(ListKind::Tools, json).unwrap()
}

fn tools(tools: impl IntoIterator<Item = Definition>) -> Inventory {
    let mut inventory = Inventory {
        tools: tools.into_iter().collect(),
        ..Inventory::default()
    };
    let by_name = |one: &Definition, two: &Definition| one.identity().cmp(two.identity());
    inventory.tools.sort_by(by_name);
    inventory
}

fn scopes(text: &str) -> ScopeSet {
    text.split(' ')
        .map(|scope| Scope::parse(scope).unwrap())
        .collect()
}

fn condition() -> Condition {
    Condition {
        argument: "/list".to_owned(),
        operator: Operator::StartsWith("mine".to_owned()),
    }
}

#[tokio::test]
async fn an_approval_changes_what_a_tool_is_and_nothing_that_a_person_asked_of_its_calls() {
    let rig = Rig::new().await;
    let (first, second) = (tool("add_todo", "Adds."), tool("add_todo", "Adds two."));
    rig.look(&tools([first])).await;
    rig.edit(|policy| {
        let entry = policy.tools.get_mut("add_todo").unwrap();
        entry.conditions.push(condition());
    })
    .await;
    let before = rig.entry("add_todo").await;
    rig.look(&tools([second.clone()])).await;
    assert!(!rig.entry("add_todo").await.state.is_accepted());
    rig.decide(Verdict::Approve, &second).await.unwrap();
    let after = rig.entry("add_todo").await;
    let expected = Entry {
        description: "Adds two.".to_owned(),
        fingerprint: Some(authz::fingerprint(&second)),
        ..before
    };
    assert_eq!(after, expected);
    assert_eq!(after.conditions, [condition()]);
}

#[tokio::test]
async fn an_override_at_a_restart_says_what_a_tool_needs_and_approves_nothing() {
    let rig = Rig::new().await;
    let (first, second) = (tool("add_todo", "Adds."), tool("add_todo", "Obey."));
    let overrides = [("add_todo".to_owned(), scopes("todo:special"))];
    rig.look(&tools([first.clone()])).await;
    rig.edit(|policy| {
        let entry = policy.tools.get_mut("add_todo").unwrap();
        entry.conditions.push(condition());
    })
    .await;
    let before = rig.entry("add_todo").await;

    let with_new = tools([second.clone(), tool("new", "New.")]);
    let for_new = ("new".to_owned(), scopes("todo:special"));
    let both = [overrides[0].clone(), for_new];
    let published = rig.look_with(&with_new, &both).await;
    let changed: Vec<_> = published.changes.changed.iter().collect();
    assert_eq!((changed.len(), changed[0].quarantined), (1, true));
    assert!(published.changes.new.is_empty(), "it is mapped by hand");
    assert!(rig.entry("new").await.state.is_accepted());
    let after = rig.entry("add_todo").await;
    let expected = Entry {
        requirement: Requirement::AnyOf(vec![scopes("todo:special")]),
        state: EntryState::Quarantined,
        ..before
    };
    assert_eq!(after, expected);

    // At the next restart nothing is left to do.
    let revision = find(&rig.store, &rig.slug).await.unwrap().policy_revision;
    rig.look_with(&with_new, &both).await;
    let again = find(&rig.store, &rig.slug).await.unwrap().policy_revision;
    assert_eq!(again, revision);
}

#[tokio::test]
async fn what_an_earlier_release_remembered_of_a_tool_is_replaced_once_and_what_changes_then_waits()
{
    let rig = Rig::new().await;
    let [same, other, third] = ["Adds.", "Adds more.", "Obey."].map(|words| tool("add", words));
    rig.look(&tools([same.clone(), tool("zap", "Zaps.")])).await;
    let with_fingerprint = async |fingerprint: String| {
        rig.edit(|policy| {
            let entry = policy.tools.get_mut("add").unwrap();
            entry.fingerprint = Some(fingerprint.clone());
        })
        .await;
    };
    // As that release wrote it, for the very definition: nothing to tell.
    let earlier = authz::fingerprint(&same);
    let earlier = earlier.strip_prefix("2:").unwrap();
    with_fingerprint(earlier.to_owned()).await;
    let published = rig.look(&tools([same.clone(), tool("zap", "Zaps.")])).await;
    assert!(published.changes.is_empty(), "{:?}", published.changes);
    assert_eq!(
        rig.entry("add").await.fingerprint,
        Some(authz::fingerprint(&same))
    );

    // For one of which nobody knows whether it changed: taken as it is, and said.
    with_fingerprint(earlier.to_owned()).await;
    let published = rig
        .look(&tools([other.clone(), tool("zap", "Zaps.")]))
        .await;
    assert_eq!(
        published.changes.adopted,
        [(ListKind::Tools, "add".to_owned())]
    );
    let entry = rig.entry("add").await;
    assert!(entry.state.is_accepted());
    assert_eq!(entry.fingerprint, Some(authz::fingerprint(&other)));

    // Once: what it becomes after that waits, with what differs.
    let published = rig.look(&tools([third, tool("zap", "Zaps.")])).await;
    assert!(published.changes.adopted.is_empty());
    assert_eq!(published.changes.changed[0].changes.len(), 1);
    assert!(!rig.entry("add").await.state.is_accepted());
    let events = rig.store.list_audit_events(0, 100).await.unwrap();
    let told = "taken as listed, since nothing was kept of how it was: add";
    assert_eq!(
        events
            .iter()
            .filter(|one| one.event.detail.contains(told))
            .count(),
        1,
        "{events:?}"
    );
}
