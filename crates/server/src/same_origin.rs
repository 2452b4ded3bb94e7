use ::oauth::csrf::{self, Form};
use http::{HeaderMap, header};

use crate::app::App;

/// What the headers say about where a form submission comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The browser vouches that it is a page of ours.
    Ours,
    /// The browser says it is somebody else's page.
    Foreign,
    /// The headers do not say; a token has to.
    Unknown,
}

/// `Sec-Fetch-Site` decides first: a page cannot set it. Then `Origin`, for browsers that do not send the other.
pub(crate) fn of_request(app: &App, headers: &HeaderMap) -> Origin {
    match headers.get("sec-fetch-site").map(|value| value.as_bytes()) {
        Some(b"same-origin") => return Origin::Ours,
        Some(_) => return Origin::Foreign,
        None => {}
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Origin::Unknown;
    };
    let host = origin
        .to_str()
        .ok()
        .and_then(|text| text.split_once("://"))
        .map(|(_, host)| host);
    // `Origin` is not proof enough to go without a token, but a foreign one is proof enough to refuse.
    match host.and_then(|host| host.parse::<http::Uri>().ok()) {
        Some(uri) if app.hosts.accept(&uri, &HeaderMap::new()) => Origin::Unknown,
        _ => Origin::Foreign,
    }
}

/// Whether a form that was shown before sign-in came back from the browser it was shown in. The browser's own word
/// suffices: a second tab may have replaced the cookie that the token is bound to.
pub(crate) fn form_is_genuine(app: &App, headers: &HeaderMap, form: Form, presented: &str) -> bool {
    match of_request(app, headers) {
        Origin::Ours => true,
        Origin::Foreign => false,
        Origin::Unknown => app
            .cookies
            .form(headers)
            .is_some_and(|cookie| csrf::is_valid(&app.authority, form, cookie, "", presented)),
    }
}
