//! An earlier policy comes back, and nothing with it that somebody has to look at.

use domain::{RoleHolder, User, UserId, UserRole};
use store::GivenRole;

use super::*;
use crate::roll_back::{self, PlannedRollBack, RollBackError};

impl Rig {
    async fn server(&self) -> McpServer {
        find(&self.store, &self.slug).await.unwrap()
    }

    async fn plan(&self, revision: i64) -> Result<PlannedRollBack, RollBackError> {
        roll_back::plan(&self.store, &self.server().await, revision).await
    }

    async fn publish(&self, planned: PlannedRollBack) -> Result<i64, RollBackError> {
        roll_back::publish(&self.store, now(), &self.server().await, planned).await
    }

    async fn back(&self, revision: i64) -> i64 {
        self.publish(self.plan(revision).await.unwrap())
            .await
            .unwrap()
    }

    async fn map(&self, tool: &str, requirement: &Requirement) {
        let tool = (ListKind::Tools, tool);
        crate::drift::map(&self.store, now(), &self.slug, tool, requirement)
            .await
            .unwrap();
    }

    /// As whoever takes a tool out of a file.
    async fn without(&self, tool: &str) {
        self.edit(|policy| {
            policy.tools.remove(tool);
        })
        .await;
    }
}

#[tokio::test]
async fn a_rollback_brings_back_what_callers_need_and_lifts_no_quarantine() {
    let rig = Rig::new().await;
    let (first, second) = (
        tool("add_todo", "Adds."),
        tool("add_todo", "Adds, and tells me."),
    );
    let neighbour = tool("list_todos", "Lists.");
    rig.look(&tools([first.clone(), neighbour.clone()])).await;
    let before = rig.server().await;
    rig.edit(|policy| {
        for entry in policy.tools.values_mut() {
            entry.requirement = Requirement::Public;
        }
    })
    .await;
    rig.look(&tools([second.clone(), neighbour.clone()])).await;
    let revision = rig.back(before.policy_revision).await;
    assert_eq!(revision, rig.server().await.policy_revision);
    let needs = |name: &str| before.policy.tools[name].requirement.clone();
    let added = rig.entry("add_todo").await;
    assert_eq!(added.state, EntryState::Quarantined);
    assert_eq!(added.requirement, needs("add_todo"));
    let expected = Entry {
        requirement: needs("list_todos"),
        ..before.policy.tools["list_todos"].clone()
    };
    assert_eq!(rig.entry("list_todos").await, expected);
    // Nor does it bring one back that was lifted since.
    rig.look(&tools([second.clone(), neighbour.clone()])).await;
    rig.decide(Verdict::Approve, &second).await.unwrap();
    rig.back(revision).await;
    let approved = rig.entry("add_todo").await;
    assert_eq!(approved.state, EntryState::Accepted);
    assert_eq!(approved.fingerprint, Some(authz::fingerprint(&second)));
}

#[tokio::test]
async fn what_was_said_of_a_tool_that_reads_is_not_said_of_the_one_that_it_became() {
    for becomes_another in [true, false] {
        let rig = Rig::new().await;
        let reads = tool("todos", "Lists.");
        let neighbour = tool("add_todo", "Adds.");
        rig.look(&tools([reads.clone(), neighbour.clone()])).await;
        let loose = Requirement::Public;
        rig.map("todos", &loose).await;
        let revision = rig.server().await.policy_revision;
        let deletes = tool("todos", "Deletes all of them.");
        if becomes_another {
            rig.look(&tools([deletes.clone(), neighbour])).await;
            rig.decide(Verdict::Approve, &deletes).await.unwrap();
        }
        rig.map("todos", &Requirement::Denied).await;
        let planned = rig.plan(revision).await.unwrap();
        let kept = [(ListKind::Tools, "todos".to_owned())];
        assert_eq!(planned.back.kept == kept, becomes_another);
        rig.publish(planned).await.unwrap();
        let entry = rig.entry("todos").await;
        assert_eq!(entry.state, EntryState::Accepted);
        let (listed, needed) = match becomes_another {
            true => (&deletes, Requirement::Denied),
            false => (&reads, loose),
        };
        assert_eq!(entry.requirement, needed);
        assert_eq!(entry.fingerprint, Some(authz::fingerprint(listed)));
    }
}

