//! A node, and its peers behind proxies and names that fail.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use base::base64url;
use http::Request;
use stack_tests::fleet::{Database, Node, Role};
use stack_tests::run_beside;
use tempfile::TempDir;
use testkit::document_host::Reply;
use testkit::echo::{Echo, EchoSettings};
use testkit::person::Person;
use testkit::{
    Connection, DocumentHost, FaultProxy, SmtpServer, SmtpSettings, SmtpTls, unused_port,
};

use super::super::support::{EMAIL, PASSWORD, build_shim};
use super::{Fault, Peer};

pub struct World {
    pub node: Node,
    pub authority: String,
    /// Names each peer's own door.
    pub config: PathBuf,
    pub environment: Vec<(String, String)>,
    pub documents: DocumentHost,
    pub keys: DocumentHost,
    _mail: SmtpServer,
    /// Where strangers' documents and keys are fetched.
    pub document_port: u16,
    pub key_port: u16,
    pub next: AtomicUsize,
    /// Access tokens of both MCP servers.
    pub well: String,
    pub sick: String,
    /// Whose tokens at the healthy one are renewed.
    pub person: Person,
    pub refresh: tokio::sync::Mutex<String>,
    names: PathBuf,
    proxies: [FaultProxy; 5],
    /// For commands that set things up beside the node.
    direct: PathBuf,
    _folder: TempDir,
    _echoes: [Echo; 2],
    _database: Database,
}

/// What each peer is called.
pub fn name(peer: Peer) -> &'static str {
    match peer {
        Peer::Database => "db.peer.test",
        Peer::Upstream => "upstream.peer.test",
        Peer::ClientDocuments => "documents.peer.test",
        Peer::ClientKeys => "keys.peer.test",
        Peer::Mail => "mail.peer.test",
    }
}

impl World {
    pub async fn start() -> anyhow::Result<Self> {
        let database = Database::start().await?;
        let echoes = [
            Echo::start(EchoSettings::default()).await,
            Echo::start(EchoSettings::default()).await,
        ];
        let documents = DocumentHost::start_as(&[name(Peer::ClientDocuments)]).await;
        let keys = DocumentHost::start_as(&[name(Peer::ClientKeys)]).await;
        let mail = SmtpServer::start(SmtpSettings {
            tls: SmtpTls::StartTls,
            name: name(Peer::Mail),
            ..SmtpSettings::default()
        })
        .await;
        let upstream = url::Url::parse(&echoes[1].url())?;
        let upstream_port = upstream.port().context("an echo has a port")?;
        let proxies = [
            FaultProxy::start(database.address()).await?,
            FaultProxy::start(([127, 0, 0, 1], upstream_port).into()).await?,
            FaultProxy::start(documents.address()).await?,
            FaultProxy::start(keys.address()).await?,
            FaultProxy::start(mail.address()).await?,
        ];
        let port = |peer: Peer| proxies[peer as usize].address().port();

        let folder = tempfile::tempdir()?;
        let names = folder.path().join("names");
        std::fs::create_dir(&names)?;
        let ca_file = folder.path().join("ca.pem");
        let roots = [documents.ca_pem(), keys.ca_pem(), mail.ca_pem()].join("\n");
        std::fs::write(&ca_file, roots)?;
        let master_key = folder.path().join("master.key");
        let mut file = std::fs::File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&master_key)?;
        std::io::Write::write_all(&mut file, base64url([7; 32]).as_bytes())?;

        let door = format!("127.0.0.1:{}", unused_port().await);
        let authority = format!("localhost:{}", unused_port().await);
        let text = |database: &str| {
            format!(
                "public_url = \"http://{authority}\"\ndata_dir = {:?}\n[listen]\naddresses = [\"{door}\"]\n[database]\n\
                 url = \"postgres://postgres@{database}/postgres\"\n[keys]\nmaster_key_file = {master_key:?}\n\
                 [egress]\nca_file = {ca_file:?}\n[log]\nfilter = \"warn\"\n\
                 [mail]\nhost = {:?}\nport = {}\nfrom = \"sign-in@example.com\"\nca_file = {ca_file:?}\n\
                 connect_timeout = \"2s\"\ntimeout = \"4s\"\n",
                folder.path().join("data"),
                name(Peer::Mail),
                port(Peer::Mail)
            )
        };
        let config = folder.path().join("node.toml");
        std::fs::write(
            &config,
            text(&format!(
                "{}:{}",
                name(Peer::Database),
                port(Peer::Database)
            )),
        )?;
        let direct = folder.path().join("direct.toml");
        std::fs::write(&direct, text(&database.address().to_string()))?;

