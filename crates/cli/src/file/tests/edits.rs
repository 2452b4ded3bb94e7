//! Files as people may edit them: what a plan says is what an apply does.

use std::collections::BTreeMap;

use authz::{ListStepUp, QuarantineFrom};
use base::{OsRandom, Random as _};
use domain::Upstream;
use store::Applied;
use testkit::SeededRandom;

use super::super::differences::{Step, steps};
use super::super::document::{
    Client, Decision, Document, GivenRoles, Group, Person, Server, UpstreamKind,
};
use super::super::entries::{Access, Entry, Scope};
use super::super::write;
use super::{DOCUMENT, World};

/// How many files are tried on each database.
fn files() -> usize {
    match std::env::var("PORTCULLIS_FILES") {
        Ok(count) => count.parse().unwrap(),
        Err(_) => 20,
    }
}

#[tokio::test]
async fn an_export_as_it_is_changes_nothing() {
    let world = World::sqlite().await;
    let planned = world.plan(&world.export().await).await.unwrap();
    assert!(!planned.is_stale());
    assert_eq!(planned.steps, []);
    assert!(planned.changes.is_empty());
    assert_eq!(planned.wanted.left, []);
}

#[tokio::test]
async fn what_a_plan_says_is_what_an_apply_does() {
    follow_edits(World::sqlite().await).await;
    if let Some(world) = World::postgres().await {
        follow_edits(world).await;
    }
}

#[tokio::test]
async fn a_file_carries_from_when_on_changes_wait_and_what_lists_show_and_changes_neither_by_silence()
 {
    let world = World::sqlite().await;
    let text = world.export().await;
    assert!(!text.contains("quarantine_from") && !text.contains("list_step_up"));
    let head = "[servers.todo.policy]\n";
    let with = |text: &str, lines: &str| text.replacen(head, &format!("{head}{lines}"), 1);
    let lines = "quarantine_from = \"never\"\nlist_step_up = \"always\"\n";
    let planned = world.plan(&with(&text, lines)).await.unwrap();
    assert_eq!(planned.steps[0].fields.len(), 2, "{:?}", planned.steps);
    assert_eq!(world.apply(planned).await, Applied::Done);
    let written = world.export().await;
    for line in lines.lines() {
        assert!(written.contains(line), "{written}");
    }
    let mut silent = written.clone();
    for line in lines.lines() {
        silent = silent.replacen(&format!("{line}\n"), "", 1);
    }
    assert_ne!(silent, written);
    assert_eq!(world.plan(&silent).await.unwrap().steps, []);
    let lines = "quarantine_from = \"medium\"\nlist_step_up = \"auto\"\n";
    let planned = world.plan(&with(&silent, lines)).await.unwrap();
    assert_eq!(world.apply(planned).await, Applied::Done);
    assert!(!world.export().await.contains("quarantine_from"));
    let wrong = world
        .problems(&with(&text, "quarantine_from = \"often\"\n"))
        .await;
    assert!(wrong[0].contains("quarantine_from"), "{wrong:?}");
}

