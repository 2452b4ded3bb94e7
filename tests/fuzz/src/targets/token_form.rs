use std::sync::LazyLock;

use oauth::Parameters;
use oauth::token::token;
use wire::oauth::ErrorCode;

use crate::Target;
use crate::rules::is_description;
use crate::world::World;

/// The body of `POST /token`; `{client}` stands for the id of the one client there is. No code and no refresh token is
/// alive, so no body at all may be answered with tokens.
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
    let body = WORLD.fill_in(bytes);
    let Ok(form) = Parameters::parse(&body) else {
        return;
    };
    let answer = WORLD.wait(token(&WORLD.authority, &WORLD.server, &form, None));
    let Err(error) = answer else {
        panic!("tokens for nothing");
    };
    assert!(is_description(error.description()), "{error}");
    assert_ne!(error.code(), ErrorCode::ServerError, "{:?}", error.cause());
    // An answer does not repeat what may be a secret. Words of the answer itself are none.
    let may_be_secret = |value: &&str| {
        value.len() > 16 && !value.contains(' ') && value.contains(|c: char| c.is_ascii_digit())
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
