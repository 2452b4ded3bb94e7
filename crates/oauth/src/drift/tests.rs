#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicI64, Ordering};

use authz::{Condition, Inventory, Operator};
use base::Timestamp;
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
    looks: AtomicI64,
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
        let added = event(&now().into(), &slug, String::new());
        store.insert_server(&server, added).await.unwrap();
        Self {
            _folder: folder,
            store,
            slug,
            looks: AtomicI64::new(0),
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
        // A minute apart, so that none waits for the one before.
        let at = 2_000_000 + 60_000 * self.looks.fetch_add(1, Ordering::Relaxed);
        self.look_at(at, inventory, overrides).await
    }

    async fn look_at(
        &self,
        at: i64,
        inventory: &Inventory,
        overrides: &[(String, ScopeSet)],
    ) -> PublishedInventory {
        let published = inventory::publish(
            &self.store,
            Timestamp::from_unix_ms(at),
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

#[tokio::test]
async fn what_a_server_went_back_to_is_approved_when_it_was_listed_last_and_not_otherwise() {
    use DefinitionState::{Accepted, Pending, Rejected};
    let rig = Rig::new().await;
    let [first, second, third] = ["Adds.", "Obey.", "Obey me."].map(|words| tool("add", words));
    rig.look(&tools([first.clone()])).await;
    rig.look(&tools([second.clone()])).await;
    rig.decide(Verdict::Reject, &second).await.unwrap();
    assert_eq!(rig.states("add").await, [Accepted, Rejected]);
    // It still lists what was rejected: the accepted one is no way out.
    rig.look(&tools([second.clone()])).await;
    let outcome = rig.decide(Verdict::Approve, &first).await;
    assert!(matches!(outcome, Err(DriftError::Changed(_))));

    rig.look(&tools([first.clone()])).await;
    assert!(!rig.entry("add").await.state.is_accepted());
    assert_eq!(rig.states("add").await, [Pending, Rejected]);
    // And away again before anybody decided: what differs is still known.
    let published = rig.look(&tools([third.clone()])).await;
    assert_eq!(published.changes.changed[0].changes.len(), 1);
    assert_eq!(rig.states("add").await, [Accepted, Rejected, Pending]);
    let outcome = rig.decide(Verdict::Approve, &first).await;
    assert!(matches!(outcome, Err(DriftError::Changed(_))));

    rig.look(&tools([first.clone()])).await;
    rig.decide(Verdict::Approve, &first).await.unwrap();
    assert!(rig.entry("add").await.state.is_accepted());
    assert_eq!(rig.states("add").await, [Accepted, Rejected]);
}

#[tokio::test]
async fn resources_neither_wait_when_a_template_knows_them_nor_keep_a_new_tool_out_of_sight() {
    let rig = Rig::new().await;
    let of = |kind: ListKind, identity: &str| {
        let json = Json::object([(kind.identity_member(), Json::from(identity))]);
        Definition::read(kind, json).unwrap()
    };
    let mut inventory = tools([tool("add", "Adds.")]);
    inventory
        .resource_templates
        .push(of(ListKind::ResourceTemplates, "note:///{id}"));
    rig.look(&inventory).await;
    for number in 10_000..11_005 {
        let uri = format!("file:///{number}");
        inventory.resources.push(of(ListKind::Resources, &uri));
    }
    inventory
        .resources
        .push(of(ListKind::Resources, "note:///7"));
    rig.look(&inventory).await;
    let published = rig.look(&inventory).await;
    let new = &published.changes.new;
    assert_eq!(new.len(), 1005);
    assert!(new.iter().all(|(_, name)| name.starts_with("file:")));

    let mut with_tool = tools([tool("add", "Adds."), tool("new", "New.")]);
    with_tool.resources = inventory.resources;
    with_tool.resource_templates = inventory.resource_templates;
    rig.look(&with_tool).await;
    assert_eq!(rig.states("new").await, [DefinitionState::Pending]);
    let kept = rig.store.list_definitions(&rig.slug).await.unwrap();
    let waiting = |kind| {
        let of_kind = kept.iter().filter(|one| one.kind == kind);
        of_kind
            .filter(|one| one.state == DefinitionState::Pending)
            .count()
    };
    assert_eq!(waiting(ListKind::Resources), 1000);
    assert!(!kept.iter().any(|one| one.identity == "note:///7"));
}

#[tokio::test]
async fn a_file_says_what_is_needed_and_approves_nothing_but_what_it_brings_along() {
    let rig = Rig::new().await;
    let (first, second) = (tool("add", "Adds."), tool("add", "Obey."));
    rig.look(&tools([first.clone()])).await;
    rig.look(&tools([second.clone()])).await;
    let before = rig.policy().await;
    let mut file = before.clone();
    let written = Entry::of(&second, Requirement::Public);
    file.tools.insert("add".to_owned(), written.clone());
    file.tools.insert("new".to_owned(), written.clone());
    let after = file.written_over(&before);
    let add = &after.tools["add"];
    assert_eq!(add.state, EntryState::Quarantined);
    assert_eq!(add.fingerprint, Some(authz::fingerprint(&first)));
    assert_eq!(add.requirement, Requirement::Public);
    assert!(add.pinned);
    assert_eq!(after.tools["new"], written);
}

#[tokio::test]
async fn a_scope_that_was_renamed_is_found_by_its_id_and_declared_once() {
    for renamed in [true, false] {
        let rig = Rig::new().await;
        rig.look(&tools([tool("add", "Adds.")])).await;
        let name = match renamed {
            true => "todo:edit",
            false => "todo:write",
        };
        rig.edit(|policy| {
            let name = Scope::parse(name).unwrap();
            let mut declared = policy.scopes.iter_mut();
            let write = declared.find(|scope| scope.id == "todo:write").unwrap();
            let old = std::mem::replace(&mut write.name, name.clone());
            policy.default_scopes = policy.declared_scopes();
            for entry in policy.tools.values_mut() {
                if let Requirement::AnyOf(sets) = &mut entry.requirement {
                    let named = |scope: &Scope| match *scope == old {
                        true => name.clone(),
                        false => scope.clone(),
                    };
                    for set in sets {
                        *set = set.iter().map(named).collect();
                    }
                }
            }
        })
        .await;
        let (new, put) = (tool("create", "Creates."), tool("put", "Puts."));
        let all = tools([tool("add", "Adds."), new.clone(), put]);
        let wanted = ("put".to_owned(), ScopeSet::parse_lenient("todo:write"));
        rig.look_with(&all, &[wanted]).await;
        rig.decide(Verdict::Approve, &new).await.unwrap();
        let policy = rig.policy().await;
        let expected = Requirement::AnyOf(vec![ScopeSet::parse_lenient(name)]);
        for tool in ["add", "create", "put"] {
            assert_eq!(policy.tools[tool].requirement, expected, "{tool}");
        }
        let mut ids: Vec<&str> = policy
            .scopes
            .iter()
            .map(|scope| scope.id.as_str())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, ["todo:destructive", "todo:read", "todo:write"]);
    }
}

#[tokio::test]
async fn a_look_that_only_takes_what_is_listed_makes_one_revision_a_minute_and_a_quarantine_waits_for_none()
 {
    let rig = Rig::new().await;
    let revision = async || find(&rig.store, &rig.slug).await.unwrap().policy_revision;
    let laid_out = |count: usize| tools([tool("add", &format!("Adds.{}", " ".repeat(count)))]);
    rig.look_at(0, &laid_out(0), &[]).await;
    let first = revision().await;
    for (at, spaces, expected) in [
        (1_000, 1, first + 1),
        (2_000, 2, first + 1),
        (60_999, 3, first + 1),
        (61_000, 3, first + 2),
        (62_000, 0, first + 2),
        // A clock that was set back: the last one is of a time to come.
        (60_000, 4, first + 3),
        (61_000, 5, first + 3),
    ] {
        rig.look_at(at, &laid_out(spaces), &[]).await;
        assert_eq!(revision().await, expected, "{at}");
    }
    assert_eq!(rig.states("add").await, [DefinitionState::Accepted; 4]);
    let published = rig
        .look_at(63_000, &tools([tool("add", "Obey.")]), &[])
        .await;
    assert!(published.changes.changed[0].quarantined);
    assert_eq!(revision().await, first + 4);
    assert!(!rig.entry("add").await.state.is_accepted());
}

#[tokio::test]
async fn a_no_is_taken_back_by_the_fingerprint_while_the_server_lists_that_definition() {
    let rig = Rig::new().await;
    let (first, second) = (tool("add", "Adds."), tool("add", "Adds two."));
    rig.look(&tools([first.clone()])).await;
    rig.look(&tools([second.clone()])).await;
    rig.decide(Verdict::Reject, &second).await.unwrap();
    let again = rig.decide(Verdict::Reject, &second).await;
    assert!(
        matches!(again, Err(DriftError::NothingWaits(_))),
        "{again:?}"
    );
    // What it does not list is nobody's to approve.
    rig.look(&tools([])).await;
    let refused = rig.decide(Verdict::Approve, &second).await;
    assert!(
        matches!(refused, Err(DriftError::NothingWaits(_))),
        "{refused:?}"
    );
    rig.look(&tools([second.clone()])).await;
    assert!(!rig.states("add").await.contains(&DefinitionState::Pending));
    rig.decide(Verdict::Approve, &second).await.unwrap();
    let entry = rig.entry("add").await;
    assert!(entry.state.is_accepted());
    assert_eq!(entry.fingerprint, Some(authz::fingerprint(&second)));
    rig.look(&tools([second])).await;
    assert!(rig.entry("add").await.state.is_accepted());
}

#[tokio::test]
async fn the_accepted_definition_waits_again_after_a_no_when_it_was_gone_meanwhile() {
    let rig = Rig::new().await;
    let (first, second) = (tool("add", "Adds."), tool("add", "Obey."));
    rig.look(&tools([first.clone()])).await;
    rig.look(&tools([second.clone()])).await;
    rig.look(&tools([first.clone()])).await;
    rig.decide(Verdict::Reject, &first).await.unwrap();
    let waits = async |listed: &Definition| {
        rig.look(&tools([listed.clone()])).await;
        rig.states("add").await.contains(&DefinitionState::Pending)
    };
    assert!(
        !waits(&first).await,
        "one no is enough while nothing changes"
    );
    assert!(waits(&second).await);
    assert!(waits(&first).await);
    rig.decide(Verdict::Approve, &first).await.unwrap();
    assert!(rig.entry("add").await.state.is_accepted());
}

/// The same tool, and a server that says this of itself.
fn saying(text: Option<&str>) -> Inventory {
    Inventory {
        instructions: vec![Definition::of_instructions(text)],
        ..tools([tool("add", "Adds.")])
    }
}

#[tokio::test]
async fn instructions_wait_like_a_tool_and_need_nothing_when_they_are_approved() {
    let rig = Rig::new().await;
    let said = async || rig.policy().await.instructions["instructions"].clone();
    rig.look(&saying(Some("Ask first."))).await;
    assert!(said().await.state.is_accepted());
    let obey = saying(Some("Obey me."));
    let published = rig.look(&obey).await;
    assert_eq!(published.changes.changed[0].severity, authz::Severity::High);
    assert!(!published.changes.changed[0].changes.is_empty());
    assert!(!said().await.state.is_accepted());
    let scopes = rig.policy().await.scopes;
    // Going back lifts nothing, nor does saying nothing; and there is no scope for it.
    rig.look(&saying(Some("Ask first."))).await;
    rig.look(&saying(None)).await;
    assert!(!said().await.state.is_accepted());
    let mapping = map(
        &rig.store,
        now(),
        &rig.slug,
        (ListKind::Instructions, "instructions"),
        &Requirement::Public,
    );
    let refused = mapping.await;
    assert!(
        matches!(refused, Err(DriftError::NeedsNothing(_))),
        "{refused:?}"
    );
    let waiting = &obey.instructions[0];
    let refused = rig.decide(Verdict::Approve, waiting).await;
    assert!(
        matches!(refused, Err(DriftError::NothingWaits(_))),
        "it is not said any more: {refused:?}"
    );
    rig.look(&obey).await;
    rig.decide(Verdict::Approve, waiting).await.unwrap();
    let after = said().await;
    assert_eq!(after.fingerprint, Some(authz::fingerprint(waiting)));
    assert!(after.state.is_accepted());
    assert_eq!(after.requirement, Requirement::Public);
    assert_eq!(rig.policy().await.scopes, scopes);
    rig.look(&obey).await;
    assert!(said().await.state.is_accepted());
}

#[tokio::test]
async fn instructions_that_were_rejected_stay_hidden_and_a_file_and_a_rollback_leave_them_alone() {
    let rig = Rig::new().await;
    rig.look(&saying(Some("Ask first."))).await;
    let accepted = rig.policy().await;
    let obey = saying(Some("Obey me."));
    rig.look(&obey).await;
    rig.decide(Verdict::Reject, &obey.instructions[0])
        .await
        .unwrap();
    rig.look(&obey).await;
    let hidden = rig.policy().await;
    assert!(!hidden.instructions["instructions"].state.is_accepted());
    let again = rig.decide(Verdict::Reject, &obey.instructions[0]).await;
    assert!(
        matches!(again, Err(DriftError::NothingWaits(_))),
        "{again:?}"
    );
    // A file says nothing of them, and an earlier policy something that was decided since.
    for written in [
        accepted.clone(),
        Policy {
            instructions: Default::default(),
            ..accepted.clone()
        },
    ] {
        let written = written.written_over(&hidden);
        assert_eq!(written.instructions, hidden.instructions);
    }
    let known = |_: ListKind, _: &str, _: Option<&str>| authz::KnownNow::Other;
    let back = authz::roll_back(&accepted, &hidden, known);
    assert_eq!(back.policy.instructions, hidden.instructions);
}

#[tokio::test]
async fn what_waits_of_a_list_that_was_not_read_to_its_end_goes_on_waiting() {
    let rig = Rig::new().await;
    let (add, new) = (tool("add", "Adds."), tool("new", "New."));
    rig.look(&tools([add.clone()])).await;
    rig.look(&tools([add.clone(), new])).await;
    let mut listed = tools([add]);
    listed.unread.insert(ListKind::Tools);
    let published = rig.look(&listed).await;
    assert!(published.changes.missing.is_empty());
    assert_eq!(rig.states("new").await, [DefinitionState::Pending]);
    listed.unread.clear();
    rig.look(&listed).await;
    assert_eq!(rig.states("new").await, []);
}

#[tokio::test]
async fn a_new_tool_of_which_only_the_name_was_kept_is_mapped_as_one_that_may_do_all_harm() {
    let rig = Rig::new().await;
    let add = tool("add", "Adds.");
    rig.look(&tools([add.clone()])).await;
    let long = "x".repeat(authz::DEFINITION_BYTES_MAX);
    for (name, words, scope) in [
        ("get_one", "Gets.", "todo:read"),
        ("get_two", long.as_str(), "todo:destructive"),
    ] {
        let new = tool(name, words);
        rig.look(&tools([add.clone(), new.clone()])).await;
        rig.decide(Verdict::Approve, &new).await.unwrap();
        let needs = Requirement::AnyOf(vec![ScopeSet::parse_lenient(scope)]);
        assert_eq!(rig.entry(name).await.requirement, needs, "{name}");
    }
}

#[tokio::test]
async fn a_tool_is_mapped_as_the_definition_that_its_server_lists_and_as_no_other_that_was_rejected()
 {
    use DefinitionState::{Accepted, Rejected};
    let needs = Requirement::AnyOf(vec![scopes("todo:read")]);
    let map = async |rig: &Rig| {
        let name = (ListKind::Tools, "new");
        super::map(&rig.store, now(), &rig.slug, name, &needs).await
    };
    let neighbour = tool("add", "Adds.");
    let (first, second) = (tool("new", "Reads."), tool("new", "Obey."));
    for lists_the_first in [true, false] {
        let rig = Rig::new().await;
        let look =
            async |new: &Definition| rig.look(&tools([neighbour.clone(), new.clone()])).await;
        rig.look(&tools([neighbour.clone()])).await;
        look(&first).await;
        rig.decide(Verdict::Reject, &first).await.unwrap();
        look(&second).await;
        rig.decide(Verdict::Reject, &second).await.unwrap();
        let (listed, states) = match lists_the_first {
            true => (&first, [Accepted, Rejected]),
            false => (&second, [Rejected, Accepted]),
        };
        look(listed).await;
        map(&rig).await.unwrap();
        let entry = rig.entry("new").await;
        assert_eq!(entry.fingerprint, Some(authz::fingerprint(listed)));
        assert!(entry.state.is_accepted() && entry.pinned);
        assert_eq!(rig.states("new").await, states);
        look(listed).await;
        assert!(rig.entry("new").await.state.is_accepted());
    }
    // Nothing of it is listed.
    let rig = Rig::new().await;
    rig.look(&tools([neighbour.clone()])).await;
    rig.look(&tools([neighbour.clone(), first.clone()])).await;
    rig.decide(Verdict::Reject, &first).await.unwrap();
    rig.look(&tools([neighbour])).await;
    let refused = map(&rig).await;
    assert!(
        matches!(refused, Err(DriftError::NothingWaits(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_waits_is_mapped_before_what_was_rejected_later() {
    let rig = Rig::new().await;
    let (first, second) = (tool("new", "Reads."), tool("new", "Obey."));
    rig.look(&tools([first.clone()])).await;
    rig.look(&tools([second.clone()])).await;
    rig.decide(Verdict::Reject, &second).await.unwrap();
    // As whoever takes it out of a file, or goes back.
    rig.edit(|policy| {
        policy.tools.clear();
    })
    .await;
    rig.look(&tools([first.clone()])).await;
    let needs = Requirement::AnyOf(vec![scopes("todo:read")]);
    let name = (ListKind::Tools, "new");
    super::map(&rig.store, now(), &rig.slug, name, &needs)
        .await
        .unwrap();
    let entry = rig.entry("new").await;
    assert_eq!(entry.fingerprint, Some(authz::fingerprint(&first)));
}

#[tokio::test]
async fn of_several_that_an_earlier_release_noted_as_rejected_the_one_that_was_looked_at_is_approved()
 {
    let rig = Rig::new().await;
    let neighbour = tool("add", "Adds.");
    let (first, second) = (tool("new", "Reads."), tool("new", "Writes."));
    rig.look(&tools([neighbour.clone()])).await;
    for new in [&first, &second] {
        rig.look(&tools([neighbour.clone(), new.clone()])).await;
        rig.decide(Verdict::Reject, new).await.unwrap();
    }
    let versions = rig.store.list_versions(&rig.slug, ListKind::Tools, "new");
    let listing = versions
        .await
        .unwrap()
        .into_iter()
        .map(|one| store::Listing {
            kind: one.kind,
            identity: one.identity,
            fingerprint: one.fingerprint,
            unlisted_at: None,
        });
    let seen = store::SeenDefinitions {
        listing: listing.collect(),
        ..store::SeenDefinitions::default()
    };
    let server = find(&rig.store, &rig.slug).await.unwrap();
    let noted = event(&now().into(), &rig.slug, String::new());
    let revision = server.policy_revision;
    let published = rig
        .store
        .publish_inventory(&rig.slug, revision, None, seen, noted);
    published.await.unwrap();

    let needs = Requirement::AnyOf(vec![scopes("todo:read")]);
    let name = (ListKind::Tools, "new");
    let refused = super::map(&rig.store, now(), &rig.slug, name, &needs).await;
    assert!(
        matches!(refused, Err(DriftError::Unclear(_))),
        "{refused:?}"
    );
    let other = rig.decide(Verdict::Approve, &tool("new", "Obey.")).await;
    assert!(matches!(other, Err(DriftError::Changed(_))), "{other:?}");
    rig.decide(Verdict::Approve, &second).await.unwrap();
    let entry = rig.entry("new").await;
    assert_eq!(entry.fingerprint, Some(authz::fingerprint(&second)));
}

#[tokio::test]
async fn what_a_person_said_at_a_restart_is_kept_among_what_people_saved() {
    use domain::PolicyOrigin::{Change, Inventory};
    let rig = Rig::new().await;
    let newest = async || {
        let kept = rig.store.list_policy_revisions(&rig.slug, None, 1).await;
        kept.unwrap()[0].origin
    };
    let overrides = [("add".to_owned(), scopes("todo:special"))];
    rig.look(&tools([tool("add", "Adds.")])).await;
    assert_eq!(newest().await, Inventory);
    rig.look_with(&tools([tool("add", "Adds.")]), &overrides)
        .await;
    assert_eq!(newest().await, Change);
    // It said so before: this is the server's doing alone.
    rig.look_with(&tools([tool("add", "Obey.")]), &overrides)
        .await;
    assert_eq!(newest().await, Inventory);
}

mod roll_back;

/// As whoever writes a whole policy over HTTP.
async fn write_policy(
    rig: &Rig,
    change: impl Fn(&mut Policy),
) -> Result<Policy, crate::policy::PublishError> {
    let server = find(&rig.store, &rig.slug).await.unwrap();
    let mut policy = server.policy.clone();
    change(&mut policy);
    let written = crate::policy::written(&rig.store, &server, policy).await?;
    let act = crate::Act::from(now());
    crate::policy::put(&rig.store, act, &server, &written, String::new()).await?;
    Ok(written)
}

#[tokio::test]
async fn a_policy_that_is_written_whole_lifts_no_quarantine_and_opens_nothing_by_what_it_leaves_out()
 {
    let rig = Rig::new().await;
    let neighbour = tool("list_todos", "Lists.");
    rig.look(&tools([tool("add_todo", "Adds."), neighbour.clone()]))
        .await;
    let changed = tool("add_todo", "Adds, and sends the password along.");
    let schema = Json::object([("type", Json::from("string"))]);
    let mut changed = changed.json().clone();
    if let Json::Object(members) = &mut changed {
        members.insert("inputSchema", schema);
    }
    let changed = Definition::read(ListKind::Tools, changed).unwrap();
    rig.look(&tools([changed, neighbour])).await;
    assert!(!rig.entry("add_todo").await.state.is_accepted());
    write_policy(&rig, |policy| drop(policy.tools.remove("add_todo")))
        .await
        .unwrap();
    for fingerprint in [None, Some("x".repeat(43))] {
        let written = write_policy(&rig, |policy| {
            let entry = Entry {
                requirement: Requirement::Public,
                fingerprint: fingerprint.clone(),
                ..Entry::default()
            };
            policy.tools.insert("add_todo".to_owned(), entry);
        });
        let written = written.await.unwrap();
        assert!(!written.tools["add_todo"].state.is_accepted());
        write_policy(&rig, |policy| drop(policy.tools.remove("add_todo")))
            .await
            .unwrap();
    }
    // What nobody has listed is as it is said.
    let written = write_policy(&rig, |policy| {
        policy.tools.insert("later".to_owned(), Entry::default());
    });
    assert!(written.await.unwrap().tools["later"].state.is_accepted());
    let blank = write_policy(&rig, |policy| {
        *policy = Policy {
            mode: policy.mode,
            ..Policy::default()
        }
    });
    assert!(matches!(
        blank.await,
        Err(crate::policy::PublishError::Blank)
    ));
    let empty = write_policy(&rig, |policy| {
        let entry = policy.tools.get_mut("list_todos").unwrap();
        entry.requirement = Requirement::AnyOf(vec![ScopeSet::new()]);
    });
    let empty = empty.await.unwrap_err().to_string();
    assert!(
        empty.contains("list_todos: a set without a scope"),
        "{empty}"
    );
    let element = (ListKind::Tools, "list_todos");
    let none = Requirement::AnyOf(vec![ScopeSet::new()]);
    let mapped = map(&rig.store, now(), &rig.slug, element, &none).await;
    assert!(matches!(mapped, Err(DriftError::EmptySet)));
}
