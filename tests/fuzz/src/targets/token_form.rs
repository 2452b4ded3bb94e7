use std::sync::LazyLock;

use oauth::Parameters;
use oauth::token::token;
use wire::oauth::ErrorCode;

use crate::Target;
use crate::rules::is_description;
use crate::world::{LOOPBACK, VERIFIER, World, replace};

/// The body of `POST /token`; `{client}` stands for the id of the one client there is, and `{code}` for a code that is
/// good now. Nothing else is alive, so tokens are for who has that code, its verifier and its address, and once.
pub const TARGET: Target = Target {
    name: "token_form",
    run,
    words: &[
        "grant_type=authorization_code",
        "grant_type=refresh_token",
        "grant_type=client_credentials",
        "&client_id={client}",
        "&code=pcc_",
        "&refresh_token=pcr_",
        "&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "&redirect_uri=http://127.0.0.1:7000/callback",
        "&resource=http://localhost:4180/mcp/todo",
        "&scope=todo:read",
        "{code}",
        "&client_secret=",
        "&client_assertion=",
        "&client_assertion_type=",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "eyJhbGciOiJub25lIn0.e30.",
        "%00",
        "&",
    ],
    short_run: 4_000,
};

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fn run(bytes: &[u8]) {
    const PLACE: &[u8] = b"{code}";
    let mut body = WORLD.fill_in(bytes);
    let live = body.windows(PLACE.len()).any(|piece| piece == PLACE);
    let code = live.then(|| WORLD.live_code());
    if let Some(code) = &code {
        body = replace(&body, PLACE, code.as_bytes());
    }
    let Ok(form) = Parameters::parse(&body) else {
        return;
    };
    let ask = || WORLD.wait(token(&WORLD.authority, &WORLD.server, &form, None));
    let error = match ask() {
        Err(error) => error,
        Ok(_) => {
            may_have_tokens(&form, code.as_deref().expect("tokens for nothing"));
            ask().expect_err("a code is good once")
        }
    };
    assert!(is_description(error.description()), "{error}");
    assert_ne!(error.code(), ErrorCode::ServerError, "{:?}", error.cause());
    // An answer does not repeat what may be a secret. Words of the answer itself are none, and a wrong resource is shown
    // to whoever sent it.
    let may_be_secret = |value: &&str| {
        value.len() > 16
            && !value.contains(' ')
            && value.contains(|c: char| c.is_ascii_digit())
            && !form
                .all("resource")
                .any(|resource| resource.contains(value))
    };
    for name in [
        "code",
        "refresh_token",
        "code_verifier",
        "client_secret",
        "client_assertion",
    ] {
        for value in form.all(name).filter(may_be_secret) {
            assert!(!error.description().contains(value), "{name} comes back");
        }
    }
    if error.code() == ErrorCode::InvalidClient {
        // "Register again" is said of clients alone, never to the one that is known and public and proves nothing.
        let plain = form.get("client_secret").is_none()
            && form.get("client_assertion").is_none()
            && form.get("client_assertion_type").is_none();
        assert!(form.get("client_id") != Some(WORLD.client.as_str()) || !plain);
    }
}

/// RFC 6749 section 4.1.3 and RFC 7636 section 4.6, by name and letter.
fn may_have_tokens(form: &Parameters<'_>, code: &str) {
    let all = |name: &str| form.all(name).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(all("grant_type"), ["authorization_code"]);
    assert_eq!(all("code"), [code]);
    assert_eq!(all("code_verifier"), [VERIFIER]);
    assert_eq!(all("client_id"), [WORLD.client.as_str()]);
    assert!(all("redirect_uri").iter().all(|uri| uri == LOOPBACK));
    for name in ["client_secret", "client_assertion"] {
        assert_eq!(all(name), Vec::<String>::new());
    }
    let own = &WORLD.server.server.resource;
    for resource in all("resource") {
        assert!(oauth::doors::resource_is_named_by(own, &resource));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Or the target would hold for an endpoint that answers nobody.
    #[test]
    fn the_honest_seed_is_answered_with_tokens() {
        let seed = include_bytes!("../../../../fuzz/seeds/token_form/live_code");
        let body = replace(
            &WORLD.fill_in(seed),
            b"{code}",
            WORLD.live_code().as_bytes(),
        );
        let form = Parameters::parse(&body).unwrap();
        let answer = WORLD.wait(token(&WORLD.authority, &WORLD.server, &form, None));
        assert!(answer.is_ok(), "{answer:?}");
    }
}
