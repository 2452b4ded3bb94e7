//! What the authorization server's metadata says.

use serde_json::{Map, Value};
use url::Url;

use super::{OPENID, OPENID_APPENDED};
use crate::flaws::reach::INTERNAL_HOST_IN_METADATA;
use crate::flaws::server_metadata::{
    ASM_CIMD_WITHOUT_NONE, ASM_HTTP_ENDPOINT, ASM_NO_AUTH_METHODS, ASM_NO_AUTHORIZATION_ENDPOINT,
    ASM_NO_ISS_PROMISE, ASM_NO_REFRESH, ASM_NO_REGISTRATION, ASM_NO_RESPONSE_TYPES, ASM_NO_S256,
    ASM_NO_TOKEN_ENDPOINT, ASM_NONE_NOT_FIRST, ASM_NONE_NOT_LISTED, ASM_NULL_MEMBERS,
    ASM_OIDC_INCOMPLETE, ASM_PLAIN, ASM_RELATIVE_ENDPOINT, ASM_SCOPES_ADMIN,
};
use crate::metadata_hosts::{is_plain_http, null_members, report_internal};
use crate::{Desk, Fetched, Finding, Flaw};

const ENDPOINTS: [&str; 6] = [
    "authorization_endpoint",
    "token_endpoint",
    "registration_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
    "jwks_uri",
];

/// Parts of scope names that only administrators should have.
const ADMIN_WORDS: [&str; 8] = [
    "admin",
    "administrator",
    "superuser",
    "root",
    "sudo",
    "owner",
    "*",
    "all",
];

struct Members<'a> {
    desk: &'a mut Desk,
    fetched: &'a Fetched,
    document: &'a Map<String, Value>,
    /// Members that are null: they have their finding.
    nulls: Vec<String>,
}

pub(super) fn examine(desk: &mut Desk, fetched: &Fetched) {
    let Some(document) = &fetched.document else {
        return;
    };
    let mut members = Members {
        desk,
        fetched,
        document,
        nulls: null_members(document),
    };
    members.nulls();
    members.endpoints();
    members.response_types();
    members.pkce();
    members.authentication();
    members.refresh();
    members.registration();
    members.iss();
    members.scopes();
    members.openid();
}

