//! Which return addresses a client that registers itself gets. One judgement: what is registered here is what the
//! authorization endpoint accepts.

use domain::NativeSchemes;
use url::Url;
use wire::oauth::{RedirectUri, RedirectUriKind};

use crate::loopback::is_loopback;
use crate::{Authority, Error, ServerContext};

/// Cursor sends a private-use scheme, an https address and a loopback one in one request: what is acceptable is
/// registered, the rest is dropped, and only when nothing is left is it an error, which tells the first problem.
pub(crate) fn acceptable(
    authority: &Authority,
    server: &ServerContext,
    asked: &[String],
    application_type: Option<&str>,
) -> Result<Vec<RedirectUri>, Error> {
    let schemes = server.server.settings.native_schemes;
    let mut accepted: Vec<RedirectUri> = Vec::with_capacity(asked.len());
    let mut first_problem = None;
    for text in asked {
        let judged = RedirectUri::parse(text)
            .map_err(|error| error.to_string())
            .and_then(|uri| {
                match problem(authority, schemes, application_type, &uri)
                    .or_else(|| administration_problem(server, &uri))
                {
                    Some(problem) => Err(problem),
                    None => Ok(uri),
                }
            });
        match judged {
            Ok(uri) if accepted.contains(&uri) => {}
            Ok(uri) => accepted.push(uri),
            Err(problem) => {
                first_problem.get_or_insert(problem);
            }
        }
    }
    if accepted.is_empty() {
        return Err(Error::invalid_redirect_uri(format!(
            "redirect_uris: {}",
            first_problem.unwrap_or_else(|| "at least one is needed".to_owned())
        )));
    }
    Ok(accepted)
}

fn problem(
    authority: &Authority,
    schemes: NativeSchemes,
    application_type: Option<&str>,
    uri: &RedirectUri,
) -> Option<String> {
    if is_ours(authority, uri) {
        return Some("redirect_uri is an address of this server itself".to_owned());
    }
    match uri.kind() {
        RedirectUriKind::Https => None,
        // OpenID Connect Registration section 2; a native application may have an https address besides, as VS Code has.
        kind if application_type == Some("web") => Some(format!(
            "application_type is web, and {} {}; register with application_type native, or leave it out",
            uri.display_host(),
            match kind {
                RedirectUriKind::Loopback => "is the person's own machine",
                _ => "is an application on it",
            }
        )),
        RedirectUriKind::Loopback => None,
        RedirectUriKind::PrivateUseScheme => scheme_problem(schemes, uri),
    }
}

/// Whoever gets a code of an owner's could do whatever owners can: of those that nobody added, only programs on the owner's own
/// machine may.
fn administration_problem(server: &ServerContext, uri: &RedirectUri) -> Option<String> {
    let refused = server.is_administration() && uri.kind() != RedirectUriKind::Loopback;
    refused.then(|| {
        "clients of the admin API may only return to the person's own machine; an owner adds others with `portcullis clients add`"
            .to_owned()
    })
}

/// Spec: RFC 8252 section 7.1 wants a scheme to be a reverse domain name; of the known clients hardly one does.
pub(crate) fn scheme_problem(schemes: NativeSchemes, uri: &RedirectUri) -> Option<String> {
    let scheme = uri.as_str().split(':').next().unwrap_or_default();
    match schemes {
        NativeSchemes::Any => None,
        NativeSchemes::Known
            if known_clients::known_scheme(scheme) || is_reverse_domain(scheme) =>
        {
            None
        }
        NativeSchemes::Known => Some(format!(
            "the scheme {scheme} is neither that of a known client nor a reverse domain name such as com.example.app"
        )),
        NativeSchemes::Off => Some(format!(
            "schemes such as {scheme} are not allowed here; use http://localhost or an https address"
        )),
    }
}

fn is_reverse_domain(scheme: &str) -> bool {
    let mut labels = scheme.split('.');
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    labels.clone().count() >= 2 && labels.all(label)
}

/// Whether `uri` is on our own origin, in any spelling: a code must never be delivered to ourselves.
pub(crate) fn is_ours(authority: &Authority, uri: &RedirectUri) -> bool {
    if uri.kind() == RedirectUriKind::PrivateUseScheme {
        return false;
    }
    let origin = |text: &str| {
        let url = Url::parse(text).ok()?;
        let host = match url.host_str()? {
            "localhost" | "127.0.0.1" | "[::1]" => "localhost".to_owned(),
            other => other.to_owned(),
        };
        Some((host, url.port_or_known_default()))
    };
    let asked = origin(uri.as_str());
    let now = authority.now();
    // Where we were before a move too; a loopback address there is somebody's program again.
    let former = authority.former_origins().iter();
    asked == origin(authority.public_url())
        || former
            .filter(|former| former.is_kept(now) && !is_loopback(&former.origin))
            .any(|former| asked == origin(&former.origin))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_scheme_is_judged_by_the_policy_of_the_server() {
        let refused = |schemes, text: &str| {
            scheme_problem(schemes, &RedirectUri::parse(text).unwrap()).is_some()
        };
        for (scheme, known) in [
            ("cursor://anysphere.cursor-mcp/oauth/callback", true),
            ("vscode://saoudrizwan.claude-dev/mcp-auth/callback/x", true),
            ("com.example.app:/cb", true),
            ("evil://cb", false),
            ("x-app://cb", false),
        ] {
            assert!(!refused(NativeSchemes::Any, scheme), "{scheme}");
            assert_eq!(refused(NativeSchemes::Known, scheme), !known, "{scheme}");
            assert!(refused(NativeSchemes::Off, scheme), "{scheme}");
        }
    }

    #[test]
    fn a_reverse_domain_name_has_two_labels_at_least() {
        assert!(is_reverse_domain("com.example.app"));
        assert!(is_reverse_domain("com.example"));
        for bad in ["example", "com.", "com..app", "com.ex+ample"] {
            assert!(!is_reverse_domain(bad), "{bad}");
        }
    }
}
