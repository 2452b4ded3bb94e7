//! Backups, made beside a running authority and restored in other places.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::serving::{Node, config, done, postgres, run, token};
use common::{EMAIL, Home, PASSWORD, Up};
use http::{Request, StatusCode, header};
use serde_json::Value;
use testkit::echo::{Echo, EchoSettings};
use testkit::person::{Code, Person};
use testkit::{Connection, unused_port};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_elsewhere_and_what_was_issued_before_it_is_dead() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    home.add_user().await;
    let ran = home.run_signing_in(&["call", "list_todos"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let add = ["people", "add", "bob@example.com", "--password-stdin"];
    assert_eq!(home.run_with(&add, "a long enough password").await.code, 0);
    let file = home.data().join("one.backup");
    let file = file.to_str().unwrap();
    let ran = home.run(&["backup", file]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("verified"), "{}", ran.stdout);
    let ran = home.run(&["backup", "verify", file]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let sealed = std::fs::read(file).unwrap();
    // A second one of the same name is refused, and the first stays as it was.
    let ran = home.run(&["backup", file]).await;
    assert!(
        ran.code != 0 && ran.stderr.contains("name a folder"),
        "{}",
        ran.stderr
    );
    assert_eq!(std::fs::read(file).unwrap(), sealed);
    let holds = |text: &[u8]| sealed.windows(text.len()).any(|window| window == text);
    assert!(!holds(b"SQLite format 3") && !holds(b"example.com"));

    let deleted = home
        .run(&["people", "delete", "bob@example.com", "--yes"])
        .await;
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);

    // While it runs, and over what is there, only when asked.
    let ran = home.run(&["restore", file, "--replace"]).await;
    assert_ne!(ran.code, 0);
    let ran = home.run(&["call", "list_todos"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    up.stop().await;
    let ran = home.run(&["restore", file]).await;
    assert!(
        ran.code != 0 && ran.stderr.contains("--replace"),
        "{}",
        ran.stderr
    );

    // A damaged, a shortened and a foreign one leave everything as it was.
    let other = home.data().join("other.backup");
    let mut changed = sealed.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for (bytes, words) in [
        (&changed[..], "damaged"),
        (&sealed[..sealed.len() - 1], "damaged"),
        (&b"a letter"[..], "is no backup"),
    ] {
        std::fs::write(&other, bytes).unwrap();
        let other = other.to_str().unwrap();
        for command in [
            &["backup", "verify", other][..],
            &["restore", other, "--replace"],
        ] {
            let ran = home.run(command).await;
            assert!(
                ran.code != 0 && ran.stderr.contains(words),
                "{}",
                ran.stderr
            );
        }
    }
    let wrong = home.data().join("wrong.key");
    std::fs::write(&wrong, "A".repeat(43)).unwrap();
    let wrong = wrong.to_str().unwrap();
    let ran = home
        .run(&["restore", file, "--replace", "--master-key-file", wrong])
        .await;
    assert!(ran.stderr.contains("another master key"), "{}", ran.stderr);

    let ran = home
        .run(&["restore", file, "--replace", "--rotate-keys"])
        .await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("deleted again: 1"), "{}", ran.stdout);
    let people = home.run(&["people", "list"]).await.stdout;
    assert!(
        people.contains(common::EMAIL) && !people.contains("bob@"),
        "{people}"
    );
    let up = Up::start(&home, &[]).await;
    // The tokens from before are refused, so the person signs in again; everything else is there.
    let ran = home.run_signing_in(&["call", "list_todos"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.code_seen.is_some(), "a token from before was taken");
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["portcullis.db", "activity.db"] {
        let mode = std::fs::metadata(home.data().join(name)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{name}");
    }
    up.stop().await;
}

/// The owners of everything in a folder.
fn owners(folder: &Path, into: &mut Vec<(PathBuf, u32)>) {
    use std::os::unix::fs::MetadataExt as _;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            owners(&path, into);
        }
        into.push((path, metadata.uid()));
    }
}

/// As a service's data is its own user's, and whoever maintains it is root.
#[tokio::test(flavor = "multi_thread")]
async fn what_root_restores_or_makes_belongs_to_the_owner_of_the_data_directory() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    const OWNER: u32 = 65534;
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    home.add_user().await;
    up.stop().await;
    if std::fs::metadata(home.data()).unwrap().uid() != 0 {
        println!("not root: nobody else's directory can be made");
        return;
    }
    let file = home.path("one.backup");
    let file = file.to_str().unwrap();
    let ran = home.run(&["backup", file]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut before = Vec::new();
    owners(&home.data(), &mut before);
    for (path, owner) in before {
        assert_eq!(owner, 0, "{} is root's in root's directory", path.display());
        chown(path, Some(OWNER), Some(OWNER)).unwrap();
    }
    chown(home.data(), Some(OWNER), Some(OWNER)).unwrap();
    std::fs::remove_file(home.data().join("lock")).unwrap();
    for arguments in [
        &["restore", file, "--replace"][..],
        &["people", "list"],
        &["keys", "rotate", "--now"],
    ] {
        let ran = home.run(arguments).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let mut after = Vec::new();
        owners(&home.data(), &mut after);
        let of_others: Vec<_> = after.iter().filter(|(_, owner)| *owner != OWNER).collect();
        assert!(of_others.is_empty(), "{arguments:?}: {of_others:?}");
        let is_there = |name: &str| after.iter().any(|(path, _)| path.ends_with(name));
        for name in ["portcullis.db", "activity.db", "authority.json", "lock"] {
            assert!(is_there(name), "{arguments:?}: {name}");
        }
        // A restored database gets a new one when it is opened.
        assert_eq!(
            is_there("portcullis.db-witness"),
            arguments[0] != "restore",
            "{arguments:?}: {after:?}"
        );
    }
}

/// How the database becomes an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Older {
    /// It does not.
    Not,
    /// From a backup, with the program.
    Restored,
    /// The file is copied back by hand.
    CopiedBack,
}

/// An authority with one server on one database, as a process of its own.
struct Place {
    home: Home,
    config: PathBuf,
    public: u16,
}

impl Place {
    async fn new(postgres: Option<String>) -> Self {
        let (home, public) = (Home::new(), unused_port().await);
        let mut text = format!(
            "data_dir = {:?}\n[listen]\naddresses = [\"127.0.0.1:0\"]\n",
            home.data()
        );
        if let Some(url) = postgres {
            let key = home.write("master.key", &format!("{}\n", base::base64url([7; 32])));
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&key, permissions).unwrap();
            text.push_str(&format!(
                "[database]\nurl = {url:?}\nschema = \"backup_{public}\"\n[keys]\nmaster_key_file = {key:?}\n"
            ));
        }
        let config = config(&home, "portcullis.toml", public, &text);
        Self {
            home,
            config,
            public,
        }
    }

    async fn start(&self) -> (Node, Connection) {
        let node = Node::start(&self.home, &self.config).await;
        let mut connection = node.open("listen").await;
        connection.authority = format!("localhost:{}", self.public);
        (node, connection)
    }

    async fn run(&self, arguments: &[&str]) -> String {
        done(&self.home, &self.config, arguments).await
    }

    fn issuer(&self) -> String {
        format!("http://localhost:{}/servers/todo", self.public)
    }
}

