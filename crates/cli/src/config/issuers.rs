use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use authz::TokenForm;
use domain::ServerSlug;
use schemars::JsonSchema;
use sdk::{HttpIssuer, HttpIssuerSettings, IssuerClient, OtherIssuerSettings, Validation};
use serde::{Deserialize, Serialize};

use super::valid::Checks;
use super::values::SecretText;
use super::{Config, Role};
use crate::period::Period;

/// What an access token may be signed with.
const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];
/// How long a yes of the issuer counts when nothing is said, and at most.
const KEPT: Duration = Duration::from_secs(30);
const KEPT_MAX: Duration = Duration::from_secs(60);

/// Another authorization server, whose tokens one MCP server takes in the place of ours.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The slug of the MCP server.
    pub server: String,
    /// Its issuer identifier, byte for byte as it stands in its metadata and in the `iss` of its tokens, such as
    /// `https://login.example.com`.
    pub url: String,
    /// How it is found out whether a token is good: `jwt` (default), `introspection`, `both` or `either`.
    #[serde(default)]
    pub validation: TokenValidation,
    /// The `aud` of its tokens. Without it: the MCP server's resource.
    #[serde(default)]
    pub audience: Option<String>,
    /// Whether tokens are taken that are for others too. One of those may then use here what it was given.
    #[serde(default)]
    pub audience_lists: bool,
    /// What its tokens may be signed with, of `ES256`, `EdDSA` and `RS256`. Without it: any of these.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// Whether a JWT is taken whose `typ` is `JWT` or missing, from an issuer that does not say `at+jwt` (RFC 9068). Its ID tokens then
    /// differ by their audience alone.
    #[serde(default)]
    pub plain_jwt: bool,
    /// Where its keys are, when its metadata does not say so, or names an address inside a private network.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// Where it is asked about tokens (RFC 7662), likewise.
    #[serde(default)]
    pub introspection_endpoint: Option<String>,
    /// The client that it lets ask, with a secret sent as `client_secret_basic`. Needed for every validation but `jwt`.
    #[serde(default)]
    pub introspection_client_id: Option<String>,
    /// Its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_client_secret: Option<SecretText>,
    /// A file that holds the secret instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_client_secret_file: Option<PathBuf>,
    /// How long its yes to a token counts without asking again, at most 1m. Without it: 30s.
    #[serde(default)]
    pub introspection_kept: Option<Period>,
    /// Whether an answer without `aud` is taken, because it answers each client only about tokens that are for it.
    #[serde(default)]
    pub introspection_without_audience: bool,
    /// Whether an answer without a subject is one about a machine that acts for itself, because it never leaves out a person's.
    #[serde(default)]
    pub introspection_without_subject: bool,
    /// The claim with the caller, by its name or, in nested ones, by a JSON Pointer such as `/user/id`. Without it: `sub`.
    #[serde(default)]
    pub subject_claim: Option<String>,
    /// The claim with the client, such as `azp`. Without it: `client_id`.
    #[serde(default)]
    pub client_claim: Option<String>,
    /// The claim with the scopes, as one text or as a list, such as `scp`. Without it: `scope`.
    #[serde(default)]
    pub scope_claim: Option<String>,
    /// The claim from which people have their roles, such as `groups` or `/realm_access/roles`. Without it nobody has one but the default
    /// role.
    #[serde(default)]
    pub roles_claim: Option<String>,
    /// What its values mean: `value=role` with the name of a role of the policy. Without any, a value is that name itself.
    #[serde(default)]
    pub role_names: Vec<String>,
}

/// How it is found out whether a token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenValidation {
    /// By its signature.
    #[default]
    Jwt,
    /// By asking the issuer.
    Introspection,
    /// By its signature and by asking.
    Both,
    /// What is a signed JWT by its signature alone, anything else by asking.
    Either,
}

impl TokenValidation {
    fn in_sdk(self) -> Validation {
        match self {
            Self::Jwt => Validation::Jwt,
            Self::Introspection => Validation::Introspection,
            Self::Both => Validation::Both,
            Self::Either => Validation::Either,
        }
    }
}

/// An issuer that fits together.
#[derive(Debug, Clone)]
pub struct IssuerPlace {
    /// The MCP server.
    pub slug: ServerSlug,
    /// What is asked of its tokens.
    pub settings: OtherIssuerSettings,
    /// The way to it.
    pub source: Arc<HttpIssuer>,
}

