use wire::oauth::{RedirectUri, RedirectUriKind};

use crate::Target;
use crate::rules::{cut, host_and_port};

/// A registered address and one that is asked for, a line each.
pub const TARGET: Target = Target {
    name: "redirect_uri",
    run,
    words: &[
        "http://",
        "https://",
        "localhost",
        "127.0.0.1",
        "[::1]",
        ":80",
        ":0",
        "@",
        "%2e%2e",
        "/../",
        "javascript:",
        "cursor://",
        "//",
        "\\",
        "?",
        "#",
        ";",
        "%00",
        "%0d%0a",
        "\n",
        "https://client.example/cb",
    ],
    short_run: 40_000,
};

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (registered, asked) = text.split_once('\n').unwrap_or((text, text));
    let (registered, asked) = (RedirectUri::parse(registered), RedirectUri::parse(asked));
    for uri in [&registered, &asked].into_iter().flatten() {
        is_of_permitted_shape(uri);
    }
    let (Ok(registered), Ok(asked)) = (registered, asked) else {
        return;
    };
    assert!(registered.accepts(&registered), "an address is itself");
    assert_eq!(
        registered.accepts(&asked),
        asked.accepts(&registered),
        "only a port is ignored, so each accepts the other or neither does"
    );
    assert_eq!(
        registered.accepts(&asked),
        second_opinion(registered.as_str(), asked.as_str()),
        "{registered} and {asked}"
    );
}

/// What is read prints as it came, and no second reader sees another place in it.
fn is_of_permitted_shape(uri: &RedirectUri) {
    let text = uri.as_str();
    assert_eq!(RedirectUri::parse(text).as_ref(), Ok(uri));
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!text.contains(['#', '\\']));
    let scheme = text.split(':').next().unwrap().to_ascii_lowercase();
    let runs = [
        "javascript",
        "data",
        "vbscript",
        "blob",
        "file",
        "about",
        "filesystem",
        "jar",
    ];
    assert!(!runs.contains(&scheme.as_str()));
    match uri.kind() {
        RedirectUriKind::PrivateUseScheme => assert!(!matches!(scheme.as_str(), "http" | "https")),
        kind => {
            let cut = cut(text).expect("scheme and authority");
            assert!(!cut.authority.contains('@') && !cut.authority.is_empty());
            let shown = uri.display_host();
            assert!(!shown.is_empty() && !shown.contains(['/', '@', '?']));
            if kind == RedirectUriKind::Loopback {
                let (host, port) = host_and_port(&cut.authority).expect("a host and a port");
                assert!(LOOPBACK.contains(&host.as_str()), "{host} is somebody else");
                assert_ne!(port, Some(0));
                assert_eq!(cut.scheme, "http");
            } else {
                assert_eq!(cut.scheme, "https");
            }
        }
    }
}

/// RFC 9700 section 4.1.3 and RFC 8252 section 7.3: equal as strings, but for the port of a loopback address.
fn second_opinion(registered: &str, asked: &str) -> bool {
    if registered == asked {
        return true;
    }
    let loopback = |text: &str| {
        let cut = cut(text).filter(|cut| cut.scheme == "http")?;
        let (host, _) = host_and_port(&cut.authority)?;
        let slash = if cut.rest.starts_with('/') { "" } else { "/" };
        LOOPBACK
            .contains(&host.as_str())
            .then(|| (host, format!("{slash}{}", cut.rest)))
    };
    match (loopback(registered), loopback(asked)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}