#[tokio::test]
async fn arguments_that_come_back_into_records_are_held_against_the_schema_of_their_tool() {
    let rig = Rig::new().await;
    let text =
        r#"{"name":"add","inputSchema":{"type":"object","properties":{"list":{"type":"string"}}}}"#;
    let parsed = wire::mcp::parse_strict(text.as_bytes(), &wire::mcp::Limits::default()).unwrap();
    let add = Definition::read(ListKind::Tools, parsed).unwrap();
    rig.look(&tools([add])).await;
    for (argument, is_refused) in [("/owner", true), ("/list", false)] {
        rig.edit(|policy| {
            let entry = policy.tools.get_mut("add").unwrap();
            entry.recorded_arguments = vec![argument.to_owned()];
        })
        .await;
        let revision = rig.server().await.policy_revision;
        rig.edit(|policy| {
            policy
                .tools
                .get_mut("add")
                .unwrap()
                .recorded_arguments
                .clear();
        })
        .await;
        let planned = rig.plan(revision).await;
        let mistakes = matches!(planned, Err(RollBackError::Mistakes { .. }));
        assert_eq!(mistakes, is_refused, "{planned:?}");
    }
}

#[tokio::test]
async fn what_returns_without_a_definition_of_then_waits_when_anything_waits_or_was_refused() {
    let (one, neighbour) = (tool("add_todo", "Adds."), tool("list_todos", "Lists."));
    let all = tools([one.clone(), neighbour.clone()]);
    for (fingerprint, is_listed, is_refused, state) in [
        (None, false, false, EntryState::Accepted),
        (
            Some("of another release"),
            false,
            false,
            EntryState::Accepted,
        ),
        (None, true, false, EntryState::Quarantined),
        (
            Some("of another release"),
            true,
            false,
            EntryState::Quarantined,
        ),
        (None, true, true, EntryState::Quarantined),
    ] {
        let rig = Rig::new().await;
        rig.look(&all).await;
        let accepted = rig.entry("add_todo").await.fingerprint;
        rig.edit(|policy| {
            let entry = policy.tools.get_mut("add_todo").unwrap();
            entry.fingerprint = fingerprint.map(str::to_owned);
        })
        .await;
        let revision = rig.server().await.policy_revision;
        rig.without("add_todo").await;
        if is_listed {
            rig.look(&all).await;
        }
        if is_refused {
            rig.decide(Verdict::Reject, &one).await.unwrap();
        }
        rig.back(revision).await;
        let entry = rig.entry("add_todo").await;
        assert_eq!(entry.state, state, "{fingerprint:?} {is_listed}");
        if state.is_accepted() {
            // As it was accepted last: the next look holds it against that.
            assert_eq!(entry.fingerprint, accepted);
        }
    }
}

#[tokio::test]
async fn what_begins_to_wait_after_the_plan_refuses_what_returns_without_a_definition_of_then() {
    let (one, neighbour) = (tool("add_todo", "Adds."), tool("list_todos", "Lists."));
    for is_listed in [true, false] {
        let rig = Rig::new().await;
        rig.look(&tools([one.clone(), neighbour.clone()])).await;
        rig.edit(|policy| policy.tools.get_mut("add_todo").unwrap().fingerprint = None)
            .await;
        let revision = rig.server().await.policy_revision;
        rig.without("add_todo").await;
        let planned = rig.plan(revision).await.unwrap();
        if is_listed {
            rig.look(&tools([one.clone(), neighbour.clone()])).await;
        }
        let published = rig.publish(planned).await;
        match is_listed {
            true => assert!(
                matches!(&published, Err(RollBackError::Changed(name)) if name == "add_todo"),
                "{published:?}"
            ),
            false => assert!(published.is_ok(), "{published:?}"),
        }
    }
}

#[tokio::test]
async fn what_returns_is_accepted_only_as_it_was_accepted() {
    let (first, second) = (
        tool("add_todo", "Adds."),
        tool("add_todo", "Adds, and tells me."),
    );
    let neighbour = tool("list_todos", "Lists.");
    for (listed, state) in [
        (&first, EntryState::Accepted),
        (&second, EntryState::Quarantined),
    ] {
        let rig = Rig::new().await;
        rig.look(&tools([first.clone(), neighbour.clone()])).await;
        let revision = rig.server().await.policy_revision;
        rig.without("add_todo").await;
        rig.look(&tools([listed.clone(), neighbour.clone()])).await;
        rig.back(revision).await;
        assert_eq!(rig.entry("add_todo").await.state, state);
        rig.look(&tools([listed.clone(), neighbour.clone()])).await;
        assert_eq!(rig.entry("add_todo").await.state, state);
        let is_pending = rig
            .states("add_todo")
            .await
            .contains(&DefinitionState::Pending);
        assert_eq!(is_pending, state == EntryState::Quarantined);
        if is_pending {
            rig.decide(Verdict::Approve, listed).await.unwrap();
        }
        assert_eq!(rig.entry("add_todo").await.state, EntryState::Accepted);
    }
}

