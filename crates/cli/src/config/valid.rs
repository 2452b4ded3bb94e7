use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::Secret;
use domain::ServerSlug;
use ipnet::IpNet;
use sdk::ServerCredential;
use store::DatabaseUrl;

use super::load::{Loaded, refusal};
use super::place::Place;
use super::role::{AuthorityElsewhere, Role, ServerElsewhere};
use super::values::SecretText;
use super::{
    AcmePlace, Activity, Certificate, Config, ForwardedHeader, IssuerPlace, Limits, Log, Retention,
    Traces,
};
use crate::period::Period;
use crate::public_url::PublicUrl;

/// The longest secret that a `…_file` may hold.
const SECRET_BYTES_MAX: u64 = 4096;

/// A configuration that fits together: what `serve` runs.
#[derive(Debug, Clone)]
pub struct Valid {
    /// Which parts run.
    pub role: Role,
    /// Where the authority is, for a gateway alone.
    pub elsewhere: Option<Elsewhere>,
    /// The authority's origin.
    pub public_url: PublicUrl,
    /// The data directory; the default one when there is none.
    pub data_dir: Option<PathBuf>,
    /// Where clients and people connect.
    pub listen: Vec<SocketAddr>,
    /// Where the dashboard answers, when that is somewhere else.
    pub admin: Option<AdminPlace>,
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub operations: Vec<SocketAddr>,
    /// How long a node goes on answering after it was told to stop.
    pub notice: Duration,
    /// Certificates for the listeners that speak https.
    pub certificates: Vec<Certificate>,
    /// Where others are ordered, and how.
    pub acme: Option<AcmePlace>,
    /// Whose word about the client's address counts.
    pub trusted_proxies: Vec<IpNet>,
    /// In which header they say it.
    pub forwarded_header: ForwardedHeader,
    /// The database.
    pub database: DatabasePlace,
    /// The master key.
    pub master_key: MasterKeyPlace,
    /// More roots for outgoing connections.
    pub ca_file: Option<PathBuf>,
    /// Other authorization servers.
    pub issuers: Vec<IssuerPlace>,
    /// The mail server, when there is one.
    pub mail: Option<mail::Settings>,
    /// What bounds strangers.
    pub limits: Limits,
    /// Where calls are recorded.
    pub activity: Activity,
    /// How long records are kept.
    pub retention: Retention,
    /// What is logged.
    pub log: Log,
    /// What is traced.
    pub traces: Traces,
    /// What works and may not be meant.
    pub warnings: Vec<String>,
}

/// Where the dashboard is, apart from the public addresses.
#[derive(Debug, Clone)]
pub struct AdminPlace {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// How browsers reach it.
    pub url: PublicUrl,
    /// Whether it speaks https itself.
    pub tls: bool,
}

/// An authority elsewhere.
#[derive(Debug, Clone)]
pub struct Elsewhere {
    /// Its `public_url`.
    pub url: PublicUrl,
    /// Another origin that leads to it.
    pub connect_to: Option<PublicUrl>,
    /// More roots on the way to it.
    pub ca_file: Option<PathBuf>,
    /// The MCP servers to answer for.
    pub servers: Vec<(ServerSlug, ServerCredential)>,
}

/// Which database.
#[derive(Debug, Clone)]
pub enum DatabasePlace {
    /// A file in the data directory.
    Sqlite,
    /// PostgreSQL.
    Postgres {
        /// The address, with its password.
        url: Secret<String>,
        /// The schema of the authority's tables.
        schema: String,
    },
}

/// Where the master key is.
#[derive(Debug, Clone)]
pub enum MasterKeyPlace {
    /// In the data directory, made at the first start, unless the command line or a variable of its own says where.
    DataDirectory,
    /// In this file.
    File(PathBuf),
    /// It was said itself.
    Text(Secret<String>),
}