async fn tokens(connection: &mut Connection, form: &str) -> Value {
    let answer = token(connection, form).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    serde_json::from_slice(answer.body()).unwrap()
}

fn refresh_token(tokens: &Value) -> &str {
    tokens["refresh_token"].as_str().unwrap()
}

async fn call(connection: &mut Connection, access_token: &str) -> StatusCode {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let request = Request::post("/mcp/todo")
        .header(header::AUTHORIZATION, format!("Bearer {access_token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream");
    let answer = connection.send(request, body.to_owned()).await.unwrap();
    answer.status()
}

/// What a person and a client hold when the copy is made, and do with it afterwards.
struct Held {
    person: Person,
    spent: Code,
    rotated: Value,
    revoked: Value,
    live: Value,
}

impl Held {
    async fn by_signing_in(connection: &mut Connection, issuer: &str) -> Self {
        let signed_in = Person::sign_in(connection, issuer, EMAIL, PASSWORD).await;
        let (person, first) = signed_in.unwrap();
        let mut grants = vec![tokens(connection, &person.exchange_form(&first)).await];
        for _ in 0..2 {
            let code = person.approve(connection).await.unwrap();
            grants.push(tokens(connection, &person.exchange_form(&code)).await);
        }
        let mut grants = grants.into_iter();
        Self {
            spent: person.approve(connection).await.unwrap(),
            person,
            rotated: grants.next().unwrap(),
            revoked: grants.next().unwrap(),
            live: grants.next().unwrap(),
        }
    }

    /// Spends the code, rotates twice and revokes, each acknowledged.
    async fn use_up(&self, connection: &mut Connection) {
        tokens(connection, &self.person.exchange_form(&self.spent)).await;
        let mut holds = self.rotated.clone();
        for _ in 0..2 {
            let form = self.person.refresh_form(refresh_token(&holds));
            holds = tokens(connection, &form).await;
        }
        let form = format!(
            "token={}&client_id={}",
            refresh_token(&self.revoked),
            self.person.client_id
        );
        let request = Request::post("/servers/todo/revoke")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = connection.send(request, form).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    async fn nothing_is_revived(&self, connection: &mut Connection, older: Older) {
        for form in [
            self.person.exchange_form(&self.spent),
            self.person.refresh_form(refresh_token(&self.revoked)),
        ] {
            let answer = token(connection, &form).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{older:?} {form}");
        }
        let access_token = self.revoked["access_token"].as_str().unwrap();
        let answer = call(connection, access_token).await;
        assert_eq!(answer, StatusCode::UNAUTHORIZED, "{older:?}");
        // Neither the grant that went on nor the sign-in is as it was, unless it is the same database still.
        let (live, lives) = (&self.live, older == Older::Not);
        let answer = call(connection, live["access_token"].as_str().unwrap()).await;
        assert_eq!(answer.is_success(), lives, "{older:?}");
        let form = self.person.refresh_form(refresh_token(live));
        let answer = token(connection, &form).await;
        assert_eq!(answer.status() == StatusCode::OK, lives, "{older:?}");
        let approved = self.person.approve(connection).await;
        assert_eq!(approved.is_ok(), lives, "{older:?}");
        if !lives {
            let form = self.person.refresh_form(refresh_token(&self.rotated));
            let answer = token(connection, &form).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{older:?}");
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    for name in ["portcullis.db", "portcullis.db-wal", "portcullis.db-shm"] {
        let _ = std::fs::remove_file(to.join(name));
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// What was acknowledged as spent or revoked stays so, whichever copy of the database the program is given afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn no_older_copy_revives_a_spent_code_or_a_revoked_grant_and_a_restart_ends_nothing() {
    let mut places = vec![
        (None, Older::Not),
        (None, Older::CopiedBack),
        (None, Older::Restored),
    ];
    if let Some(url) = postgres() {
        places.push((Some(url), Older::Restored));
    }
    for (url, older) in places {
        let place = Place::new(url).await;
        let (node, mut connection) = place.start().await;
        let add = ["users", "add", EMAIL, "--password-stdin"];
        let added = run(&place.home, &place.config, &add, PASSWORD).await;
        assert_eq!(added.code, 0, "{}", added.stderr);
        place.run(&["servers", "add", "todo", "todo"]).await;
        common::serving::felt(
            &mut connection,
            "/.well-known/oauth-protected-resource/mcp/todo",
            StatusCode::OK,
        )
        .await;
        let held = Held::by_signing_in(&mut connection, &place.issuer()).await;

        let file = place.home.path("one.backup");
        let file = file.to_str().unwrap();
        let aside = place.home.path("aside");
        let (mut node, mut connection) = match older {
            Older::CopiedBack => {
                node.stop().await;
                std::fs::create_dir(&aside).unwrap();
                copy_files(&place.home.data(), &aside);
                place.start().await
            }
            Older::Restored => {
                place.run(&["backup", file]).await;
                (node, connection)
            }
            Older::Not => (node, connection),
        };
        held.use_up(&mut connection).await;
        node.stop().await;
        match older {
            Older::Not => {}
            Older::Restored => drop(place.run(&["restore", file, "--replace"]).await),
            Older::CopiedBack => copy_files(&aside, &place.home.data()),
        }

        (node, connection) = place.start().await;
        held.nothing_is_revived(&mut connection, older).await;
        // Who signs in again is as good as before.
        let (person, code) = Person::sign_in(&mut connection, &place.issuer(), EMAIL, PASSWORD)
            .await
            .unwrap();
        let form = person.exchange_form(&code);
        let new = tokens(&mut connection, &form).await;
        let access_token = new["access_token"].as_str().unwrap();
        assert!(call(&mut connection, access_token).await.is_success());
        node.stop().await;
    }
}

/// Waits until a token is refused, for as long as a change may take to be felt.
async fn is_dead(connection: &mut Connection, token: &str) -> bool {
    for _ in 0..40 {
        if call(connection, token).await == StatusCode::UNAUTHORIZED {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// The second time the database counts its changes from where it did the first time.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_run_notice_each_time_that_the_same_backup_is_restored() {
    let Some(url) = postgres() else {
        return;
    };
    let place = Place::new(Some(url)).await;
    let (first, mut at_first) = place.start().await;
    let text = std::fs::read_to_string(&place.config).unwrap();
    let (data, other) = (place.home.data(), place.home.path("other"));
    let text = text.replace(data.to_str().unwrap(), other.to_str().unwrap());
    let second = place.home.write("second.toml", &text);
    let second = Node::start(&place.home, &second).await;
    let mut at_second = second.open("listen").await;
    at_second.authority.clone_from(&at_first.authority);
    let add = ["users", "add", EMAIL, "--password-stdin"];
    let added = run(&place.home, &place.config, &add, PASSWORD).await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    let echo = Echo::start(EchoSettings::default()).await;
    place.run(&["servers", "add", "todo", &echo.url()]).await;
    for connection in [&mut at_first, &mut at_second] {
        common::serving::felt(
            connection,
            "/.well-known/oauth-protected-resource/mcp/todo",
            StatusCode::OK,
        )
        .await;
    }
    let file = place.home.path("one.backup");
    let file = file.to_str().unwrap();
    place.run(&["backup", file]).await;
    for round in 1..4 {
        let signed_in = Person::sign_in(&mut at_first, &place.issuer(), EMAIL, PASSWORD).await;
        let (person, code) = signed_in.unwrap();
        let issued = tokens(&mut at_first, &person.exchange_form(&code)).await;
        let token = issued["access_token"].as_str().unwrap();
        for connection in [&mut at_first, &mut at_second] {
            assert_eq!(
                call(connection, token).await,
                StatusCode::OK,
                "round {round}"
            );
        }
        place.run(&["restore", file, "--replace"]).await;
        for connection in [&mut at_first, &mut at_second] {
            assert!(is_dead(connection, token).await, "round {round}");
        }
    }
    first.stop().await;
    second.stop().await;
}