#[tokio::test]
async fn what_was_rejected_meanwhile_comes_back_hidden() {
    let rig = Rig::new().await;
    let (one, neighbour) = (tool("add_todo", "Adds."), tool("list_todos", "Lists."));
    let all = tools([one.clone(), neighbour]);
    rig.look(&all).await;
    let revision = rig.server().await.policy_revision;
    rig.without("add_todo").await;
    rig.look(&all).await;
    rig.decide(Verdict::Reject, &one).await.unwrap();
    let planned = rig.plan(revision).await.unwrap();
    assert_eq!(
        planned.back.quarantined,
        [(ListKind::Tools, "add_todo".to_owned())]
    );
    rig.publish(planned).await.unwrap();
    assert_eq!(rig.entry("add_todo").await.state, EntryState::Quarantined);
}

#[tokio::test]
async fn a_rollback_that_was_looked_at_is_refused_when_anything_of_it_changed() {
    let rig = Rig::new().await;
    let (first, second) = (
        tool("add_todo", "Adds."),
        tool("add_todo", "Adds, and tells me."),
    );
    let neighbour = tool("list_todos", "Lists.");
    rig.look(&tools([first.clone(), neighbour.clone()])).await;
    let revision = rig.server().await.policy_revision;
    rig.without("add_todo").await;
    let planned = rig.plan(revision).await.unwrap();
    rig.edit(|policy| policy.default_scopes = ScopeSet::new())
        .await;
    let in_force = rig.server().await.policy_revision;
    let refused = rig.publish(planned).await;
    assert!(
        matches!(refused, Err(RollBackError::Stale(now)) if now == in_force),
        "{refused:?}"
    );

    let planned = rig.plan(revision).await.unwrap();
    rig.look(&tools([second, neighbour.clone()])).await;
    assert_eq!(rig.server().await.policy_revision, in_force);
    let refused = rig.publish(planned).await;
    assert!(
        matches!(&refused, Err(RollBackError::Changed(name)) if name == "add_todo"),
        "{refused:?}"
    );
    assert!(!rig.policy().await.tools.contains_key("add_todo"));

    rig.look(&tools([first, neighbour])).await;
    let planned = rig.plan(revision).await.unwrap();
    assert_eq!(rig.publish(planned).await.unwrap(), in_force + 1);
}

#[tokio::test]
async fn there_is_nothing_to_go_back_to_before_the_first_look_in_force_or_out_of_the_list() {
    let rig = Rig::new().await;
    rig.look(&tools([tool("add_todo", "Adds.")])).await;
    rig.edit(|policy| policy.default_scopes = ScopeSet::new())
        .await;
    assert!(matches!(rig.plan(1).await, Err(RollBackError::Blank(1))));
    assert!(matches!(rig.plan(3).await, Err(RollBackError::InForce(3))));
    assert!(matches!(rig.plan(4).await, Err(RollBackError::NotKept(4))));
    assert_eq!(rig.back(2).await, 4);
}

#[tokio::test]
async fn a_role_that_returns_is_nobodys() {
    let rig = Rig::new().await;
    rig.look(&tools([tool("add_todo", "Adds.")])).await;
    let role = authz::Role {
        id: "rol_1".to_owned(),
        name: "writer".to_owned(),
        title: String::new(),
        scopes: authz::RoleScopes::All,
    };
    rig.edit(|policy| policy.roles = vec![role.clone()]).await;
    let revision = rig.server().await.policy_revision;
    let user = User {
        id: UserId::from_text("usr_ann"),
        email: domain::EmailAddress::parse("ann@example.com").unwrap(),
        name: "Ann".to_owned(),
        password_hash: None,
        role: UserRole::Member,
        created_at: now(),
        disabled_at: None,
    };
    let added = event(&now().into(), &rig.slug, String::new());
    rig.store.insert_user(&user, added.clone()).await.unwrap();
    let given = GivenRole {
        server: rig.slug.clone(),
        role: role.id.clone(),
        holder: RoleHolder::Person(user.id),
    };
    assert!(rig.store.give_role(given, added).await.unwrap());
    let kept = async || {
        rig.store
            .list_given_roles(Some(&rig.slug), None)
            .await
            .unwrap()
            .len()
    };
    // As long as the role is there, so is who has it.
    rig.edit(|policy| policy.default_role = Some("rol_1".to_owned()))
        .await;
    rig.back(revision).await;
    assert_eq!(kept().await, 1);
    rig.edit(|policy| policy.roles.clear()).await;
    rig.back(revision).await;
    assert_eq!(rig.policy().await.roles, [role]);
    assert_eq!(kept().await, 0);
}

