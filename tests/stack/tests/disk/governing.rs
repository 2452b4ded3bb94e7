//! Who may do what: the commands that write roles, groups, rules, limits, scopes, tools and policies.

use std::time::Duration;

use http::{Request, header};
use serde_json::{Value, json};
use testkit::echo::{Echo, EchoSettings, tool};
use testkit::person::text;

use super::super::support::PASSWORD;
use super::paths::{Fact, Outcome, refused, says, words};
use super::scene::Scene;

/// The tools that wait for a decision, each for one way to take it.
pub const WAITING: [&str; 6] = [
    "by_approval",
    "by_rejection",
    "by_mapping",
    "by_api_approval",
    "by_api_rejection",
    "by_api_mapping",
];

/// A server with a policy to change, one whose tools wait, and people and groups, all made while the disk is well.
pub struct Governed {
    /// Its roles `kept` and `given`, rules and limits are for the attempts.
    pub server: String,
    /// Where [`WAITING`] wait.
    pub drifting: String,
    /// What waits there, by name: the fingerprints.
    fingerprints: Vec<(String, String)>,
    /// Whose policy is gone back to, and its writer.
    pub back: String,
    /// Who is given a role and put into a group.
    person: String,
    /// Who had one and was in one.
    leaving: String,
    to_delete: String,
    group: String,
    to_leave: String,
    to_remove: String,
    rule: String,
    limit: String,
    name: String,
    _echo: Echo,
}

impl Governed {
    pub async fn make(scene: &Scene, name: &str) -> Self {
        let echo = Echo::start(EchoSettings {
            tools: vec![plain("first")],
            ..EchoSettings::default()
        })
        .await;
        let (server, drifting) = (format!("p-{name}"), format!("w-{name}"));
        let person = format!("p-{name}@example.com");
        let to_delete = format!("gone-{name}@example.com");
        let leaving = format!("l-{name}@example.com");
        let back = format!("b-{name}");
        let (group, to_leave) = (format!("in-{name}"), format!("out-{name}"));
        let to_remove = format!("rm-{name}");
        for line in [
            format!("users add {person} --password-stdin"),
            format!("users add {leaving} --password-stdin"),
            format!("users add {to_delete} --password-stdin"),
            format!("groups add {group}"),
            format!("groups add {to_leave}"),
            format!("groups join {to_leave} {leaving}"),
            format!("groups add {to_remove}"),
            format!("servers add {back} {}", echo.url()),
            format!("rules add {back} deny --everything"),
            format!("servers add {server} {}", echo.url()),
            format!("servers add {drifting} {}", echo.url()),
            format!("roles add {server} kept --scope {server}:read"),
            format!("roles add {server} given --scope {server}:read"),
            format!("roles give {server} given {leaving}"),
        ] {
            run(scene, &line).await;
        }
        let first = |said: String| said.split(' ').next().unwrap_or_default().to_owned();
        let rule = run(scene, &format!("rules add {server} deny --tool first")).await;
        let limit = run(scene, &format!("limits add {server} 60/1m")).await;
        let fingerprints = drift(scene, &echo, &drifting).await;
        Self {
            server,
            drifting,
            fingerprints,
            back,
            person,
            leaving,
            to_delete,
            group,
            to_leave,
            to_remove,
            rule: first(rule),
            limit: first(limit),
            name: name.to_owned(),
            _echo: echo,
        }
    }

    pub fn fingerprint(&self, tool: &str) -> &str {
        let found = self.fingerprints.iter().find(|(name, _)| name == tool);
        &found.unwrap().1
    }
}