impl Members<'_> {
    fn add(
        &mut self,
        flaw: Flaw,
        title: impl Into<String>,
        detail: impl Into<String>,
        change: impl Into<String>,
    ) {
        let finding = Finding::new(flaw, title, detail, change)
            .shown_by(self.desk.wire.evidence(&self.fetched.exchange));
        self.desk.notes.add(finding);
    }

    fn is_null(&self, member: &str) -> bool {
        self.nulls.iter().any(|null| null == member)
    }

    fn list(&self, member: &str) -> Option<Vec<&str>> {
        let items = self.document.get(member)?.as_array()?;
        Some(items.iter().filter_map(Value::as_str).collect())
    }

    fn nulls(&mut self) {
        if !self.nulls.is_empty() {
            self.add(
                ASM_NULL_MEMBERS,
                "Members of the authorization server's metadata are null or empty",
                format!(
                    "{} has no value but is there. Clients on the TypeScript SDK fail with \"expected string, received null\".",
                    self.nulls.join(", ")
                ),
                "Leave members without a value out.",
            );
        }
    }

    fn endpoints(&mut self) {
        for (member, flaw, who) in [
            (
                "authorization_endpoint",
                ASM_NO_AUTHORIZATION_ENDPOINT,
                "Nobody can be sent to sign in.",
            ),
            (
                "token_endpoint",
                ASM_NO_TOKEN_ENDPOINT,
                "No client can fetch a token.",
            ),
        ] {
            if !self.document.contains_key(member) {
                self.add(
                    flaw,
                    format!("{member} is missing"),
                    who,
                    format!("Add {member} with its absolute https URL."),
                );
            }
        }
        let named: Vec<(&str, &str)> = ENDPOINTS
            .into_iter()
            .filter_map(|member| Some((member, self.document.get(member)?.as_str()?)))
            .filter(|(member, _)| !self.is_null(member))
            .collect();
        let relative: Vec<&(&str, &str)> = named
            .iter()
            .filter(|(_, text)| !Url::parse(text).is_ok_and(|url| url.has_host()))
            .collect();
        if let Some((member, text)) = relative.first() {
            self.add(
                ASM_RELATIVE_ENDPOINT,
                format!("{member} is no absolute URL"),
                format!("It is {text:?}. Clients cannot ask it."),
                "Write absolute URLs, with scheme and host.",
            );
        }
        if !self.desk.notes.has(INTERNAL_HOST_IN_METADATA)
            && report_internal(
                self.desk,
                "The authorization server's metadata",
                named.iter().copied(),
                &self.fetched.exchange,
            )
        {
            return;
        }
        let http = named
            .iter()
            .find(|(_, text)| Url::parse(text).is_ok_and(|url| is_plain_http(&url)));
        if let Some((member, text)) = http {
            self.add(
                ASM_HTTP_ENDPOINT,
                format!("{member} is http"),
                format!("{member} is {text}: codes and tokens would travel in the clear, and clients refuse it."),
                "Make every endpoint https.",
            );
        }
    }

    fn response_types(&mut self) {
        if self.is_null("response_types_supported") {
            return;
        }
        let listed = self.list("response_types_supported");
        if !listed.as_ref().is_some_and(|types| types.contains(&"code")) {
            let detail = match listed {
                None => "It is missing. The TypeScript SDK refuses the whole document without it.",
                Some(_) => "It does not list code, the only one that MCP clients use.",
            };
            self.add(
                ASM_NO_RESPONSE_TYPES,
                "response_types_supported does not list code",
                detail,
                "Add \"response_types_supported\": [\"code\"].",
            );
        }
    }

    fn pkce(&mut self) {
        let methods = self
            .list("code_challenge_methods_supported")
            .unwrap_or_default();
        if !methods.contains(&"S256") && !self.is_null("code_challenge_methods_supported") {
            self.add(
                ASM_NO_S256,
                "The metadata does not promise PKCE with S256",
                "MCP clients must refuse a server that does not say so; Claude, the Go SDK and others do.",
                "Verify PKCE with S256 for every code, and add \"code_challenge_methods_supported\": [\"S256\"].",
            );
        } else if methods.contains(&"plain") {
            self.add(
                ASM_PLAIN,
                "PKCE with plain is offered",
                "Whoever sees the authorization request then knows the verifier.",
                "Take S256 only, and list it alone.",
            );
        }
    }

    fn authentication(&mut self) {
        let member = "token_endpoint_auth_methods_supported";
        if self.is_null(member) {
            return;
        }
        let Some(methods) = self.list(member) else {
            self.add(
                ASM_NO_AUTH_METHODS,
                format!("{member} is missing"),
                "By RFC 8414 that means client_secret_basic only; the C# SDK assumes client_secret_post. Clients on people's machines \
                 have no secret.",
                format!("Add \"{member}\": [\"none\", ...] with all that are taken, none first."),
            );
            return;
        };
        let place = methods.iter().position(|method| *method == "none");
        let takes_documents =
            self.document.get("client_id_metadata_document_supported") == Some(&Value::Bool(true));
        let registers = self.document.contains_key("registration_endpoint");
        let listed = methods.join(", ");
        match place {
            None if takes_documents => self.add(
                ASM_CIMD_WITHOUT_NONE,
                "Metadata documents are taken, but not clients without a secret",
                format!("{member} is {listed}. The documents of Claude, Codex and VS Code are of clients that authenticate with none, so \
                 these fall back to registering, or fail."),
                format!("Take public clients with PKCE, and list none first in {member}."),
            ),
            None if registers => self.add(
                ASM_NONE_NOT_LISTED,
                "Clients without a secret are not taken",
                format!("{member} is {listed}. Clients on people's machines register with none, and cannot keep a secret."),
                format!("Take public clients with PKCE, and list none first in {member}."),
            ),
            Some(1..) => self.add(
                ASM_NONE_NOT_FIRST,
                "none is not the first method of authentication",
                format!("{member} is {listed}. The C# SDK takes the first one."),
                format!("List none first in {member}."),
            ),
            _ => {}
        }
    }

    fn refresh(&mut self) {
        let member = "grant_types_supported";
        if self.is_null(member) {
            return;
        }
        if !self
            .list(member)
            .is_some_and(|types| types.contains(&"refresh_token"))
        {
            self.add(
                ASM_NO_REFRESH,
                "The metadata does not promise refresh tokens",
                "Clients then do not ask for one, and people sign in again whenever the access token ends.",
                format!("Issue refresh tokens, and list refresh_token in {member}."),
            );
        }
    }

    fn registration(&mut self) {
        let takes_documents =
            self.document.get("client_id_metadata_document_supported") == Some(&Value::Bool(true));
        if !takes_documents && !self.document.contains_key("registration_endpoint") {
            self.add(
                ASM_NO_REGISTRATION,
                "A client that nobody registered has no way in",
                "There is neither a registration_endpoint nor client_id_metadata_document_supported. Only clients into which people enter \
                 an id by hand can sign in; Claude Code says \"does not support dynamic client registration\".",
                "Take metadata documents as client_id (and say so), and offer dynamic registration for clients that have none.",
            );
        }
    }

    fn iss(&mut self) {
        let member = "authorization_response_iss_parameter_supported";
        if self.document.get(member) != Some(&Value::Bool(true)) && !self.is_null(member) {
            self.add(
                ASM_NO_ISS_PROMISE,
                "The metadata does not promise iss in authorization responses",
                "Codex and ChatGPT then use return addresses that differ per server, which exact allowlists refuse, and mix-up attacks \
                 are not noticed.",
                format!("Send iss with every redirect back to the client, and add \"{member}\": true."),
            );
        }
    }

    fn scopes(&mut self) {
        let scopes = self.list("scopes_supported").unwrap_or_default();
        let grave: Vec<&str> = scopes
            .into_iter()
            .filter(|scope| {
                *scope == "*"
                    || scope
                        .to_ascii_lowercase()
                        .split([':', '.', '/', '-', '_'])
                        .any(|part| ADMIN_WORDS.contains(&part))
            })
            .collect();
        if !grave.is_empty() {
            let listed = grave.join(", ");
            self.add(
                ASM_SCOPES_ADMIN,
                "scopes_supported lists what only administrators should have",
                format!("{listed}. Gemini CLI and Cursor ask for every scope of this list, so everybody is asked to consent to it, or refused."),
                "List only scopes of everyday use here; others can be asked for when they are needed.",
            );
        }
    }

    /// The TypeScript SDK reads an OpenID document by OpenID's rules.
    fn openid(&mut self) {
        let openid = [OPENID, OPENID_APPENDED]
            .into_iter()
            .filter_map(|place| self.desk.scene.server_documents.at(place))
            .find_map(|fetched| Some((fetched.clone(), fetched.document.clone()?)));
        let Some((fetched, document)) = openid else {
            return;
        };
        let is_openid_only = self.fetched.url == fetched.url;
        let missing: Vec<&str> = [
            "jwks_uri",
            "subject_types_supported",
            "id_token_signing_alg_values_supported",
        ]
        .into_iter()
        .filter(|member| !document.contains_key(*member))
        // Missing in both documents, it is a finding of the keys.
        .filter(|member| {
            is_openid_only || *member != "jwks_uri" || self.document.contains_key(*member)
        })
        .collect();
        if missing.is_empty() {
            return;
        }
        let finding = Finding::new(
            ASM_OIDC_INCOMPLETE,
            "The OpenID document is incomplete",
            format!(
                "{} has no {}. The TypeScript SDK refuses it as a whole.",
                fetched.url,
                missing.join(", ")
            ),
            "Add the missing members, or answer 404 at the OpenID address.",
        )
        .shown_by(self.desk.wire.evidence(&fetched.exchange));
        self.desk.notes.add(finding);
    }
}