impl Loaded {
    /// Checks what single values cannot say about each other, and reads secrets from their files.
    ///
    /// # Errors
    /// Everything that does not fit, each with the place where it was said.
    pub fn valid(&self) -> anyhow::Result<Valid> {
        let mut checks = Checks {
            loaded: self,
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        let valid = checks.run(&self.config);
        match valid {
            Some(valid) if checks.problems.is_empty() => Ok(Valid {
                warnings: checks.warnings,
                ..valid
            }),
            _ => Err(refusal(&self.file, &checks.problems)),
        }
    }
}

pub(super) struct Checks<'a> {
    loaded: &'a Loaded,
    problems: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Checks<'_> {
    fn run(&mut self, config: &Config) -> Option<Valid> {
        if config
            .data_dir
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty())
        {
            self.problem("data_dir", "is empty; name a directory, or leave it out");
        }
        let listen = self.listen(config);
        let admin = self.admin(config, &listen);
        let operations = self.operations(config, &listen);
        let database = self.database(config);
        let master_key = self.master_key(config);
        let elsewhere = self.elsewhere(config);
        let issuers = self.issuers(config);
        if config.role == Role::Gateway {
            let elsewhere = elsewhere?;
            let public_url = elsewhere.url.clone();
            self.transport(config, &public_url, &listen);
            return Some(Valid {
                elsewhere: Some(elsewhere),
                issuers,
                ..self.whole(
                    config,
                    public_url,
                    (listen, None, operations),
                    database,
                    master_key,
                )
            });
        }
        if config.public_url.is_none() {
            self.problems.push(
                "public_url is missing: the origin that clients see, such as public_url = \"https://mcp.example.com\""
                    .to_owned(),
            );
        }
        let public_url = config.public_url.clone()?.0;
        self.transport(config, &public_url, &listen);
        if config.traces.headers_file.is_some() && config.traces.endpoint.is_none() {
            self.problem(
                "traces.headers_file",
                "means nothing without traces.endpoint",
            );
        }
        let acme = self.acme(config, &public_url, &listen);
        let mail = self.mail(config, &public_url);
        let listeners = (listen, admin, operations);
        Some(Valid {
            acme,
            issuers,
            mail,
            ..self.whole(config, public_url, listeners, database, master_key)
        })
    }

    fn whole(
        &self,
        config: &Config,
        public_url: PublicUrl,
        (listen, admin, operations): (Vec<SocketAddr>, Option<AdminPlace>, Vec<SocketAddr>),
        database: DatabasePlace,
        master_key: MasterKeyPlace,
    ) -> Valid {
        Valid {
            role: config.role,
            elsewhere: None,
            public_url,
            data_dir: config.data_dir.clone(),
            listen,
            admin,
            operations,
            notice: config
                .operations
                .notice
                .map_or(Duration::ZERO, Period::duration),
            certificates: config.tls.certificates.clone(),
            acme: None,
            trusted_proxies: config
                .proxy
                .trusted
                .iter()
                .map(|network| network.0)
                .collect(),
            forwarded_header: config.proxy.header,
            database,
            master_key,
            ca_file: config.egress.ca_file.clone(),
            issuers: Vec::new(),
            mail: None,
            limits: config.limits.clone(),
            activity: config.activity.clone(),
            retention: config.retention.clone(),
            log: config.log.clone(),
            traces: config.traces.clone(),
            warnings: Vec::new(),
        }
    }

    /// Where the authority is of a gateway alone, and that nothing is said that such a one does not need.
    fn elsewhere(&mut self, config: &Config) -> Option<Elsewhere> {
        let section = &config.authority;
        if config.role != Role::Gateway {
            for path in ["authority.url", "authority.connect_to", "authority.servers"] {
                if self.loaded.places.of(path) != Place::Default {
                    self.problem(path, "is for role = \"gateway\" alone");
                }
            }
            return None;
        }
        for path in [
            "database.url",
            "database.url_file",
            "keys.master_key",
            "keys.master_key_file",
            "admin.listen",
            "tls.acme.terms_agreed",
            "mail.host",
        ] {
            if self.loaded.places.of(path) != Place::Default {
                self.problem(
                    path,
                    "is nothing that a node with the role gateway needs; leave it out",
                );
            }
        }
        let url = section.url.as_ref().map(|url| url.0.clone());
        match (&url, &config.public_url) {
            (None, _) => self.problems.push(
                "authority.url is missing: the public_url of the authority that this gateway answers for".to_owned(),
            ),
            (Some(url), Some(public)) if *url != public.0 => self.problem(
                "public_url",
                format!("is {public}, and authority.url is {url}; leave public_url out"),
            ),
            _ => {}
        }
        if section.servers.is_empty() {
            self.problems.push(
                "authority.servers is empty: name each MCP server with its credential in [[authority.servers]]"
                    .to_owned(),
            );
        }
        let servers = section
            .servers
            .iter()
            .enumerate()
            .filter_map(|(index, server)| self.server_elsewhere(section, index, server))
            .collect();
        Some(Elsewhere {
            url: url?,
            connect_to: section.connect_to.as_ref().map(|origin| origin.0.clone()),
            ca_file: section.ca_file.clone(),
            servers,
        })
    }

    fn server_elsewhere(
        &mut self,
        section: &AuthorityElsewhere,
        index: usize,
        server: &ServerElsewhere,
    ) -> Option<(ServerSlug, ServerCredential)> {
        let path = |name: &str| format!("authority.servers[{index}].{name}");
        let slug = match ServerSlug::parse(&server.slug) {
            Ok(slug) => slug,
            Err(error) => {
                self.problem(&path("slug"), error.to_string());
                return None;
            }
        };
        if section.servers[..index]
            .iter()
            .any(|other| other.slug == server.slug)
        {
            self.problem(&path("slug"), format!("{slug} stands twice"));
        }
        let (said, file) = (path("credential"), path("credential_file"));
        let text = self.secret(
            (&said, server.credential.as_ref()),
            (&file, server.credential_file.as_deref()),
        );
        let form = format!(
            "must be ID:SECRET, as `portcullis servers credential {slug}` prints it at the authority"
        );
        let Some(text) = text else {
            if server.credential.is_none() && server.credential_file.is_none() {
                self.problem(&said, format!("is missing; it {form}"));
            }
            return None;
        };
        let credential = ServerCredential::parse(text.expose());
        if credential.is_none() {
            let path = if server.credential.is_some() {
                said
            } else {
                file
            };
            self.problem(&path, form);
        }
        Some((slug, credential?))
    }

    pub(super) fn problem(&mut self, path: &str, problem: impl AsRef<str>) {
        let place = self.loaded.places.of(path);
        self.problems
            .push(format!("{place}: {path}: {}", problem.as_ref()));
    }

    pub(super) fn place(&self, path: &str) -> Place {
        self.loaded.places.of(path)
    }

    fn listen(&mut self, config: &Config) -> Vec<SocketAddr> {
        let listen: Vec<SocketAddr> = config.listen.addresses.iter().map(|one| one.0).collect();
        if listen.is_empty() {
            self.problem("listen.addresses", "is empty; name at least one address");
        }
        for (index, address) in listen.iter().enumerate() {
            if address.port() != 0 && listen[..index].contains(address) {
                self.problem("listen.addresses", format!("{address} stands twice"));
            }
        }
        listen
    }

    fn admin(&mut self, config: &Config, public: &[SocketAddr]) -> Option<AdminPlace> {
        let listen: Vec<SocketAddr> = config.admin.listen.iter().map(|one| one.0).collect();
        let Some(first) = listen.first().copied() else {
            if config.admin.url.is_some() {
                self.problem("admin.url", "means nothing without admin.listen");
            }
            if config.admin.tls {
                self.problem("admin.tls", "means nothing without admin.listen");
            }
            return None;
        };
        for address in &listen {
            if address.port() != 0 && public.contains(address) {
                self.problem(
                    "admin.listen",
                    format!("{address} is a public address too; choose another port"),
                );
            }
        }
        if config.admin.tls && !config.tls.speaks_https() {
            self.problem(
                "admin.tls",
                "needs a certificate in tls.certificates or tls.acme",
            );
        }
        let url = match &config.admin.url {
            Some(url) => Some(url.0.clone()),
            None if first.ip().is_loopback() => {
                let scheme = if config.admin.tls { "https" } else { "http" };
                PublicUrl::parse(&format!("{scheme}://{first}")).ok()
            }
            None => {
                self.problem(
                    "admin.listen",
                    format!(
                        "{first} is not on loopback, so admin.url must say under which https origin browsers reach it"
                    ),
                );
                None
            }
        };
        Some(AdminPlace {
            listen,
            url: url?,
            tls: config.admin.tls,
        })
    }

    fn operations(&mut self, config: &Config, public: &[SocketAddr]) -> Vec<SocketAddr> {
        let listen: Vec<SocketAddr> = config.operations.listen.iter().map(|one| one.0).collect();
        let dashboard = || config.admin.listen.iter().map(|one| one.0);
        for address in listen.iter().filter(|address| address.port() != 0) {
            if public.contains(address) || dashboard().any(|other| other == *address) {
                self.problem(
                    "operations.listen",
                    format!("{address} is for something else too; choose another port"),
                );
            }
        }
        listen
    }

    fn transport(&mut self, config: &Config, public_url: &PublicUrl, listen: &[SocketAddr]) {
        let speaks_https = config.tls.speaks_https();
        let is_https = public_url.as_str().starts_with("https:");
        if speaks_https && !is_https {
            let (path, verb) = match config.tls.acme {
                Some(_) => ("tls.acme", "is"),
                None => ("tls.certificates", "are"),
            };
            self.problem(
                path,
                format!("{verb} given, and public_url {public_url} is not https"),
            );
        }
        if is_https && !speaks_https && config.proxy.trusted.is_empty() {
            self.warnings.push(format!(
                "{public_url} is https, but there are neither tls.certificates nor tls.acme nor proxy.trusted: \
                 a proxy in front must speak https, and everybody will seem to come from its address"
            ));
        }
        if !is_https && listen.iter().any(|address| !address.ip().is_loopback()) {
            self.warnings.push(format!(
                "{public_url} is for this machine alone, but listen.addresses has others: requests that name another host are refused"
            ));
        }
    }

    fn database(&mut self, config: &Config) -> DatabasePlace {
        let database = &config.database;
        let url = self.secret(
            ("database.url", database.url.as_ref()),
            ("database.url_file", database.url_file.as_deref()),
        );
        let Some(url) = url else {
            if self.loaded.places.of("database.schema") != Place::Default {
                self.problem(
                    "database.schema",
                    "is for PostgreSQL; database.url is missing",
                );
            }
            return DatabasePlace::Sqlite;
        };
        let is_postgres = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.expose().starts_with(scheme));
        if !is_postgres || DatabaseUrl::parse(url.expose()).check().is_err() {
            let path = match database.url {
                Some(_) => "database.url",
                None => "database.url_file",
            };
            self.problem(
                path,
                "is no PostgreSQL address; write postgres://user:password@host:5432/database, or leave it out for SQLite",
            );
        }
        let schema = &database.schema;
        if !is_schema_name(schema) {
            self.problem(
                "database.schema",
                format!("{schema:?} must be 1 to 54 of a-z 0-9 _ and start with a letter"),
            );
        }
        DatabasePlace::Postgres {
            url,
            schema: schema.clone(),
        }
    }

    fn master_key(&mut self, config: &Config) -> MasterKeyPlace {
        let keys = &config.keys;
        match (&keys.master_key, &keys.master_key_file) {
            (Some(_), Some(_)) => {
                self.problem("keys.master_key", "and keys.master_key_file are both given");
                MasterKeyPlace::DataDirectory
            }
            (Some(key), None) => MasterKeyPlace::Text(key.0.clone()),
            (None, Some(file)) => MasterKeyPlace::File(file.clone()),
            (None, None) => MasterKeyPlace::DataDirectory,
        }
    }

    /// A secret that was said, or that a file holds.
    pub(super) fn secret(
        &mut self,
        said: (&str, Option<&SecretText>),
        file: (&str, Option<&Path>),
    ) -> Option<Secret<String>> {
        match (said.1, file.1) {
            (Some(_), Some(_)) => {
                self.problem(said.0, format!("and {} are both given", file.0));
                None
            }
            (Some(text), None) => Some(text.0.clone()),
            (None, Some(path)) => match read_secret(path) {
                Ok(secret) => Some(secret),
                Err(problem) => {
                    self.problem(file.0, problem);
                    None
                }
            },
            (None, None) => None,
        }
    }
}

/// The one line of a file; an end of line behind it does not belong to it.
pub(super) fn read_secret(path: &Path) -> Result<Secret<String>, String> {
    use std::io::Read as _;
    let shown = path.display();
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let text = Secret::new(text);
    if text.expose().len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("{shown} is larger than {SECRET_BYTES_MAX} bytes"));
    }
    let line = text.expose().trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains('\n') {
        return Err(format!("{shown} must hold one line"));
    }
    Ok(Secret::new(line.to_owned()))
}

/// `_activity` must fit behind it.
fn is_schema_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= 54
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests;