/// Gives the server more tools, has somebody list them, and waits until they wait.
async fn drift(scene: &Scene, echo: &Echo, slug: &str) -> Vec<(String, String)> {
    let token = run(
        scene,
        &format!(
            "service-tokens create --server {slug} --name lists --scope {slug}:read --expires 1d"
        ),
    )
    .await;
    // One that changed, in a list that passes, is what the gateway looks again for.
    let other = "Does something else now.";
    let mut tools = vec![tool("first", other, json!({"readOnlyHint": true}))];
    tools.extend(WAITING.map(plain));
    echo.set_tools(tools);
    let mut last = String::new();
    for _ in 0..60 {
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}});
        let request = Request::post(format!("/mcp/{slug}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25");
        let mut connection = scene.open().await.unwrap();
        let answer = connection.send(request, list.to_string()).await.unwrap();
        let answered = format!("{} {}", answer.status(), text(&answer));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let listed = run(scene, &format!("tools list {slug} --json")).await;
        last = format!("{answered}; {listed}");
        let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let waiting: Vec<(String, String)> = listed
            .iter()
            .filter_map(|one| {
                let name = one["name"].as_str()?;
                Some((name.to_owned(), one["waiting"].as_str()?.to_owned()))
            })
            .filter(|(name, _)| WAITING.contains(&&**name))
            .collect();
        if waiting.len() == WAITING.len() {
            return waiting;
        }
    }
    panic!("nothing waits at {slug}: {last}");
}

fn plain(name: &str) -> Value {
    tool(
        name,
        "Does what it is called.",
        json!({"readOnlyHint": true}),
    )
}

async fn run(scene: &Scene, line: &str) -> String {
    let arguments: Vec<&str> = line.split(' ').collect();
    scene.must_run(&arguments, PASSWORD).await
}

/// What a command changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Governing {
    RoleAdd,
    RoleSet,
    RoleGive,
    RoleTake,
    GroupAdd,
    GroupRemove,
    GroupJoin,
    GroupLeave,
    RuleAdd,
    RuleRemove,
    LimitAdd,
    LimitSet,
    ScopeAdd,
    ToolApprove,
    ToolReject,
    ToolMap,
    PolicyRollBack,
    Mode,
    PersonDelete,
}

