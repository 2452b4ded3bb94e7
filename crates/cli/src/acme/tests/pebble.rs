//! Pebble, the ACME server that Let's Encrypt's people test clients with, and a name server that sends every name here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use testkit::unused_port;
use url::Url;

/// Where `pebble` is. `cargo xtask test` installs it and sets this.
const VARIABLE: &str = "PORTCULLIS_TEST_PEBBLE";

/// How it differs from one test to the next.
#[derive(Clone, Copy, Default)]
pub struct Ways {
    /// The longest time it lets pass before it asks, so that a test can be in the middle of an order.
    pub slow_seconds: Option<u32>,
    /// Wants an account from elsewhere: its key identifier and its MAC key in base64url.
    pub external: Option<(&'static str, &'static str)>,
}

pub struct Pebble {
    pub folder: tempfile::TempDir,
    pub directory: Url,
    /// The ports at which it proves names.
    pub http_port: u16,
    pub tls_port: u16,
    management: Url,
    children: Vec<Child>,
}

impl Pebble {
    /// `None`, loudly, where nobody said where it is.
    pub async fn start(ways: Ways) -> Option<Self> {
        let Some(program) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
            eprintln!("skipped: {VARIABLE} does not say where pebble is; cargo xtask test does");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        certificate_of_its_own(folder.path());
        let [acme, management, http_port, tls_port, names] = [
            unused_port().await,
            unused_port().await,
            unused_port().await,
            unused_port().await,
            unused_port().await,
        ];
        let keys = ways.external.map(|(id, key)| json!({ id: key }));
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{acme}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": folder.path().join("pebble.crt"),
            "privateKey": folder.path().join("pebble.key"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "externalAccountBindingRequired": keys.is_some(),
            "externalAccountMACKeys": keys,
            // A quarter of a year, as certificates of the day.
            "certificateValidityPeriod": 90 * 24 * 3600,
        }});
        let file = folder.path().join("pebble.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut pebble = Self {
            directory: Url::parse(&format!("https://localhost:{acme}/dir")).unwrap(),
            management: Url::parse(&format!("https://localhost:{management}/")).unwrap(),
            http_port,
            tls_port,
            children: Vec::new(),
            folder,
        };
        let at = |port: u16| format!("127.0.0.1:{port}");
        let mut server = Command::new(program.with_file_name("pebble-challtestsrv"));
        server.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        server.args(["-defaultIPv6", "", "-dns01", &at(names)]);
        server.args(["-management", &at(unused_port().await)]);
        pebble.spawn(server, "names.log");
        let mut server = Command::new(&program);
        server
            .arg("-config")
            .arg(&file)
            .args(["-dnsserver", &at(names)]);
        match ways.slow_seconds {
            Some(seconds) => server.env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
            None => server.env("PEBBLE_VA_NOSLEEP", "1"),
        };
        server.env("PEBBLE_WFE_NONCEREJECT", "5");
        // Each order is proven anew.
        server.env("PEBBLE_AUTHZREUSE", "0");
        pebble.spawn(server, "pebble.log");
        for _ in 0..100 {
            if pebble.get("roots/0").await.is_some() {
                return Some(pebble);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("pebble does not answer: {}", pebble.log());
    }

    fn spawn(&mut self, mut command: Command, log: &str) {
        let log = File::create(self.folder.path().join(log)).unwrap();
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.children.push(command.spawn().unwrap());
    }

    /// The root that its own address is verified with.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("root.crt")
    }

    /// The root of the certificates that it issues.
    pub async fn root(&self) -> RootCertStore {
        let pem = self.get("roots/0").await.unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        roots
    }

    async fn get(&self, path: &str) -> Option<Bytes> {
        let client = egress::Client::new(egress::Settings {
            ca_file: Some(self.ca_file()),
            ..egress::Settings::operator_chosen()
        });
        let request = Request::get(self.management.join(path).unwrap().as_str());
        let request = request.body(Full::default()).unwrap();
        let answer = client.unwrap().fetch(request, 64 * 1024).await;
        answer.ok().map(http::Response::into_body)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("pebble.log")).unwrap()
    }

    /// How many orders it took.
    pub fn orders(&self) -> usize {
        self.log().matches("Added order ").count()
    }

    /// How many certificates it issued.
    pub fn issued(&self) -> usize {
        self.log().matches("Issued certificate").count()
    }

    /// Ends it; nobody answers at its directory any more.
    pub fn stop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}

fn certificate_of_its_own(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &root).unwrap();
    std::fs::write(folder.join("root.crt"), root.pem()).unwrap();
    std::fs::write(folder.join("pebble.crt"), own.pem()).unwrap();
    std::fs::write(folder.join("pebble.key"), key.serialize_pem()).unwrap();
}
