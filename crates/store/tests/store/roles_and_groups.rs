//! Who has which role, and which of their tokens a change makes stale.

use authz::{Policy, RuleClient, RuleEffect, RuleWhat, RuleWho, SubjectRule};
use base::{OsRandom, Timestamp};
use domain::{AuditEvent, AuditEventKind, Group, GroupId, RoleHolder, User};
use store::{
    DeleteUser, GivenRole, InsertGroup, PersonStanding, PublishOutcome, RemoveGroup, Store,
    UserDeleted,
};

use crate::databases::on_every_store;
use crate::fixture::{Fixture, at, event, user};

fn group(name: &str) -> Group {
    Group {
        id: GroupId::random(&OsRandom),
        name: name.to_owned(),
        created_at: at(0),
    }
}

fn on(kind: AuditEventKind, now: Timestamp) -> AuditEvent {
    AuditEvent {
        at: now,
        ..event(kind)
    }
}

async fn insert(store: &Store, group: &Group) -> InsertGroup {
    let added = event(AuditEventKind::GroupAdded);
    store.insert_group(group, added).await.unwrap()
}

fn given(fixture: &Fixture, role: &str, holder: RoleHolder) -> GivenRole {
    GivenRole {
        server: fixture.server.slug.clone(),
        role: role.to_owned(),
        holder,
    }
}

async fn cut_offs(store: &Store, now: Timestamp) -> Vec<(String, i64)> {
    let all = store.list_subject_cut_offs(now).await.unwrap();
    all.into_iter()
        .map(|cut_off| (cut_off.user.to_string(), cut_off.standing))
        .collect()
}

async fn standing(fixture: &Fixture, user: &User) -> PersonStanding {
    let store = &fixture.store;
    store
        .standing_of(&fixture.server.slug, user.id.as_str())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_role_is_had_directly_or_through_a_group_and_each_change_makes_older_tokens_stale() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let bob = user("bob@example.com");
        let added = event(AuditEventKind::UserAdded);
        store.insert_user(&bob, added).await.unwrap();
        let (alice, helpers) = (&fixture.user, group("helpers"));
        assert_eq!(insert(&store, &helpers).await, InsertGroup::Inserted);
        assert_eq!(
            insert(&store, &group("helpers")).await,
            InsertGroup::NameTaken
        );

        fixture.publish_roles(&["rol_1", "rol_2"]).await;
        let direct = given(&fixture, "rol_1", RoleHolder::Person(alice.id.clone()));
        let give = || store.give_role(direct.clone(), on(AuditEventKind::RoleGiven, at(10)));
        let before = store.change_counter().await.unwrap();
        assert_eq!(give().await, Ok(true));
        assert!(store.change_counter().await.unwrap() > before);
        assert_eq!(give().await, Ok(false), "they have it");
        let stranger = user("x@example.com").id;
        for nothing in [
            given(&fixture, "rol_1", RoleHolder::Person(stranger)),
            given(&fixture, "rol_3", RoleHolder::Person(bob.id.clone())),
        ] {
            let words = format!("{nothing:?}");
            let given = store.give_role(nothing, event(AuditEventKind::RoleGiven));
            assert_eq!(given.await, Ok(false), "{words}");
        }
        let alices = standing(&fixture, alice).await;
        assert!(alices.revision > before);
        assert_eq!(
            cut_offs(&store, at(11)).await,
            [(alice.id.to_string(), alices.revision)]
        );
        assert_eq!(alices.roles, ["rol_1"]);
        let nothing = PersonStanding {
            policy_revision: 2,
            ..PersonStanding::default()
        };
        assert_eq!(standing(&fixture, &bob).await, nothing);

        // A group that means nothing anywhere makes nobody's token stale.
        let join =
            |now| store.join_group(&helpers.id, &bob.id, on(AuditEventKind::GroupJoined, now));
        assert_eq!(join(at(20)).await, Ok(true));
        assert_eq!(join(at(20)).await, Ok(false), "they are in it");
        assert_eq!(standing(&fixture, &bob).await.revision, 0);
        let through = given(&fixture, "rol_2", RoleHolder::Group(helpers.id.clone()));
        let event = on(AuditEventKind::RoleGiven, at(30));
        assert_eq!(store.give_role(through, event).await, Ok(true));
        let first = standing(&fixture, &bob).await;
        assert_eq!(first.roles, ["rol_2"]);
        assert_eq!(first.groups, [helpers.id.to_string()]);
        assert!(first.revision > alices.revision);

        let left = store.leave_group(&helpers.id, &bob.id, on(AuditEventKind::GroupLeft, at(40)));
        assert_eq!(left.await, Ok(true));
        let second = standing(&fixture, &bob).await;
        assert_eq!((second.roles.len(), second.groups.len()), (0, 0));
        assert!(second.revision > first.revision);
        assert_eq!(
            standing(&fixture, alice).await,
            alices,
            "nobody else's tokens"
        );

        assert_eq!(join(at(50)).await, Ok(true));
        let third = standing(&fixture, &bob).await;
        assert!(third.revision > second.revision);
        let removed = store.remove_group(&helpers.id, on(AuditEventKind::GroupRemoved, at(60)));
        assert_eq!(removed.await, Ok(RemoveGroup::Removed));
        let last = standing(&fixture, &bob).await;
        assert!(last.revision > third.revision);
        assert_eq!((last.roles.len(), last.groups.len()), (0, 0));
        let again = store.remove_group(&helpers.id, on(AuditEventKind::GroupRemoved, at(60)));
        assert_eq!(again.await, Ok(RemoveGroup::Unknown));
        assert_eq!(store.list_groups().await.unwrap(), []);
        let taken = store.take_role(direct.clone(), on(AuditEventKind::RoleTaken, at(70)));
        assert_eq!(taken.await, Ok(true));
        let now = standing(&fixture, alice).await;
        assert_eq!(now.roles.len(), 0);
        assert!(now.revision > alices.revision);
    })
    .await;
}

