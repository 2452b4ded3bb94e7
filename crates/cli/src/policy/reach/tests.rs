#![allow(clippy::unwrap_used)]

use authz::{Entry, Requirement, RuleClient, RuleEffect, RuleWhat, RuleWho, SubjectRule};
use base::{Clock as _, SystemClock};
use domain::{
    AuditEvent, AuditEventKind, EmailAddress, ServerSlug, Upstream, User, UserId, UserRole,
};
use store::{DatabaseUrl, StoreOptions};

use super::*;
use crate::policy::through::unnamed;
use oauth::new_server::new_server;

/// An MCP server with one person.
struct World {
    store: Store,
    server: McpServer,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("authority.sqlite"));
        let store = Store::open(StoreOptions::new(url), &SystemClock)
            .await
            .unwrap();
        let now = SystemClock.now();
        let slug = ServerSlug::parse("todo").unwrap();
        let server = new_server(&slug, Upstream::Todo, "https://mcp.example.com", now);
        let event = AuditEvent {
            at: now,
            kind: AuditEventKind::ServerAdded,
            server: None,
            user: None,
            client: None,
            grant: None,
            detail: String::new(),
        };
        store.insert_server(&server, event.clone()).await.unwrap();
        let ann = User {
            id: UserId::from_text("usr_ann"),
            email: EmailAddress::parse("ann@example.com").unwrap(),
            name: "Ann".to_owned(),
            password_hash: None,
            role: UserRole::Member,
            created_at: now,
            disabled_at: None,
        };
        store.insert_user(&ann, event).await.unwrap();
        Self {
            store,
            server,
            _folder: folder,
        }
    }

    async fn reached(&self, before: Policy, after: Policy) -> Reached {
        let before = McpServer {
            policy: before,
            ..self.server.clone()
        };
        let standings = Standings::load(&self.store, &self.server.slug).await;
        Reached::of(&before, &after, &self.store, &standings.unwrap())
            .await
            .unwrap()
    }
}

/// As many tools for everybody, and a rule against everybody through each of `clients`.
fn policy(tools: usize, clients: impl IntoIterator<Item = RuleClient>) -> Policy {
    let tool = |index| {
        let entry = Entry {
            requirement: Requirement::Public,
            ..Entry::default()
        };
        (format!("tool_{index}"), entry)
    };
    let rule = |(index, client)| SubjectRule {
        id: format!("rul_{index}"),
        effect: RuleEffect::Deny,
        who: RuleWho::Anyone,
        client,
        what: RuleWhat::All,
        note: String::new(),
    };
    Policy {
        tools: (0..tools).map(tool).collect(),
        subject_rules: clients.into_iter().enumerate().map(rule).collect(),
        ..Policy::default()
    }
}

fn id(index: usize) -> RuleClient {
    RuleClient::Id(format!("cli_{index}"))
}

/// Through which clients something changes.
fn concerned(reached: &Reached) -> Vec<&str> {
    let changed = reached.changed.iter().flatten();
    let who = changed.flat_map(|one| &one.who);
    who.map(|who| reached.alike[*who].1.as_deref().unwrap_or("all"))
        .collect()
}

#[tokio::test]
async fn tools_whose_conditions_come_or_go_are_named_though_everybody_reaches_them_with_some_arguments()
 {
    let world = World::new().await;
    let plain = policy(2, []);
    let mut conditional = plain.clone();
    let entry = conditional.tools.get_mut("tool_1").unwrap();
    entry.conditions.push(authz::Condition {
        argument: "/list".to_owned(),
        operator: authz::Operator::StartsWith("mine".to_owned()),
    });
    for (before, after, expected) in [
        (&plain, &conditional, &["tool_1"][..]),
        (&conditional, &plain, &["tool_1"]),
        (&conditional, &conditional, &[]),
        // One that is gone needs no arguments to be denied.
        (&conditional, &policy(1, []), &[]),
    ] {
        let reached = world.reached(before.clone(), after.clone()).await;
        assert_eq!(reached.conditions, expected);
        assert_eq!(reached.json()["with_changed_conditions"], json!(expected));
    }
}

