//! Who has which role, and which of their tokens a change makes stale.

use authz::{Policy, Role, RoleScopes, RuleClient, RuleEffect, RuleWhat, RuleWho, SubjectRule};
use base::{OsRandom, Timestamp};
use domain::{AuditEvent, AuditEventKind, Group, GroupId, RoleHolder, User};
use store::{
    DeleteUser, GivenRole, InsertGroup, PersonStanding, PublishOutcome, Store, UserDeleted,
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

async fn cut_offs(store: &Store, now: Timestamp) -> Vec<(String, Timestamp)> {
    let all = store.list_subject_cut_offs(now).await.unwrap();
    all.into_iter()
        .map(|cut_off| (cut_off.user.to_string(), cut_off.issued_before))
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

        let direct = given(&fixture, "rol_1", RoleHolder::Person(alice.id.clone()));
        let give = || store.give_role(direct.clone(), on(AuditEventKind::RoleGiven, at(10)));
        let before = store.change_counter().await.unwrap();
        assert_eq!(give().await, Ok(true));
        assert!(store.change_counter().await.unwrap() > before);
        assert_eq!(give().await, Ok(false), "they have it");
        let stranger = given(
            &fixture,
            "rol_1",
            RoleHolder::Person(user("x@example.com").id),
        );
        let given_to_nobody = store.give_role(stranger, event(AuditEventKind::RoleGiven));
        assert_eq!(given_to_nobody.await, Ok(false));
        assert_eq!(
            cut_offs(&store, at(11)).await,
            [(alice.id.to_string(), at(13))]
        );
        assert_eq!(standing(&fixture, alice).await.roles, ["rol_1"]);
        assert_eq!(standing(&fixture, alice).await.cut_off, Some(at(13)));
        let nothing = PersonStanding {
            policy_revision: 1,
            ..PersonStanding::default()
        };
        assert_eq!(standing(&fixture, &bob).await, nothing);

        // A group that means nothing anywhere makes nobody's token stale.
        let join =
            |now| store.join_group(&helpers.id, &bob.id, on(AuditEventKind::GroupJoined, now));
        assert_eq!(join(at(20)).await, Ok(true));
        assert_eq!(join(at(20)).await, Ok(false), "they are in it");
        assert_eq!(standing(&fixture, &bob).await.cut_off, None);
        let through = given(&fixture, "rol_2", RoleHolder::Group(helpers.id.clone()));
        let event = on(AuditEventKind::RoleGiven, at(30));
        assert_eq!(store.give_role(through, event).await, Ok(true));
        let bobs = standing(&fixture, &bob).await;
        assert_eq!(
            (bobs.roles.as_slice(), bobs.cut_off),
            (["rol_2".to_owned()].as_slice(), Some(at(33)))
        );
        assert_eq!(bobs.groups, [helpers.id.to_string()]);

        let left = store.leave_group(&helpers.id, &bob.id, on(AuditEventKind::GroupLeft, at(40)));
        assert_eq!(left.await, Ok(true));
        let bobs = standing(&fixture, &bob).await;
        assert_eq!(
            (bobs.roles.len(), bobs.groups.len(), bobs.cut_off),
            (0, 0, Some(at(43)))
        );
        assert_eq!(
            standing(&fixture, alice).await.cut_off,
            Some(at(13)),
            "nobody else's"
        );

        assert_eq!(join(at(50)).await, Ok(true));
        let removed = store.remove_group(&helpers.id, on(AuditEventKind::GroupRemoved, at(60)));
        assert_eq!(removed.await, Ok(true));
        assert_eq!(standing(&fixture, &bob).await.cut_off, Some(at(63)));
        assert_eq!(standing(&fixture, &bob).await.roles.len(), 0);
        assert_eq!(store.list_groups().await.unwrap(), []);
        let taken = store.take_role(direct.clone(), on(AuditEventKind::RoleTaken, at(70)));
        assert_eq!(taken.await, Ok(true));
        assert_eq!(standing(&fixture, alice).await.roles.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_rule_that_names_a_group_for_the_first_time_makes_its_members_tokens_stale() {
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
        for (revision, note, expected) in [(1, "first", at(13)), (2, "again", at(13))] {
            let event = on(AuditEventKind::PolicyPublished, at(10 * revision));
            let policy = policy(note);
            let published = store.publish_policy(slug, revision, &policy, event);
            assert_eq!(published.await, Ok(PublishOutcome::Published(revision + 1)));
            assert_eq!(
                standing(&fixture, &fixture.user).await.cut_off,
                Some(expected)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_cut_off_never_moves_back() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let alice = &fixture.user;
        for (role, now, expected) in [("rol_1", 20, 23), ("rol_2", 10, 23), ("rol_3", 30, 33)] {
            let role = given(&fixture, role, RoleHolder::Person(alice.id.clone()));
            let event = on(AuditEventKind::RoleGiven, at(now));
            assert_eq!(store.give_role(role, event).await, Ok(true));
            assert_eq!(standing(&fixture, alice).await.cut_off, Some(at(expected)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_role_that_a_new_policy_lacks_is_taken_back_and_does_not_come_back_with_it() {
    on_every_store(|store| async move {
        let fixture = Fixture::new(&store).await;
        let alice = &fixture.user;
        for role in ["rol_1", "rol_2"] {
            let role = given(&fixture, role, RoleHolder::Person(alice.id.clone()));
            let event = on(AuditEventKind::RoleGiven, at(0));
            assert_eq!(store.give_role(role, event).await, Ok(true));
        }
        let with = |ids: &[&str]| Policy {
            roles: ids
                .iter()
                .map(|id| Role {
                    id: (*id).to_owned(),
                    name: (*id).to_owned(),
                    title: String::new(),
                    scopes: RoleScopes::All,
                })
                .collect(),
            ..Policy::default()
        };
        for (revision, ids, left, cut_off) in [
            (1, &["rol_1", "rol_2"][..], &["rol_1", "rol_2"][..], at(3)),
            (2, &["rol_1"], &["rol_1"], at(23)),
            (3, &["rol_1", "rol_2"], &["rol_1"], at(23)),
        ] {
            let event = on(AuditEventKind::PolicyPublished, at(10 * revision));
            let policy = with(ids);
            let published = store.publish_policy(&fixture.server.slug, revision, &policy, event);
            assert_eq!(published.await, Ok(PublishOutcome::Published(revision + 1)));
            let now = standing(&fixture, alice).await;
            assert_eq!(now.roles, left);
            assert_eq!(
                (now.cut_off, now.policy_revision),
                (Some(cut_off), revision + 1)
            );
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
            policy_revision: 1,
            ..PersonStanding::default()
        };
        assert_eq!(standing(&fixture, &fixture.user).await, nothing);
    })
    .await;
}