impl Checks<'_> {
    pub(super) fn issuers(&mut self, config: &Config) -> Vec<IssuerPlace> {
        if config.role == Role::Authority && !config.issuers.is_empty() {
            self.problem(
                "issuers",
                "is for nodes that answer for MCP servers; this one is the authority alone",
            );
        }
        let issuers = config.issuers.iter().enumerate();
        issuers
            .filter_map(|(index, issuer)| self.issuer(config, index, issuer))
            .collect()
    }

    fn issuer(&mut self, config: &Config, index: usize, issuer: &Issuer) -> Option<IssuerPlace> {
        let path = |name: &str| format!("issuers[{index}].{name}");
        let slug = match ServerSlug::parse(&issuer.server) {
            Ok(slug) => slug,
            Err(error) => {
                self.problem(&path("server"), error.to_string());
                return None;
            }
        };
        let mut before = config.issuers[..index].iter();
        if before.any(|other| other.server == issuer.server) {
            self.problem(
                &path("server"),
                format!("{slug} has another issuer already; an MCP server takes the tokens of one"),
            );
        }
        let elsewhere = &config.authority.servers;
        if config.role == Role::Gateway && !elsewhere.iter().any(|one| one.slug == issuer.server) {
            self.problem(
                &path("server"),
                format!("{slug} is not in authority.servers, so this node does not answer for it"),
            );
        }
        let client = self.introspection_client(&path, issuer);
        let settings = self.tokens_of(&path, issuer);
        let source = HttpIssuer::new(HttpIssuerSettings {
            issuer: issuer.url.clone(),
            jwks_uri: issuer.jwks_uri.clone(),
            introspection_endpoint: issuer.introspection_endpoint.clone(),
            client,
            ca_file: config.egress.ca_file.clone(),
            names: egress::Names::default(),
        });
        match source {
            Ok(source) => Some(IssuerPlace {
                slug,
                settings,
                source: Arc::new(source),
            }),
            Err(problem) => {
                self.problem(&path("url"), problem);
                None
            }
        }
    }

    fn introspection_client(
        &mut self,
        path: &impl Fn(&str) -> String,
        issuer: &Issuer,
    ) -> Option<IssuerClient> {
        let (said, file) = (
            path("introspection_client_secret"),
            path("introspection_client_secret_file"),
        );
        let secret = self.secret(
            (&said, issuer.introspection_client_secret.as_ref()),
            (&file, issuer.introspection_client_secret_file.as_deref()),
        );
        let id = issuer.introspection_client_id.as_ref();
        if issuer.validation == TokenValidation::Jwt {
            let said = [
                ("introspection_client_id", id.is_some()),
                ("introspection_client_secret", secret.is_some()),
                (
                    "introspection_endpoint",
                    issuer.introspection_endpoint.is_some(),
                ),
                ("introspection_kept", issuer.introspection_kept.is_some()),
                (
                    "introspection_without_audience",
                    issuer.introspection_without_audience,
                ),
                (
                    "introspection_without_subject",
                    issuer.introspection_without_subject,
                ),
            ];
            for (name, _) in said.into_iter().filter(|(_, said)| *said) {
                self.problem(&path(name), "means nothing with validation = \"jwt\"");
            }
            return None;
        }
        let secret_said = issuer.introspection_client_secret.is_some()
            || issuer.introspection_client_secret_file.is_some();
        match (id.filter(|id| !id.is_empty()), secret) {
            (Some(id), Some(secret)) => Some(IssuerClient {
                id: id.clone(),
                secret,
            }),
            (id, _) => {
                if id.is_none() || !secret_said {
                    self.problem(
                        &path("validation"),
                        "asks the issuer, which needs introspection_client_id and introspection_client_secret_file",
                    );
                }
                None
            }
        }
    }

    fn tokens_of(
        &mut self,
        path: &impl Fn(&str) -> String,
        issuer: &Issuer,
    ) -> OtherIssuerSettings {
        for name in &issuer.algorithms {
            if !ALGORITHMS.contains(&name.as_str()) {
                self.problem(
                    &path("algorithms"),
                    format!("{name:?} is not one of {}", ALGORITHMS.join(", ")),
                );
            }
        }
        let texts = [
            ("audience", &issuer.audience),
            ("subject_claim", &issuer.subject_claim),
            ("client_claim", &issuer.client_claim),
            ("scope_claim", &issuer.scope_claim),
            ("roles_claim", &issuer.roles_claim),
        ];
        for (name, text) in texts {
            if text.as_ref().is_some_and(String::is_empty) {
                self.problem(&path(name), "is empty; leave it out");
            }
        }
        let kept_for = issuer.introspection_kept.map_or(KEPT, Period::duration);
        if kept_for > KEPT_MAX {
            self.problem(
                &path("introspection_kept"),
                "is longer than 1m, for which a revoked token would be good",
            );
        }
        if !issuer.role_names.is_empty() && issuer.roles_claim.is_none() {
            self.problem(&path("role_names"), "means nothing without roles_claim");
        }
        let mut role_names = Vec::new();
        for text in &issuer.role_names {
            // Values may be addresses with a query; names of roles have no such sign.
            match text.rsplit_once('=') {
                Some((value, role)) if !value.is_empty() && !role.is_empty() => {
                    role_names.push((value.to_owned(), role.to_owned()));
                }
                _ => self.problem(&path("role_names"), format!("{text:?} is not value=role")),
            }
        }
        let standard = TokenForm::default();
        let claim = |said: &Option<String>, usual: String| said.clone().unwrap_or(usual);
        let algorithms = match issuer.algorithms.is_empty() {
            true => ALGORITHMS.map(str::to_owned).to_vec(),
            false => issuer.algorithms.clone(),
        };
        OtherIssuerSettings {
            issuer: issuer.url.clone(),
            validation: issuer.validation.in_sdk(),
            audience: issuer.audience.clone(),
            algorithms,
            kept_for,
            form: TokenForm {
                subject: claim(&issuer.subject_claim, standard.subject),
                client: claim(&issuer.client_claim, standard.client),
                scope: claim(&issuer.scope_claim, standard.scope),
                roles: issuer.roles_claim.clone(),
                role_names,
                plain_jwt: issuer.plain_jwt,
                audience_lists: issuer.audience_lists,
                audience_left_out: issuer.introspection_without_audience,
                subject_left_out: issuer.introspection_without_subject,
            },
        }
    }
}

#[cfg(test)]
mod tests;