#[tokio::test]
async fn what_comes_back_hidden_since_it_was_rejected_is_no_dead_end() {
    let rig = Rig::new().await;
    let (one, neighbour) = (tool("add_todo", "Adds."), tool("list_todos", "Lists."));
    let all = tools([one.clone(), neighbour]);
    rig.look(&all).await;
    let revision = rig.server().await.policy_revision;
    rig.without("add_todo").await;
    rig.look(&all).await;
    rig.decide(Verdict::Reject, &one).await.unwrap();
    rig.back(revision).await;
    rig.look(&all).await;
    assert_eq!(rig.entry("add_todo").await.state, EntryState::Quarantined);
    rig.decide(Verdict::Approve, &one).await.unwrap();
    assert_eq!(rig.entry("add_todo").await.state, EntryState::Accepted);
}

#[tokio::test]
async fn rules_of_groups_and_people_that_are_gone_are_named_and_the_others_are_not() {
    let rig = Rig::new().await;
    rig.look(&tools([tool("add_todo", "Adds.")])).await;
    let ann = User {
        id: UserId::from_text("usr_ann"),
        email: domain::EmailAddress::parse("ann@example.com").unwrap(),
        name: "Ann".to_owned(),
        password_hash: None,
        role: UserRole::Member,
        created_at: now(),
        disabled_at: None,
    };
    let added = event(&now().into(), &rig.slug, String::new());
    rig.store.insert_user(&ann, added.clone()).await.unwrap();
    let group = domain::Group {
        id: domain::GroupId::from_text("grp_there"),
        name: "there".to_owned(),
        created_at: now(),
    };
    rig.store.insert_group(&group, added).await.unwrap();
    use authz::RuleWho::{Anyone, Group, Person};
    let whose = [
        Anyone,
        Person("usr_ann".to_owned()),
        Group("grp_there".to_owned()),
        Person("usr_gone".to_owned()),
        Person("cli_gone".to_owned()),
        Group("grp_gone".to_owned()),
    ];
    rig.edit(move |policy| {
        let rule = |(index, who): (usize, &authz::RuleWho)| authz::SubjectRule {
            id: format!("rul_{index}"),
            effect: authz::RuleEffect::Deny,
            who: who.clone(),
            client: authz::RuleClient::Any,
            what: authz::RuleWhat::All,
            note: String::new(),
        };
        policy.subject_rules = whose.iter().enumerate().map(rule).collect();
    })
    .await;
    let revision = rig.server().await.policy_revision;
    rig.edit(|policy| policy.subject_rules.clear()).await;
    let planned = rig.plan(revision).await.unwrap();
    let expected = [
        ("rul_3", "usr_gone"),
        ("rul_4", "cli_gone"),
        ("rul_5", "grp_gone"),
    ];
    let expected = expected.map(|(rule, who)| (rule.to_owned(), who.to_owned()));
    assert_eq!(planned.of_nobody, expected);
}

#[tokio::test]
async fn conditions_that_do_not_fit_the_arguments_are_not_brought_back() {
    for (argument, fits) in [("/list", true), ("/lists", false)] {
        let rig = Rig::new().await;
        let list = Json::object([("list", Json::object([("type", Json::from("string"))]))]);
        let schema = [("type", Json::from("object")), ("properties", list)];
        let one = Json::object([
            ("name", Json::from("add_todo")),
            ("inputSchema", Json::object(schema)),
        ]);
        let one = Definition::read(ListKind::Tools, one).unwrap();
        rig.look(&tools([one])).await;
        let condition = Condition {
            argument: argument.to_owned(),
            operator: Operator::Equals("home".into()),
        };
        // As a release wrote it that held them against nothing.
        rig.edit(move |policy| {
            policy.tools.get_mut("add_todo").unwrap().conditions = vec![condition.clone()];
        })
        .await;
        let revision = rig.server().await.policy_revision;
        rig.edit(|policy| policy.tools.get_mut("add_todo").unwrap().conditions.clear())
            .await;
        let planned = rig.plan(revision).await;
        assert_eq!(planned.is_ok(), fits, "{planned:?}");
        let is_named = matches!(&planned, Err(RollBackError::Mistakes { mistakes, .. })
            if mistakes.len() == 1 && mistakes[0].message.contains("/lists"));
        assert_eq!(is_named, !fits);
    }
}