impl Governing {
    pub const ALL: [Self; 19] = [
        Self::RoleAdd,
        Self::RoleSet,
        Self::RoleGive,
        Self::RoleTake,
        Self::GroupAdd,
        Self::GroupRemove,
        Self::GroupJoin,
        Self::GroupLeave,
        Self::RuleAdd,
        Self::RuleRemove,
        Self::LimitAdd,
        Self::LimitSet,
        Self::ScopeAdd,
        Self::ToolApprove,
        Self::ToolReject,
        Self::ToolMap,
        Self::PolicyRollBack,
        Self::Mode,
        Self::PersonDelete,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::RoleAdd => "roles add",
            Self::RoleSet => "roles set",
            Self::RoleGive => "roles give",
            Self::RoleTake => "roles take",
            Self::GroupAdd => "groups add",
            Self::GroupRemove => "groups remove",
            Self::GroupJoin => "groups join",
            Self::GroupLeave => "groups leave",
            Self::RuleAdd => "rules add",
            Self::RuleRemove => "rules remove",
            Self::LimitAdd => "limits add",
            Self::LimitSet => "limits set",
            Self::ScopeAdd => "scopes add",
            Self::ToolApprove => "tools approve",
            Self::ToolReject => "tools reject",
            Self::ToolMap => "tools map",
            Self::PolicyRollBack => "policy rollback",
            Self::Mode => "servers set --mode",
            Self::PersonDelete => "people delete",
        }
    }

    fn line(self, made: &Governed) -> String {
        let (server, drifting, name) = (&made.server, &made.drifting, &made.name);
        let (person, leaving, group) = (&made.person, &made.leaving, &made.group);
        match self {
            Self::RoleAdd => format!("roles add {server} new-{name} --scope {server}:read"),
            Self::RoleSet => format!("roles set {server} kept --all-scopes"),
            Self::RoleGive => format!("roles give {server} kept {person}"),
            Self::RoleTake => format!("roles take {server} given {leaving}"),
            Self::GroupAdd => format!("groups add new-{name}"),
            Self::GroupRemove => format!("groups remove {}", made.to_remove),
            Self::GroupJoin => format!("groups join {group} {person}"),
            Self::GroupLeave => format!("groups leave {} {leaving}", made.to_leave),
            Self::RuleAdd => format!("rules add {server} deny --tool first --note n-{name}"),
            Self::RuleRemove => format!("rules remove {server} {}", made.rule),
            Self::LimitAdd => format!("limits add {server} 60/1m --note n-{name}"),
            Self::LimitSet => format!("limits set {server} {} 71/1m", made.limit),
            Self::ScopeAdd => format!("scopes add {server} {server}:new --title New"),
            Self::ToolApprove => {
                let print = made.fingerprint(WAITING[0]);
                format!(
                    "tools approve {drifting} {} --fingerprint {print}",
                    WAITING[0]
                )
            }
            Self::ToolReject => {
                let print = made.fingerprint(WAITING[1]);
                format!(
                    "tools reject {drifting} {} --fingerprint {print}",
                    WAITING[1]
                )
            }
            Self::ToolMap => format!("tools map {drifting} {} --deny", WAITING[2]),
            Self::PolicyRollBack => format!("policy rollback {} 3 --yes", made.back),
            Self::Mode => format!("servers set {server} --mode observe"),
            Self::PersonDelete => format!("people delete {} --yes", made.to_delete),
        }
    }

    /// What holds once the command has said so.
    fn fact(self, made: &Governed, said: &str) -> Fact {
        let (server, drifting, name) = (&made.server, &made.drifting, &made.name);
        let id = said.split_whitespace().next().unwrap_or_default();
        let person = &made.person;
        let (new, note) = (format!("new-{name}"), format!("n-{name}"));
        let roles = format!("roles list {server}");
        let rules = format!("rules list {server}");
        let limits = format!("limits list {server}");
        let tools = format!("tools list {drifting}");
        match self {
            Self::RoleAdd => says(&roles, &[&new]),
            Self::RoleSet => says(&roles, &["kept", "every scope"]),
            Self::RoleGive => says(&roles, &["kept", person]),
            Self::RoleTake => Fact::Silent(words(&roles), made.leaving.clone()),
            Self::GroupAdd => says("groups list", &[&new]),
            Self::GroupRemove => Fact::Silent(words("groups list"), made.to_remove.clone()),
            Self::GroupJoin => says("groups list", &[&made.group, person]),
            Self::GroupLeave => Fact::Silent(words("groups list"), made.leaving.clone()),
            Self::RuleAdd => says(&rules, &[id, &note]),
            Self::RuleRemove => Fact::Silent(words(&rules), made.rule.clone()),
            Self::LimitAdd => says(&limits, &[id, &note]),
            Self::LimitSet => says(&limits, &[&made.limit, "71 per 1m"]),
            Self::ScopeAdd => says(
                &format!("scopes list {server}"),
                &[&format!("{server}:new")],
            ),
            Self::ToolApprove => says(&tools, &[WAITING[0], "mapped"]),
            Self::ToolReject => says(&tools, &[WAITING[1], "rejected"]),
            Self::ToolMap => says(&tools, &[WAITING[2], "denied"]),
            Self::PolicyRollBack => {
                let history = format!("policy history {}", made.back);
                says(&history, &["rolled back to revision 3"])
            }
            Self::Mode => says(&format!("servers show {server}"), &["mode", "observe"]),
            Self::PersonDelete => Fact::Silent(words("users list"), made.to_delete.clone()),
        }
    }

    pub async fn attempt(self, scene: &Scene, made: &Governed) -> anyhow::Result<Outcome> {
        let line = self.line(made);
        let arguments: Vec<&str> = line.split(' ').collect();
        let ran = scene.run(&arguments, "").await;
        if !ran.worked {
            return refused(scene, &ran);
        }
        Ok(Outcome::Done(vec![self.fact(made, &ran.out)]))
    }
}