async fn follow_edits(world: World) {
    let mut seed = [0u8; 8];
    OsRandom.fill(&mut seed);
    let seed = u64::from_le_bytes(seed);
    let mut dice = Dice(SeededRandom::new(seed));
    for round in 0..files() {
        let before = world.document().await;
        let mut edited = before.clone();
        for number in 0..dice.below(4) {
            edit(&mut dice, &format!("n{round}-{number}"), &mut edited);
        }
        let wanted = wanted(&before, &edited);
        let own = write::base(&edited).unwrap();
        let base = write::base(&before).unwrap();
        let text = write::render(&edited).unwrap().replace(&own, &base);
        let planned = match world.plan(&text).await {
            Ok(planned) => planned,
            Err(problems) => panic!("seed {seed}, round {round}: {problems:?}\n{text}"),
        };
        assert!(!planned.is_stale());
        assert_eq!(planned.steps.is_empty(), planned.changes.is_empty());
        let (said, changes) = (planned.steps.clone(), planned.changes.len());
        let events = world.events().await;
        assert_eq!(world.apply(planned).await, Applied::Done);
        let after = world.document().await;
        assert_eq!(after, wanted, "seed {seed}, round {round}");
        let bare = said.into_iter().map(|step| Step {
            consequences: Vec::new(),
            ..step
        });
        assert_eq!(bare.collect::<Vec<_>>(), steps(&before, &after).unwrap());
        assert_eq!(world.events().await.min(999), (events + changes).min(999));
        let again = world.plan(&write::render(&after).unwrap()).await.unwrap();
        assert_eq!(again.steps, []);
        assert!(again.changes.is_empty());
        keeps_its_secrets(&world, &after).await;
    }
}

/// The value of a variable is in no file, and outlives them all.
async fn keeps_its_secrets(world: &World, after: &Document) {
    let declared = world.store.read_declared().await.unwrap();
    let files = declared
        .servers
        .iter()
        .find(|one| one.slug.as_str() == "files");
    let Upstream::Stdio { env, .. } = &files.unwrap().upstream else {
        panic!("files is a stdio server");
    };
    let named = &after.servers["files"].upstream.env;
    assert!(named.contains(&"TOKEN".to_owned()));
    assert!(env.contains(&"TOKEN=hush".to_owned()), "{env:?}");
    assert!(!write::render(after).unwrap().contains("hush"));
}

struct Dice(SeededRandom);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        let mut bytes = [0u8; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes) as usize % count.max(1)
    }

    fn pick<T: Clone>(&mut self, list: impl IntoIterator<Item = T>) -> Option<T> {
        let list: Vec<T> = list.into_iter().collect();
        let index = self.below(list.len());
        list.get(index).cloned()
    }
}

/// What the store is to hold: what the file says, and what belongs to people though it does not.
fn wanted(before: &Document, edited: &Document) -> Document {
    let mut wanted = edited.clone();
    for (slug, server) in &mut wanted.servers {
        if let Some(before) = before.servers.get(slug) {
            // Whoever changes what a tool needs has decided on it.
            for (tool, entry) in &mut server.policy.tools {
                let old = before.policy.tools.get(tool);
                let needs = |entry: &Entry| (entry.needs.clone(), entry.access);
                entry.pinned |= old.is_some_and(|old| needs(old) != needs(entry));
            }
            for (id, client) in &before.clients {
                let kept = server.clients.entry(id.clone());
                kept.or_insert_with(|| client.clone());
            }
            for (id, decision) in &before.decisions {
                server.decisions.entry(id.clone()).or_insert(*decision);
            }
        }
        // Left out, they stay as they are; the default is written nowhere.
        let policy = &mut server.policy;
        let old = before.servers.get(slug).map(|before| &before.policy);
        let old_from = old.and_then(|old| old.quarantine_from);
        let from = policy.quarantine_from.or(old_from);
        policy.quarantine_from = from.filter(|from| !from.is_default());
        let old_word = old.and_then(|old| old.list_step_up);
        let word = policy.list_step_up.or(old_word);
        policy.list_step_up = word.filter(|word| !word.is_default());
        server.clients.retain(|_, client| !client.removed);
        server
            .decisions
            .retain(|_, decision| *decision != Decision::Undecided);
    }
    for (email, person) in &before.people {
        let kept = wanted.people.entry(email.clone());
        kept.or_insert_with(|| person.clone());
    }
    for (name, group) in &before.groups {
        let kept = wanted.groups.entry(name.clone());
        kept.or_insert_with(|| group.clone());
    }
    wanted.groups.retain(|_, group| !group.removed);
    // What was given of a role goes with it, and of a server.
    let servers = wanted.servers.clone();
    for roles in holders(&mut wanted) {
        for (slug, names) in roles.iter_mut() {
            let all = servers.get(slug).map(|server| server.policy.roles.iter());
            let all: Vec<&str> = all
                .into_iter()
                .flatten()
                .map(|role| role.name.as_str())
                .collect();
            names.retain(|name| all.contains(&name.as_str()));
        }
        roles.retain(|_, names| !names.is_empty());
    }
    wanted
}

