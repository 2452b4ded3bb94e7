use std::sync::LazyLock;

use oauth::Parameters;
use oauth::authorize::{Refusal, validate};
use wire::oauth::ErrorCode;

use crate::Target;
use crate::rules::is_description;
use crate::world::{HTTPS, ISSUER, LOOPBACK, World};

/// The query of `GET /authorize`; `{client}` stands for the id of the one client there is.
pub const TARGET: Target = Target {
    name: "authorize_form",
    run,
    words: &[
        "client_id={client}",
        "&redirect_uri=",
        "http://127.0.0.1:7000/callback",
        "http://localhost:7000/callback",
        "https://client.example/callback?app=1",
        "%3Fapp%3D1",
        "&response_type=code",
        "&response_type=token",
        "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "&code_challenge_method=S256",
        "&code_challenge_method=plain",
        "&state=",
        "&scope=todo:read+todo:write",
        "&resource=",
        "http://localhost:4180/mcp/todo",
        "&prompt=none",
        "&max_age=0",
        "&request=",
        "&request_uri=https://evil.example",
        "&response_mode=fragment",
        "%00",
        "%0d%0a",
    ],
    short_run: 4_000,
};

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fn run(bytes: &[u8]) {
    let query = WORLD.fill_in(bytes);
    let Ok(parameters) = Parameters::parse(&query) else {
        return;
    };
    let usual: Vec<(String, String)> = url::form_urlencoded::parse(&query)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let all = |name: &str| -> Vec<&str> {
        usual
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .collect()
    };
    // What every answer depends on: one known client, one address of that client.
    let asked = all("redirect_uri");
    let may_be_redirected = all("client_id") == [WORLD.client.as_str()]
        && asked.len() == 1
        && (asked[0] == HTTPS || is_the_loopback_address(asked[0]));
    let answer = WORLD.wait(validate(&WORLD.authority, &WORLD.server, &parameters, None));
    match answer {
        Ok(validated) => {
            assert!(may_be_redirected);
            assert_eq!(validated.request.redirect_uri.as_str(), asked[0]);
            assert_eq!(validated.client.id.as_str(), WORLD.client);
            assert_eq!(all("response_type"), ["code"]);
            assert_eq!(all("code_challenge_method"), ["S256"]);
            let [challenge] = all("code_challenge")[..] else {
                panic!("one challenge");
            };
            let digest = base::base64url_decode(challenge).expect("base64url");
            assert_eq!(digest.len(), 32);
            assert!(
                all("request")
                    .iter()
                    .chain(&all("request_uri"))
                    .all(|text| text.is_empty())
            );
            let state = all("state")
                .first()
                .copied()
                .filter(|state| !state.is_empty());
            assert_eq!(validated.request.state.as_deref(), state);
            for resource in all("resource").iter().filter(|text| !text.is_empty()) {
                let own = &WORLD.server.server.resource;
                assert!(oauth::doors::resource_is_named_by(own, resource));
            }
            let asked = all("scope").concat();
            for scope in validated.request.scopes.iter() {
                assert!(["todo:read", "todo:write"].contains(&scope.as_str()));
                assert!(asked.contains(scope.as_str()) || scope.as_str() == "todo:read");
            }
            // The sealed form of it opens as the same, and says nothing to whoever carries it.
            let client = validated.request.client.clone();
            let sealed = validated.request.seal(&WORLD.authority);
            assert!(!sealed.text.contains("127.0.0.1"));
            let opened = oauth::SealedRequest::open(&WORLD.authority, &sealed.text);
            assert_eq!(opened.expect("just sealed").request.client, client);
        }
        Err(Refusal::Redirect { error, address, .. }) => {
            assert!(may_be_redirected, "nobody is sent to {address}");
            assert!(
                address.starts_with(asked[0]),
                "{address} is not below {}",
                asked[0]
            );
            assert!(is_description(error.description()), "{error}");
            let after = &address[asked[0].len()..];
            assert!(after.starts_with(['?', '&']), "{address}");
            let returned: Vec<_> = url::form_urlencoded::parse(&after.as_bytes()[1..])
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            let get = |wanted: &str| {
                let mut all = returned.iter().filter(|(name, _)| name == wanted);
                let first = all.next().map(|(_, value)| value.as_str());
                assert!(all.next().is_none(), "two {wanted} in {address}");
                first
            };
            assert_eq!(get("iss"), Some(ISSUER));
            assert_eq!(get("error"), Some(error.code().as_str()));
            assert_eq!(get("code"), None);
            if let Some(state) = get("state") {
                assert_eq!(all("state"), [state]);
            }
        }
        Err(refusal) => {
            let error = refusal.error();
            assert!(is_description(error.description()), "{error}");
            assert_ne!(error.code(), ErrorCode::ServerError, "{:?}", error.cause());
        }
    }
}

/// The registered loopback address with any port, by cutting off its two ends.
fn is_the_loopback_address(asked: &str) -> bool {
    let (start, end) = LOOPBACK.split_once(":7000").unwrap();
    asked
        .get(..start.len())
        .is_some_and(|front| front.eq_ignore_ascii_case(start))
        && asked[start.len()..].strip_suffix(end).is_some_and(|port| {
            port.is_empty()
                || port == ":"
                || port
                    .strip_prefix(':')
                    .is_some_and(|digits| digits.parse::<u16>().is_ok_and(|port| port != 0))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Or the target would hold for an endpoint that refuses everybody.
    #[test]
    fn the_honest_seeds_are_asked_about() {
        for seed in [
            &include_bytes!("../../../../fuzz/seeds/authorize_form/loopback")[..],
            include_bytes!("../../../../fuzz/seeds/authorize_form/https"),
        ] {
            let query = WORLD.fill_in(seed);
            let parameters = Parameters::parse(&query).unwrap();
            let answer = WORLD.wait(validate(&WORLD.authority, &WORLD.server, &parameters, None));
            assert!(answer.is_ok(), "{answer:?}");
        }
    }
}