#[tokio::test]
async fn a_rule_that_begins_or_ends_to_name_a_group_makes_its_members_tokens_stale() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let helpers = group("helpers");
        insert(&store, &helpers).await;
        let joined = event(AuditEventKind::GroupJoined);
        let join = store.join_group(&helpers.id, &fixture.user.id, joined);
        assert_eq!(join.await, Ok(true));
        let policy = |note: &str| Policy {
            subject_rules: vec![SubjectRule {
                id: "rul_1".into(),
                effect: RuleEffect::Deny,
                who: RuleWho::Group(helpers.id.to_string()),
                client: RuleClient::Any,
                what: RuleWhat::All,
                note: note.into(),
            }],
            ..Policy::default()
        };
        let slug = &fixture.server.slug;
        let mut before = 0;
        for (revision, policy, is_stale) in [
            (1, policy("first"), true),
            (2, policy("again"), false),
            (3, Policy::default(), true),
            (4, Policy::default(), false),
            (5, policy("once more"), true),
        ] {
            let event = on(AuditEventKind::PolicyPublished, at(10 * revision));
            let published = store.publish_policy(slug, revision, &policy, event);
            assert_eq!(published.await, Ok(PublishOutcome::Published(revision + 1)));
            let now = standing(&fixture, &fixture.user).await.revision;
            assert_eq!(now > before, is_stale, "{revision}");
            before = now;
        }
        // Whom a rule denies something would be free of it.
        let event = on(AuditEventKind::GroupRemoved, at(60));
        let removed = store.remove_group(&helpers.id, event.clone());
        assert_eq!(removed.await, Ok(RemoveGroup::Named(slug.clone())));
        assert_eq!(standing(&fixture, &fixture.user).await.groups.len(), 1);
        let published = on(AuditEventKind::PolicyPublished, at(61));
        let none = Policy::default();
        let published = store.publish_policy(slug, 6, &none, published);
        assert_eq!(published.await, Ok(PublishOutcome::Published(7)));
        let removed = store.remove_group(&helpers.id, event);
        assert_eq!(removed.await, Ok(RemoveGroup::Removed));
    })
    .await;
}

