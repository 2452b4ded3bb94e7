//! What is wrong in a file is told with its place and its field, and the same file without that is accepted.

use authz::ListKind;
use base::{Clock as _, SystemClock};
use domain::{AuditEventKind, ClientId, DefinitionState, ServerSlug, StoredDefinition};
use store::{Applied, PublishOutcome, SeenDefinitions};
use wire::mcp::definition::Definition;
use wire::mcp::{Limits, parse_strict};

use super::super::write;
use super::{DOCUMENT, World, event};

#[tokio::test]
async fn each_mistake_is_told_with_its_field_and_its_twin_is_accepted() {
    let world = World::sqlite().await;
    let removed = ServerSlug::parse("gone").unwrap();
    let now = SystemClock.now();
    let gone = super::server("gone", domain::Upstream::Todo, now);
    let added = event(AuditEventKind::ServerAdded, now);
    world.store.insert_server(&gone, added).await.unwrap();
    let event = event(AuditEventKind::ServerRemoved, now);
    world.store.remove_server(&removed, event).await.unwrap();
    let text = world.export().await;
    let http = |slug: &str, more: &str| {
        format!(
            "\n[servers.{slug}]\n{more}\n[servers.{slug}.upstream]\nkind = \"http\"\nurl = \"http://10.0.0.7/mcp\"\n"
        )
    };
    let client = |id: &str, more: &str| {
        format!("\n[servers.todo.clients.\"{id}\"]\nname = \"App\"\n{more}\n")
    };
    let public = "authentication = [\"none\"]\nredirect_uris = [\"https://app.example.com/cb\"]";
    let group = |name: &str, more: &str| format!("\n[groups.{name}]\n{more}\n");
    let person = |email: &str, more: &str| format!("\n[people.\"{email}\"]\n{more}\n");
    // What stands in the export, what is written instead, the field, the words; then what is accepted in its place.
    let replaced = [
        (
            "access-token = \"1h\"",
            (
                "acess-token = \"1h\"",
                "settings.acess-token",
                "did you mean servers.files.settings.access-token?",
            ),
            "access-token = \"2h\"",
        ),
        (
            "access-token = \"1h\"",
            (
                "access-token = \"1s\"",
                "settings.access-token",
                "between 1m and 1d",
            ),
            "access-token = \"1m\"",
        ),
        (
            "access-token = \"1h\"",
            (
                "access-token = 3600",
                "settings.access-token",
                "must be text",
            ),
            "access-token = \"3600s\"",
        ),
        (
            "family = \"365d\"",
            (
                "family = \"1h\"",
                "settings.family",
                "shorter than --refresh-token",
            ),
            "family = \"90d\"",
        ),
        (
            "native-schemes = \"any\"",
            (
                "native-schemes = \"some\"",
                "settings.native-schemes",
                "is none of: any, known, off",
            ),
            "native-schemes = \"known\"",
        ),
        (
            "command = [",
            (
                "comand = [",
                "servers.files.upstream.comand",
                "did you mean servers.files.upstream.command?",
            ),
            "command = [ ",
        ),
        (
            "\"HOME\"]",
            (
                "\"HOME=/root\"]",
                "servers.files.upstream.env",
                "HOME: values are not kept",
            ),
            "\"PATH\"]",
        ),
        (
            "directory = \"/srv\"",
            (
                "directory = \"srv\"",
                "servers.files.upstream.directory",
                "begins with /",
            ),
            "directory = \"/srv/files\"",
        ),
        (
            "https://mcp.example.com/mcp/todo",
            (
                "https://mcp.example.com/mcp/files",
                "servers.todo.url",
                "is an address of files already",
            ),
            "https://mcp.example.com/mcp/tasks",
        ),
        (
            "https://mcp.example.com/mcp/todo",
            (
                "http://mcp.example.com/mcp/todo",
                "servers.todo.url",
                "use https",
            ),
            "https://todo.example.com/mcp",
        ),
        (
            "https://mcp.example.com/mcp/todo",
            (
                "https://mcp.example.com/admin",
                "servers.todo.url",
                "the authority itself answers there",
            ),
            "https://mcp.example.com/mcp/admin",
        ),
        (
            "needs = [\"todo:write\"]",
            (
                "needs = [\"todo:write\"]\nconditions = [{ argument = \"list\", operator = { equals = 1 } }]",
                "servers.todo.policy.tools.add.conditions[0]",
                "is no JSON Pointer",
            ),
            "needs = [\"todo:write\"]\nconditions = [{ argument = \"/list\", operator = { equals = 1 } }]",
        ),
        (
            "needs = [\"todo:write\"]",
            (
                "needs = [\"todo:write\"]\nconditions = [{ argument = \"/list\", operator = { equal = 1 } }]",
                "servers.todo.policy.tools.add.conditions[0]",
                "unknown variant `equal`",
            ),
            "needs = [\"todo:write\"]\nconditions = [{ argument = \"/list\", operator = { one_of = [1] } }]",
        ),
        (
            "needs = [\"todo:write\"]",
            (
                "needs = [\"todo:write\"]\nrecorded_arguments = [\"list\"]",
                "servers.todo.policy.tools.add.recorded_arguments",
                "is no JSON Pointer",
            ),
            "needs = [\"todo:write\"]\nrecorded_arguments = [\"/list\"]",
        ),
        (
            "default_scopes = \"todo:read\"",
            (
                "default_scopes = \"todo:read\"\ndefault_role = \"rol_9\"",
                "servers.todo.policy.default_role",
                "rol_9 is no role",
            ),
            "default_scopes = \"todo:read\"\ndefault_role = \"rol_1\"\nroles = [{ id = \"rol_1\", name = \"all\", scopes = \"all\" }]",
        ),
        (
            "default_scopes = \"todo:read\"",
            (
                "default_scopes = \"todo:read\"\nrate_limits = [{ id = \"lim_1\", per = \"person\", rate = \"60\" }]",
                "servers.todo.policy.rate_limits",
                "such as 60 per 1m",
            ),
            "default_scopes = \"todo:read\"\nrate_limits = [{ id = \"lim_1\", per = \"person\", rate = \"60 per 1m\" }]",
        ),
        (
            "needs = [\"todo:write\"]",
            (
                "needs = [\"todo:erase\"]",
                "servers.todo.policy.tools.add.needs",
                "todo:erase is no scope of this server",
            ),
            "needs = [\"todo:read\"]",
        ),
        (
            "needs = [\"todo:write\"]",
            (
                "needs = [\"\"]",
                "servers.todo.policy.tools.add.needs",
                "would let everybody in",
            ),
            "access = \"public\"",
        ),
        (
            "needs = [\"todo:write\"]",
            (
                "access = \"everybody\"",
                "servers.todo.policy.tools.add.access",
                "unknown variant `everybody`",
            ),
            "access = \"denied\"",
        ),
        (
            "needs = [\"todo:write\"]",
            (
                "access = \"public\"\nneeds = []",
                "servers.todo.policy.tools.add",
                "needs and access are both said",
            ),
            "needs = []",
        ),
        (
            "id = \"write\"",
            ("id = \"read\"", "servers.todo.scopes[1].id", "each once"),
            "id = \"written\"",
        ),
        (
            "default_scopes = \"todo:read\"",
            (
                "default_scopes = \"todo:all\"",
                "servers.todo.policy.default_scopes",
                "todo:all is no scope",
            ),
            "default_scopes = \"\"",
        ),
        (
            "owner = true",
            (
                "owner = false",
                "people",
                "no owner with a password would be left",
            ),
            "owner = true\ndisabled = false",
        ),
        (
            "Ann@example.com",
            (
                "ann@example.com",
                "people.\"ann@example.com\"",
                "is kept as Ann@example.com",
            ),
            "bob@example.com",
        ),
        (
            "= \"approved\"",
            (
                "= \"allowed\"",
                "decisions.\"https://client.example/oauth.json\"",
                "unknown variant `allowed`",
            ),
            "= \"undecided\"",
        ),
        (
            DOCUMENT,
            (
                "http://client.example/oauth.json",
                "decisions.\"http://client.example/oauth.json\"",
                "https",
            ),
            "https://client.example/other.json",
        ),
        (
            "format = 1",
            ("format = 2", "format", "another one wrote the file"),
            "format = 1 # two",
        ),
        (
            "format = 1",
            ("", "format", "write format = 1"),
            "format = 1 # one",
        ),
    ];
    // All of them are tried, so that one run tells everything that is not as it should be.
    let mut wrong = Vec::new();
    for (old, (new, field, words), twin) in replaced {
        let edited = text.replacen(old, new, 1);
        let told = world.problems(&edited).await;
        if edited == text || !is_told(&told, field, words) {
            wrong.push(format!("{new}: {told:?}"));
        }
        let told = world.problems(&text.replacen(old, twin, 1)).await;
        if !told.is_empty() {
            wrong.push(format!("{twin}: {told:?}"));
        }
    }
    let keys = |more: &str| {
        format!(
            "authentication = [\"private_key_jwt\"]\nredirect_uris = [\"https://app.example.com/cb\"]\n{more}"
        )
    };
    let added = [
        (
            http("gone", ""),
            "servers.gone",
            "never given again",
            http("fresh", ""),
        ),
        (
            http("Fresh", ""),
            "servers.Fresh",
            "is not a slug",
            http("fresh", ""),
        ),
        (
            http("fresh", "url = \"https://mcp.example.com/mcp/todo\""),
            "servers.fresh.url",
            "is an address of todo already",
            http("fresh", "url = \"https://mcp.example.com/mcp/todos\""),
        ),
        (
            http("fresh", "nam = \"Fresh\""),
            "servers.fresh.nam",
            "did you mean servers.fresh.name?",
            http("fresh", "name = \"Fresh\""),
        ),
        (
            http("fresh", "").replace("\"http\"", "\"todo\""),
            "servers.fresh.upstream.url",
            "is for the kind http only",
            http("fresh", ""),
        ),
        (
            client("a b", public),
            "servers.todo.clients.\"a b\"",
            "1 to 100 of",
            client("a.b", public),
        ),
        (
            client("app", "authentication = [\"none\"]"),
            "servers.todo.clients.app",
            "at least one redirect URI",
            client("app", public),
        ),
        (
            client("app", &public.replace("https://app", "http://app")),
            "servers.todo.clients.app",
            "http://app.example.com/cb",
            client("app", public),
        ),
        (
            client(
                "app",
                &public.replace("\"none\"", "\"none\", \"client_secret\""),
            ),
            "servers.todo.clients.app.authentication",
            "must be one of",
            client("app", &public.replace("\"none\"", "\"client_secret\"")),
        ),
        (
            client("app", &keys("jwks_uri = \"http://app.example.com/keys\"")),
            "servers.todo.clients.app.jwks_uri",
            "https",
            client("app", &keys("jwks_uri = \"https://app.example.com/keys\"")),
        ),
        (
            client(
                "app",
                &keys("jwks = '{\"keys\":[{\"kty\":\"EC\",\"d\":\"x\"}]}'"),
            ),
            "servers.todo.clients.app.jwks",
            "private key",
            client("app", &keys("jwks_uri = \"https://app.example.com/keys\"")),
        ),
        (
            client("app", &format!("{public}\nservice_scopes = \"todo:read\"")),
            "servers.todo.clients.app",
            "needs a secret or keys",
            client(
                "app",
                &format!("{public}\nservice_scopes = \"todo:read\"")
                    .replace("\"none\"", "\"client_secret\""),
            ),
        ),
        (
            client("nobody", "removed = true"),
            "servers.todo.clients.nobody",
            "no such client",
            client("somebody", public),
        ),
        (
            person("bob", ""),
            "people.bob",
            "not an e-mail address",
            person("bob@example.com", ""),
        ),
        (
            person("ann@example.com", ""),
            "people.\"ann@example.com\"",
            "is the same person as Ann@example.com",
            person("anna@example.com", ""),
        ),
        (
            person("bob@example.com", "ownr = true"),
            "people.\"bob@example.com\".ownr",
            "did you mean people.\"bob@example.com\".owner?",
            person("bob@example.com", "owner = true"),
        ),
        (
            person("bob@example.com", "roles.todo = [\"reader\"]"),
            "people.\"bob@example.com\".roles.todo",
            "reader is no role of todo; it has: none",
            person("bob@example.com", "roles.todo = []"),
        ),
        (
            person("bob@example.com", "roles.toda = []"),
            "people.\"bob@example.com\".roles.toda",
            "there is no server of this name",
            person("bob@example.com", "roles.files = []"),
        ),
        (
            group("Staff", "members = []"),
            "groups.Staff",
            "begins with a letter",
            group("staff", "members = []"),
        ),
        (
            group("staff", ""),
            "groups.staff.members",
            "is missing",
            group("staff", "members = [\"Ann@example.com\"]"),
        ),
        (
            group("staff", "members = [\"bob@example.com\"]"),
            "groups.staff.members",
            "bob@example.com is none of the people",
            group("staff", "members = [\"ann@example.com\"]"),
        ),
        (
            group("staff", "members = []\nid = \"staff\""),
            "groups.staff.id",
            "an id is grp_",
            group("staff", "members = []\nid = \"grp_staff\""),
        ),
        (
            person("bob@example.com", "owner = 1"),
            "people.\"bob@example.com\".owner",
            "must be true or false",
            person("bob@example.com", "owner = true"),
        ),
    ];
    for (more, field, words, twin) in added {
        let told = world.problems(&format!("{text}{more}")).await;
        if !is_told(&told, field, words) {
            wrong.push(format!("{more}: {told:?}"));
        }
        let told = world.problems(&format!("{text}{twin}")).await;
        if !told.is_empty() {
            wrong.push(format!("{twin}: {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One mistake is one line, with its place, its field and the words.
fn is_told(told: &[String], field: &str, words: &str) -> bool {
    match told {
        [told] => told.starts_with("line ") && told.contains(field) && told.contains(words),
        _ => false,
    }
}

#[tokio::test]
async fn all_mistakes_of_a_file_are_told_in_its_order_and_nothing_else() {
    let world = World::sqlite().await;
    let text = world.export().await;
    let text = text
        .replacen("owner = true", "owner = 3", 1)
        .replacen("access-token = \"1h\"", "access-token = \"never\"", 1)
        .replacen("kind = \"todo\"", "kind = \"dodo\"\nchain = 1", 1);
    let told = world.problems(&text).await;
    let fields = [
        "servers.files.settings.access-token",
        "servers.todo.upstream.kind",
        "servers.todo.upstream.chain",
        "people.\"owner@example.com\".owner",
    ];
    // With nobody known to be an owner, that is told as well.
    assert!(
        told.len() == fields.len() || told.len() == fields.len() + 1,
        "{told:?}"
    );
    for field in fields {
        assert!(
            told.iter().any(|told| told.contains(field)),
            "{field}: {told:?}"
        );
    }
    let lines: Vec<usize> = told
        .iter()
        .map(|told| told[5..].split(',').next().unwrap().parse().unwrap())
        .collect();
    assert!(lines.is_sorted(), "{told:?}");
    let broken = world.problems("format = 1\nbase = \n").await;
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert!(broken[0].starts_with("line 2, column"), "{broken:?}");
}

#[tokio::test]
async fn the_id_of_a_client_that_registered_itself_or_is_elsewhere_is_taken() {
    let world = World::sqlite().await;
    let text = world.export().await;
    let declared = world.store.read_declared().await.unwrap();
    let mut own = declared.clients[0].clone();
    own.id = ClientId::from_text("self-made");
    own.registration = domain::ClientRegistration::Dynamic;
    let event = event(AuditEventKind::ClientRegistered, SystemClock.now());
    world.store.insert_client(&own, None, event).await.unwrap();
    let client = |server: &str, id: &str| {
        format!(
            "{text}\n[servers.{server}.clients.\"{id}\"]\nname = \"App\"\nauthentication = [\"none\"]\n\
             redirect_uris = [\"https://app.example.com/cb\"]\n"
        )
    };
    let elsewhere = declared.clients[0].id.as_str();
    for (server, id) in [("todo", "self-made"), ("files", elsewhere)] {
        let told = world.problems(&client(server, id)).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("another client has this id"), "{told:?}");
    }
    assert!(world.problems(&client("files", "other")).await.is_empty());
}

/// A world in which the definition of `add` is known.
async fn with_a_definition_of_add() -> World {
    let world = World::sqlite().await;
    keep_the_definition_of_add(&world, DefinitionState::Accepted).await;
    world
}

/// Says the fingerprint.
async fn keep_the_definition_of_add(world: &World, state: DefinitionState) -> String {
    let todo = ServerSlug::parse("todo").unwrap();
    let definition = r#"{"name":"add","inputSchema":{"type":"object",
        "properties":{"list":{"enum":["home","work"]},"limit":{"type":"integer"},
        "filter":{"type":"object","properties":{"owner":{"type":"string"}}}}}}"#;
    let definition = parse_strict(definition.as_bytes(), &Limits::default()).unwrap();
    let definition = Definition::read(ListKind::Tools, definition).unwrap();
    let now = SystemClock.now();
    let seen = SeenDefinitions {
        kept: vec![StoredDefinition::seen(&definition, state, now)],
        ..SeenDefinitions::default()
    };
    let server = world.store.find_server(&todo).await.unwrap().unwrap();
    let event = event(AuditEventKind::PolicyPublished, now);
    let outcome = world
        .store
        .publish_inventory(&todo, server.policy_revision, None, seen, event)
        .await
        .unwrap();
    assert!(matches!(outcome, PublishOutcome::Published(_)));
    authz::fingerprint(&definition)
}

#[tokio::test]
async fn a_tool_that_a_file_puts_back_waits_while_something_else_of_it_waits_or_it_was_rejected() {
    use DefinitionState::{Accepted, Pending, Rejected};
    for (state, is_said, is_accepted) in [
        (Pending, false, false),
        (Pending, true, true),
        (Rejected, false, false),
        (Rejected, true, false),
        (Accepted, false, true),
        (Accepted, true, true),
    ] {
        let world = World::sqlite().await;
        let (whole, base) = (
            world.export().await,
            write::base(&world.document().await).unwrap(),
        );
        let todo = ServerSlug::parse("todo").unwrap();
        let without = |policy: &mut authz::Policy| {
            policy.tools.remove("add");
        };
        let now = SystemClock.now();
        oauth::drift::edit(&world.store, now, &todo, "", without)
            .await
            .unwrap();
        let base_now = write::base(&world.document().await).unwrap();
        let needs = "needs = [\"todo:write\"]";
        let with = |fingerprint: &str| match is_said {
            true => whole.replace(needs, &format!("{needs}\nfingerprint = \"{fingerprint}\"")),
            false => whole.clone(),
        };
        let of = |fingerprint: &str| with(fingerprint).replace(&base, &base_now);
        // Planned before anybody knew of the definition: what the apply finds counts.
        let fingerprint = keep_the_definition_of_add(&World::sqlite().await, state).await;
        let early = world.plan(&of(&fingerprint)).await.unwrap();
        keep_the_definition_of_add(&world, state).await;
        let planned = world.plan(&of(&fingerprint)).await.unwrap();
        let words = planned.steps[0].consequences.join("; ");
        assert_eq!(
            !words.contains("in quarantine"),
            is_accepted,
            "{state:?} {is_said} {words}"
        );
        if !is_accepted {
            let early = world.store.apply(early.into_apply(now)).await;
            assert!(!matches!(early, Ok(Applied::Done)), "{early:?}");
        }
        assert_eq!(world.apply(planned).await, Applied::Done);
        let stored = world.store.find_server(&todo).await.unwrap().unwrap();
        let entry = &stored.policy.tools["add"];
        assert_eq!(
            entry.state.is_accepted(),
            is_accepted,
            "{state:?} {is_said}"
        );
        if is_accepted {
            assert_eq!(entry.fingerprint, Some(fingerprint), "{state:?} {is_said}");
        }
    }
}

#[tokio::test]
async fn a_condition_is_held_against_the_input_schema_that_the_tool_was_accepted_with() {
    let world = with_a_definition_of_add().await;
    let text = world.export().await;
    let needs = "needs = [\"todo:write\"]";
    assert_eq!(text.matches(needs).count(), 1);
    let with = |condition: &str| {
        text.replace(needs, &format!("{needs}\nconditions = [{{ {condition} }}]"))
    };
    for (condition, words) in [
        (
            "argument = \"/owner\", operator = { equals = \"ann\" }",
            "has no argument /owner",
        ),
        (
            "argument = \"/limit\", operator = { starts_with = \"1\" }",
            "/limit is compared with a string, and by its schema it is integer",
        ),
        (
            "argument = \"/list\", operator = { equals = \"garden\" }",
            "by its schema /list is never \"garden\"",
        ),
    ] {
        let problems = world.problems(&with(condition)).await;
        let [problem] = problems.as_slice() else {
            panic!("{condition}: {problems:?}");
        };
        let place = "servers.todo.policy.tools.add.conditions[0]";
        assert!(problem.contains(place), "{problem}");
        assert!(problem.contains(words), "{problem}");
    }
    for condition in [
        "argument = \"/limit\", operator = { at_most = 1 }",
        "argument = \"/list\", operator = { equals = \"home\" }",
    ] {
        assert_eq!(
            world.problems(&with(condition)).await,
            Vec::<String>::new(),
            "{condition}"
        );
    }
}

#[tokio::test]
async fn an_argument_to_record_is_held_against_the_input_schema_where_there_is_no_condition() {
    let with = async |world: &World, argument: &str| {
        let text = world.export().await;
        let needs = "needs = [\"todo:write\"]";
        assert_eq!(text.matches(needs).count(), 1);
        let recorded = format!("{needs}\nrecorded_arguments = [\"{argument}\"]");
        text.replace(needs, &recorded)
    };
    let world = with_a_definition_of_add().await;
    for (argument, words) in [
        ("/owner", "has no argument /owner"),
        ("/filter", "/filter is a list or an object"),
    ] {
        let problems = world.problems(&with(&world, argument).await).await;
        let [problem] = problems.as_slice() else {
            panic!("{argument}: {problems:?}");
        };
        let place = "servers.todo.policy.tools.add.recorded_arguments";
        assert!(problem.contains(place), "{problem}");
        assert!(problem.contains(words), "{problem}");
    }
    let planned = world.plan(&with(&world, "/filter/owner").await).await;
    assert_eq!(world.apply(planned.unwrap()).await, Applied::Done);
    let todo = ServerSlug::parse("todo").unwrap();
    let stored = world.store.find_server(&todo).await.unwrap().unwrap();
    let recorded = &stored.policy.tools["add"].recorded_arguments;
    assert_eq!(recorded, &["/filter/owner"]);
    // Of a tool whose schema nobody has seen, whoever writes it is taken at their word.
    let unseen = World::sqlite().await;
    let problems = unseen.problems(&with(&unseen, "/owner").await).await;
    assert_eq!(problems, Vec::<String>::new());
}

#[tokio::test]
async fn a_group_goes_only_with_the_rules_that_name_it() {
    let world = World::sqlite().await;
    let text = world.export().await;
    let scopes = "[[servers.todo.scopes]]";
    let rule = "\n[[servers.todo.policy.rules]]\nid = \"rul_1\"\neffect = \"deny\"\nwho = { group = \"grp_staff\" }\nwhat = { scopes = \"todo:write\" }\n";
    let staff = "\n[groups.staff]\nid = \"grp_staff\"\nmembers = [\"Ann@example.com\"]\n";
    assert!(text.contains(scopes));
    // A rule about nobody would bind nobody.
    let told = world.problems(&format!("{text}{rule}")).await;
    let field = "servers.todo.policy.rules[0]";
    assert!(
        is_told(&told, field, "no group has the id grp_staff"),
        "{told:?}"
    );
    let planned = world.plan(&format!("{text}{rule}{staff}")).await.unwrap();
    assert_eq!(world.apply(planned).await, Applied::Done);
    let text = world.export().await;
    assert!(text.contains("members = [\"Ann@example.com\"]"), "{text}");
    let gone = text.replace("[groups.staff]\n", "[groups.staff]\nremoved = true\n");
    let told = world.problems(&gone).await;
    assert!(
        is_told(&told, field, "no group has the id grp_staff"),
        "{told:?}"
    );
    // Left out it stays, and with its rule it goes.
    let left_out = text.split("[groups.staff]").next().unwrap();
    let planned = world.plan(left_out).await.unwrap();
    assert!(planned.steps.is_empty(), "{:?}", planned.steps);
    assert_eq!(planned.wanted.left.len(), 1);
    let before = world.document().await;
    let mut edited = before.clone();
    edited.groups.get_mut("staff").unwrap().removed = true;
    (edited.servers.get_mut("todo").unwrap().policy.rules).clear();
    let (own, base) = (write::base(&edited).unwrap(), write::base(&before).unwrap());
    let without = write::render(&edited).unwrap().replace(&own, &base);
    let planned = world.plan(&without).await.unwrap();
    assert_eq!(world.apply(planned).await, Applied::Done);
    assert!(world.document().await.groups.is_empty());
}