        let environment = vec![
            (
                "LD_PRELOAD".to_owned(),
                build_shim("peer_names").display().to_string(),
            ),
            (
                "PORTCULLIS_PEER_NAMES".to_owned(),
                names.display().to_string(),
            ),
        ];
        let log = folder.path().join("node.log");
        let mut node = Node::new(Role::All, config.clone(), log, door, String::new())
            .with_environment(environment.to_vec());
        node.start(stack_tests::binary()).await?;
        let mut world = Self {
            well: String::new(),
            sick: String::new(),
            person: Person::default(),
            refresh: tokio::sync::Mutex::default(),
            authority,
            config,
            environment,
            document_port: port(Peer::ClientDocuments),
            key_port: port(Peer::ClientKeys),
            documents,
            keys,
            _mail: mail,
            next: AtomicUsize::new(0),
            names,
            proxies,
            direct,
            _folder: folder,
            _echoes: echoes,
            _database: database,
            node,
        };
        let upstream = format!(
            "http://{}:{}{}",
            name(Peer::Upstream),
            world.proxies[Peer::Upstream as usize].address().port(),
            upstream.path()
        );
        world
            .run(&["users", "add", EMAIL, "--password-stdin"], PASSWORD)
            .await?;
        world
            .run(&["servers", "add", "well", &world._echoes[0].url()], "")
            .await?;
        world
            .run(&["servers", "add", "sick", &upstream], "")
            .await?;
        world.wait_until_served().await?;
        let access = |granted: &serde_json::Value| {
            let token = granted["access_token"].as_str();
            token.map(str::to_owned).context("access_token")
        };
        world.sick = access(&world.sign_in("sick").await?.1)?;
        let (person, granted) = world.sign_in("well").await?;
        world.well = access(&granted)?;
        let refresh = granted["refresh_token"].as_str().context("refresh_token")?;
        world.refresh = tokio::sync::Mutex::new(refresh.to_owned());
        world.person = person;
        Ok(world)
    }

    /// Runs a command beside the node, past every proxy.
    pub async fn run(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        run_beside(stack_tests::binary(), &self.direct, arguments, input).await
    }

    pub async fn open(&self) -> anyhow::Result<Connection> {
        let mut connection = Connection::open(&self.node.door).await?;
        connection.authority.clone_from(&self.authority);
        Ok(connection)
    }

    /// A person with a client of one MCP server; their first tokens.
    pub async fn sign_in(&self, server: &str) -> anyhow::Result<(Person, serde_json::Value)> {
        let mut connection = self.open().await?;
        let issuer = self.issuer(server);
        let (person, _) = Person::sign_in(&mut connection, &issuer, EMAIL, PASSWORD).await?;
        let code = person.approve(&mut connection).await?;
        let request = Request::post(format!("{}/token", person.issuer_path))
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = connection
            .send(request, person.exchange_form(&code))
            .await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        Ok((person, serde_json::from_slice(answer.body())?))
    }

    pub fn issuer(&self, server: &str) -> String {
        format!("http://{}/servers/{server}", self.authority)
    }

    pub fn fresh(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub async fn break_peer(&self, peer: Peer, fault: Fault) {
        let says = match fault {
            Fault::NameHangs => "hang",
            Fault::NameFails => "fail",
            _ => "",
        };
        std::fs::write(self.names.join(name(peer)), says).unwrap();
        // Inside TLS, a head that came whole is made by the host itself.
        let host = match peer {
            Peer::ClientDocuments => Some(&self.documents),
            Peer::ClientKeys => Some(&self.keys),
            _ => None,
        };
        let every = match fault {
            Fault::StopsBehindHead => Some(Duration::from_secs(3600)),
            Fault::OneByteASecond => Some(Duration::from_secs(1)),
            _ => None,
        };
        let proxy = &self.proxies[peer as usize];
        match (host, every) {
            (Some(host), Some(every)) => {
                let number = self.next.load(Ordering::Relaxed);
                // Whoever asks during the fault takes one of the next.
                for number in number..number + 64 {
                    host.set(&path(number), Reply::Drip { every });
                }
            }
            _ => proxy.switch(fault.way()),
        }
        // A connection that is open would need no name and no new one, and its head is over.
        if !matches!(fault, Fault::NeverAnswers | Fault::OneByteASecond) {
            proxy.cut();
        }
        // Filling the queue of those that wait takes a moment.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    pub fn mend_peer(&self, peer: Peer) {
        std::fs::write(self.names.join(name(peer)), "").unwrap();
        self.proxies[peer as usize].switch(testkit::Way::Pass);
    }

    async fn wait_until_served(&self) -> anyhow::Result<()> {
        for server in ["well", "sick"] {
            let begun = Instant::now();
            loop {
                let asked = Request::get(format!("/mcp/{server}"));
                let answer = self.open().await?.send(asked, "").await?;
                if answer.status() == 401 {
                    break;
                }
                let late = begun.elapsed() > Duration::from_secs(30);
                ensure!(!late, "{server} is not served: {}", answer.status());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }
}

/// The path of a document or key set that nobody asked for before.
pub fn path(number: usize) -> String {
    format!("/{number}.json")
}