/// A token says which standing it was minted of, so it does not matter how late the change was committed.
#[tokio::test]
async fn each_change_is_a_later_standing_whatever_the_clocks_of_those_who_write_say() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let alice = &fixture.user;
        let roles = ["rol_1", "rol_2", "rol_3"];
        fixture.publish_roles(&roles).await;
        let mut before = 0;
        for (role, now) in roles.into_iter().zip([20, 10, 30]) {
            let role = given(&fixture, role, RoleHolder::Person(alice.id.clone()));
            let event = on(AuditEventKind::RoleGiven, at(now));
            assert_eq!(store.give_role(role, event).await, Ok(true));
            let standing = standing(&fixture, alice).await;
            assert!(standing.revision > before);
            before = standing.revision;
        }
    })
    .await;
}

#[tokio::test]
async fn a_role_that_a_new_policy_lacks_is_taken_back_and_does_not_come_back_with_it() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let alice = &fixture.user;
        let (bob, helpers) = (user("bob@example.com"), group("helpers"));
        let added = event(AuditEventKind::UserAdded);
        store.insert_user(&bob, added).await.unwrap();
        insert(&store, &helpers).await;
        let joined = event(AuditEventKind::GroupJoined);
        let join = store.join_group(&helpers.id, &bob.id, joined);
        assert_eq!(join.await, Ok(true));
        fixture.publish_roles(&["rol_1", "rol_2"]).await;
        for (role, holder) in [
            ("rol_1", RoleHolder::Person(alice.id.clone())),
            ("rol_2", RoleHolder::Person(alice.id.clone())),
            ("rol_2", RoleHolder::Group(helpers.id.clone())),
        ] {
            let event = on(AuditEventKind::RoleGiven, at(0));
            let role = given(&fixture, role, holder);
            assert_eq!(store.give_role(role, event).await, Ok(true));
        }
        let mut before = [
            standing(&fixture, alice).await.revision,
            standing(&fixture, &bob).await.revision,
        ];
        for (ids, alices, bobs, is_stale) in [
            (&["rol_1", "rol_2"][..], &["rol_1", "rol_2"][..], 1, false),
            (&["rol_1"], &["rol_1"], 0, true),
            (&["rol_1", "rol_2"], &["rol_1"], 0, false),
        ] {
            fixture.publish_roles(ids).await;
            let now = [
                standing(&fixture, alice).await,
                standing(&fixture, &bob).await,
            ];
            assert_eq!(now[0].roles, alices);
            assert_eq!(now[1].roles.len(), bobs);
            for (before, now) in before.iter_mut().zip(now) {
                assert_eq!(now.revision > *before, is_stale, "{ids:?}");
                *before = now.revision;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn of_somebody_who_is_deleted_no_role_and_no_group_is_left() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let helpers = group("helpers");
        insert(&store, &helpers).await;
        let alice = &fixture.user.id;
        let joined = event(AuditEventKind::GroupJoined);
        assert_eq!(store.join_group(&helpers.id, alice, joined).await, Ok(true));
        fixture.publish_roles(&["rol_1"]).await;
        let role = given(&fixture, "rol_1", RoleHolder::Person(alice.clone()));
        let event_given = event(AuditEventKind::RoleGiven);
        assert_eq!(store.give_role(role, event_given).await, Ok(true));
        assert_eq!(store.list_groups_of(alice).await.unwrap().len(), 1);
        assert_eq!(
            store
                .list_given_roles(None, Some(alice))
                .await
                .unwrap()
                .len(),
            1
        );

        let delete = DeleteUser {
            user: alice.clone(),
            remembered_until: at(3600),
            event: event(AuditEventKind::UserDeleted),
        };
        assert_eq!(store.delete_user(delete).await, Ok(UserDeleted::Deleted));
        assert_eq!(store.list_groups_of(alice).await.unwrap(), []);
        assert_eq!(store.list_given_roles(None, None).await.unwrap(), []);
        assert_eq!(store.list_group_members().await.unwrap(), []);
        let nothing = PersonStanding {
            policy_revision: 2,
            ..PersonStanding::default()
        };
        assert_eq!(standing(&fixture, &fixture.user).await, nothing);
    })
    .await;
}