fn holders(document: &mut Document) -> impl Iterator<Item = &mut GivenRoles> {
    let people = document.people.values_mut().map(|person| &mut person.roles);
    let groups = document.groups.values_mut().map(|group| &mut group.roles);
    people.chain(groups)
}

fn some_people(dice: &mut Dice, document: &Document) -> Vec<String> {
    let emails = document.people.keys();
    emails.filter(|_| dice.below(2) == 0).cloned().collect()
}

fn edit(dice: &mut Dice, name: &str, document: &mut Document) {
    let before = document.clone();
    let todo = document.servers.get_mut("todo").unwrap();
    let client = dice.pick(todo.clients.keys().cloned());
    match dice.below(29) {
        0 => todo.name = format!("Todo {name}"),
        1 => {
            let word = dice.pick(["30m", "1h", "2h"]).unwrap();
            todo.settings.insert("access-token".into(), word.into());
        }
        2 => {
            let entry = Entry {
                needs: None,
                access: Some(Access::Public),
                title: "New".into(),
                description: "With \"quotes\"".into(),
                fingerprint: None,
                pinned: false,
                conditions: Vec::new(),
                recorded_arguments: vec!["/path".into()],
            };
            todo.policy.tools.insert(format!("tool {name}"), entry);
        }
        3 => todo
            .policy
            .tools
            .retain(|tool, _| !tool.starts_with("tool ")),
        4 => todo.scopes.push(Scope {
            name: format!("todo:{name}"),
            title: "Something new".into(),
            risk: authz::Risk::High,
            implies: "todo:read".into(),
            id: name.into(),
        }),
        // Those that no tool needs, wherever they stand meanwhile.
        5 => (todo.scopes).retain(|scope| !scope.name.starts_with("todo:n")),
        6 => {
            let last = todo.scopes.len() - 1;
            todo.scopes.swap(1, last);
            todo.scopes[0].title = format!("See {name}");
        }
        7 => {
            let tool = todo.policy.tools.get_mut("list todos").unwrap();
            tool.needs = Some(vec!["todo:write".into(), "todo:read todo:write".into()]);
        }
        8 => todo.url = format!("https://mcp.example.com/mcp/todo-{name}"),
        9 => {
            let mut server = Server {
                name: format!("Server {name}"),
                url: format!("https://mcp.example.com/mcp/{name}"),
                clients: BTreeMap::new(),
                decisions: BTreeMap::new(),
                ..todo.clone()
            };
            server.upstream.kind = UpstreamKind::Http;
            server.upstream.url = Some("http://10.0.0.7:8080/mcp".into());
            document.servers.insert(name.to_owned(), server);
        }
        10 => {
            let added = before.servers.keys().filter(|slug| slug.starts_with('n'));
            if let Some(gone) = dice.pick(added) {
                document.servers.remove(gone);
            }
        }
        11 => {
            let files = document.servers.get_mut("files").unwrap();
            files.upstream.command = vec!["npx".into(), name.into()];
        }
        12 => {
            let client = Client {
                name: "Another".into(),
                redirect_uris: vec!["http://127.0.0.1/callback".into()],
                authentication: vec![domain::AuthMethod::None],
                blocked: dice.below(2) == 0,
                ..Client::default()
            };
            todo.clients.insert(format!("app.{name}"), client);
        }
        13 | 14 => {
            if let Some(client) = client.and_then(|id| todo.clients.get_mut(&id)) {
                client.blocked = dice.below(2) == 0;
                client.name = format!("App {name}");
                client.redirect_uris = vec![format!("https://app.example.com/{name}")];
            }
        }
        15 => {
            // One that this file adds cannot be taken away by it, so it is left out.
            match client {
                Some(id) if !id.ends_with(name) && dice.below(2) == 0 => {
                    let is_new =
                        id.starts_with(&format!("app.{}-", name.split('-').next().unwrap()));
                    match is_new {
                        true => todo.clients.remove(&id).map(|_| ()),
                        false => todo
                            .clients
                            .get_mut(&id)
                            .map(|client| client.removed = true),
                    };
                }
                Some(id) => {
                    todo.clients.remove(&id);
                }
                None => {}
            }
        }
        16 => {
            let said = [Decision::Approved, Decision::Blocked, Decision::Undecided];
            todo.decisions
                .insert(DOCUMENT.into(), dice.pick(said).unwrap());
        }
        17 => {
            let person = Person {
                name: format!("Person {name}"),
                owner: dice.below(2) == 0,
                disabled: dice.below(2) == 0,
                roles: GivenRoles::new(),
            };
            document
                .people
                .insert(format!("{name}@example.com"), person);
        }
        18 => {
            let person = Person {
                name: format!("Ann {name}"),
                owner: dice.below(2) == 0,
                disabled: dice.below(2) == 0,
                roles: GivenRoles::new(),
            };
            document.people.insert("Ann@example.com".into(), person);
        }
        19 => todo.policy.roles.push(authz::Role {
            id: format!("rol_{name}"),
            name: name.to_owned(),
            title: String::new(),
            scopes: authz::RoleScopes::All,
        }),
        20 => {
            if let Some(gone) = dice.pick(todo.policy.roles.clone()) {
                todo.policy.roles.retain(|role| role.id != gone.id);
                for roles in holders(document) {
                    if let Some(names) = roles.get_mut("todo") {
                        names.retain(|name| *name != gone.name);
                    }
                    roles.retain(|_, names| !names.is_empty());
                }
            }
        }
        21 | 22 => {
            let role = dice.pick(todo.policy.roles.clone());
            let count = document.people.len() + document.groups.len();
            let holder = dice.below(count);
            if let (Some(role), Some(roles)) = (role, holders(document).nth(holder)) {
                let names = roles.entry("todo".into()).or_default();
                match names.contains(&role.name) {
                    true => names.retain(|name| *name != role.name),
                    false => names.push(role.name),
                }
                names.sort();
                roles.retain(|_, names| !names.is_empty());
            }
        }
        23 => {
            let group = Group {
                id: format!("grp_{name}"),
                members: some_people(dice, document),
                ..Group::default()
            };
            document.groups.insert(name.to_owned(), group);
        }
        24 => {
            let members = some_people(dice, document);
            let known = dice.pick(before.groups.keys().cloned());
            if let Some(group) = known.and_then(|name| document.groups.get_mut(&name)) {
                group.members = members;
            }
        }
        25 => {
            if let Some(gone) = dice.pick(before.groups.keys().cloned()) {
                let is_new = gone.starts_with(&format!("{}-", name.split('-').next().unwrap()));
                match document.groups.get_mut(&gone) {
                    Some(group) if !is_new && dice.below(2) == 0 => group.removed = true,
                    _ => drop(document.groups.remove(&gone)),
                }
            }
        }
        26 => {
            let said = [
                QuarantineFrom::Low,
                QuarantineFrom::Medium,
                QuarantineFrom::Never,
            ];
            todo.policy.quarantine_from = dice.pick(said);
        }
        27 => {
            let said = [ListStepUp::Auto, ListStepUp::Never];
            todo.policy.list_step_up = dice.pick(said);
        }
        _ => {
            todo.decisions.clear();
            if let Some(email) = dice.pick(before.people.keys()) {
                document.people.remove(email);
            }
        }
    }
}