const REGISTERED: &str = "a client that registered itself";
const ADDED: &str = "a client that an admin added";
const ELSEWHERE: &str = "a client of a host that no rule names";

#[tokio::test]
async fn what_a_rule_on_clients_changes_is_judged_through_one_of_each_sort() {
    use RuleClient::{Any, Unverified, VerifiedHost};
    let world = World::new().await;
    let host = || VerifiedHost("*.example.com".to_owned());
    let all = [REGISTERED, ADDED, ELSEWHERE];
    for (before, after, expected) in [
        (vec![Unverified], vec![Any], &[ADDED, ELSEWHERE][..]),
        (vec![Any], vec![Unverified], &[ADDED, ELSEWHERE]),
        (vec![], vec![Unverified], &[REGISTERED]),
        (vec![Unverified], vec![Unverified], &[]),
        (vec![], vec![Any], &["all"]),
        (vec![], vec![host()], &["clients of *.example.com"]),
        (
            vec![host()],
            vec![host(), Any],
            &[REGISTERED, ADDED, ELSEWHERE],
        ),
    ] {
        let words = format!("{before:?} {after:?}");
        let reached = world.reached(policy(1, before), policy(1, after)).await;
        assert_eq!(concerned(&reached), expected, "{words}");
        assert_eq!(reached.summary().is_some(), !expected.is_empty(), "{words}");
    }
    let same = || policy(1, [Unverified]);
    let said = world.reached(same(), same()).await.nothing();
    let clients = all.join(", ");
    let expected = format!("who reaches what: nothing changes for 1 person through {clients}");
    assert_eq!(said, expected);
    let said = world.reached(policy(1, []), policy(1, [])).await.nothing();
    let expected = format!("who reaches what: nothing changes for 1 person through {REGISTERED}");
    assert_eq!(said, expected);
}

#[tokio::test]
async fn named_clients_that_are_not_judged_are_counted_and_those_that_differ_are_judged_first() {
    let world = World::new().await;
    let named = |count: usize| policy(1, (0..count).map(id));
    for (count, left_out) in [(8, 0), (9, 1), (40, 32)] {
        let reached = world.reached(named(count), named(count)).await;
        assert_eq!(reached.clients.len(), 3 + count.min(8));
        assert_eq!(reached.json()["clients_not_judged"], left_out);
        let summary = reached.summary();
        assert_eq!(summary.is_none(), left_out == 0, "{summary:?}");
        let said = match left_out {
            1 => "; 1 client that a rule names was not judged".to_owned(),
            many => format!("; {many} clients that rules name were not judged"),
        };
        let is_said = summary.is_none_or(|summary| summary.ends_with(&said));
        assert!(is_said, "{said}");
    }
    let reached = world.reached(named(40), named(41)).await;
    assert_eq!(concerned(&reached), ["cli_40"]);
    let hosts = (0..9).map(|index| RuleClient::VerifiedHost(format!("{index}.example.com")));
    let hosts = policy(1, hosts);
    assert_eq!(world.reached(hosts.clone(), hosts).await.left_out, 1);
}

#[test]
fn a_host_that_no_rule_names_is_found_whatever_they_name() {
    let named = ["elsewhere", "elsewherex", "*.elsewherexx"].map(str::to_owned);
    let hosts: Vec<&String> = named.iter().collect();
    assert_eq!(unnamed(&hosts), "elsewherexx");
    assert_eq!(unnamed(&[]), "elsewhere");
}

#[tokio::test]
async fn too_many_pairs_are_not_counted_and_nobody_is_told_that_nothing_changes() {
    let world = World::new().await;
    let rules = || (0..480).map(id);
    for (tools, is_counted) in [(100, true), (3_000, false)] {
        let before = policy(tools, rules());
        let after = policy(tools, rules().chain([RuleClient::Unverified]));
        let reached = world.reached(before, after).await;
        let summary = reached.summary().unwrap();
        assert_eq!(reached.json()["counted"], is_counted);
        assert_eq!(summary.contains("not counted"), !is_counted, "{summary}");
        assert_eq!(
            summary.contains("100 of 1100 pairs"),
            is_counted,
            "{summary}"
        );
    }
}
