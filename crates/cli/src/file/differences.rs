use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use toml::{Table, Value};

use super::document::{Document, Server};
use super::problems::join;

/// What would become of one thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) kind: Kind,
    /// Where it stands in the file.
    pub(super) path: String,
    /// At which MCP server, or which one it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<String>,
    /// Slug, client id, e-mail address or name of a group.
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    pub(super) consequences: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    Create,
    Change,
    Remove,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Server,
    Client,
    Decision,
    Person,
    Group,
}

/// One value, as the file writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Field {
    pub(super) field: String,
    pub(super) old: Option<Value>,
    pub(super) new: Option<Value>,
}

/// The difference of two states, in the order of the file.
pub(super) fn steps(now: &Document, wanted: &Document) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for slug in names(&now.servers, &wanted.servers) {
        let (old, new) = (now.servers.get(slug), wanted.servers.get(slug));
        let path = join("servers", slug);
        let alone = |server: &Server| Server {
            clients: BTreeMap::new(),
            decisions: BTreeMap::new(),
            ..server.clone()
        };
        let (alone_old, alone_new) = (old.map(alone), new.map(alone));
        let mut one = step(
            Kind::Server,
            &path,
            slug,
            alone_old.as_ref(),
            alone_new.as_ref(),
        )?;
        if let Some(one) = &mut one {
            one.server = Some(slug.to_owned());
        }
        steps.extend(one);
        // What belongs to a server goes with it.
        let Some(new) = new else { continue };
        let none = Server::default();
        let old = old.unwrap_or(&none);
        for id in names(&old.clients, &new.clients) {
            let path = join(&join(&path, "clients"), id);
            let (old, new) = (old.clients.get(id), new.clients.get(id));
            let one = step(Kind::Client, &path, id, old, new)?;
            steps.extend(one.map(|one| of(one, slug)));
        }
        for id in names(&old.decisions, &new.decisions) {
            let path = join(&join(&path, "decisions"), id);
            let (old, new) = (old.decisions.get(id), new.decisions.get(id));
            let one = step(Kind::Decision, &path, id, old, new)?;
            steps.extend(one.map(|one| of(one, slug)));
        }
    }
    for email in names(&now.people, &wanted.people) {
        let path = join("people", email);
        let (old, new) = (now.people.get(email), wanted.people.get(email));
        steps.extend(step(Kind::Person, &path, email, old, new)?);
    }
    for name in names(&now.groups, &wanted.groups) {
        let path = join("groups", name);
        let (old, new) = (now.groups.get(name), wanted.groups.get(name));
        steps.extend(step(Kind::Group, &path, name, old, new)?);
    }
    Ok(steps)
}

fn of(step: Step, server: &str) -> Step {
    Step {
        server: Some(server.to_owned()),
        ..step
    }
}

fn names<'a, T>(one: &'a BTreeMap<String, T>, other: &'a BTreeMap<String, T>) -> BTreeSet<&'a str> {
    one.keys().chain(other.keys()).map(String::as_str).collect()
}

fn step<T: Serialize>(
    kind: Kind,
    path: &str,
    name: &str,
    old: Option<&T>,
    new: Option<&T>,
) -> anyhow::Result<Option<Step>> {
    let value = |thing: Option<&T>| thing.map(Value::try_from).transpose();
    let (old, new) = (value(old)?, value(new)?);
    let action = match (&old, &new) {
        (None, None) => return Ok(None),
        (None, Some(_)) => Action::Create,
        (Some(_), None) => Action::Remove,
        (Some(_), Some(_)) => Action::Change,
    };
    let mut fields = Vec::new();
    match (action, old, new) {
        (Action::Change, Some(old), Some(new)) => {
            compare("", old, new, &mut fields);
            if fields.is_empty() {
                return Ok(None);
            }
        }
        (_, None, Some(Value::Table(new))) => {
            for (key, new) in new {
                fields.push(Field {
                    field: join("", &key),
                    old: None,
                    new: Some(new),
                });
            }
        }
        (_, old, new) if kind == Kind::Decision => fields.push(Field {
            field: "decision".to_owned(),
            old,
            new,
        }),
        _ => {}
    }
    Ok(Some(Step {
        action,
        kind,
        path: path.to_owned(),
        server: None,
        name: name.to_owned(),
        fields,
        consequences: Vec::new(),
    }))
}

fn compare(path: &str, old: Value, new: Value, fields: &mut Vec<Field>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Value::Table(old), Value::Table(new)) => compare_tables(path, old, new, fields),
        (Value::Array(old), Value::Array(new)) if are_named(&old) && are_named(&new) => {
            let names = |list: &[Value]| {
                let names = list.iter().filter_map(|one| one.get("name").cloned());
                Value::Array(names.collect())
            };
            // Their order, and which there are, in one line; what is in each beside it.
            compare_leaf(path, names(&old), names(&new), fields);
            compare_tables(path, by_id(old), by_id(new), fields);
        }
        (old, new) => compare_leaf(path, old, new, fields),
    }
}

fn compare_leaf(path: &str, old: Value, new: Value, fields: &mut Vec<Field>) {
    if old != new {
        fields.push(Field {
            field: if path.is_empty() { "decision" } else { path }.to_owned(),
            old: Some(old),
            new: Some(new),
        });
    }
}

fn compare_tables(path: &str, mut old: Table, new: Table, fields: &mut Vec<Field>) {
    for (key, new) in new {
        let path = join(path, &key);
        match old.remove(&key) {
            Some(old) => compare(&path, old, new, fields),
            None => fields.push(Field {
                field: path,
                old: None,
                new: Some(new),
            }),
        }
    }
    for (key, old) in old {
        fields.push(Field {
            field: join(path, &key),
            old: Some(old),
            new: None,
        });
    }
}

/// Whether it is a list of scopes, which their ids tell apart.
fn are_named(list: &[Value]) -> bool {
    !list.is_empty()
        && list
            .iter()
            .all(|one| one.get("id").is_some_and(Value::is_str))
}

fn by_id(list: Vec<Value>) -> Table {
    let named = list.into_iter().filter_map(|one| {
        let id = one.get("id")?.as_str()?.to_owned();
        Some((id, one))
    });
    named.collect()
}
