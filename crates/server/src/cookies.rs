use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// How long a browser is remembered as one of a person's own. Browsers keep no cookie longer.
const DEVICE_LIFETIME: Duration = Duration::from_secs(400 * 24 * 3600);

/// The names and attributes of our three cookies.
///
/// https: `__Host-`, which only our own host can set, over https. Loopback http: no prefix and no `Secure`, and since
/// cookies ignore ports, the authority's id in the name keeps two authorities on one host apart.
#[derive(Debug)]
pub(crate) struct CookieNames {
    login: String,
    form: String,
    device: String,
    secure: bool,
}

impl CookieNames {
    pub fn new(public_url: &str, authority_id: &str) -> Self {
        let secure = public_url.starts_with("https:");
        let name = |what: &str| {
            if secure {
                format!("__Host-portcullis-{what}")
            } else {
                format!("portcullis-{what}-{authority_id}")
            }
        };
        Self {
            login: name("login"),
            form: name("form"),
            device: name("device"),
            secure,
        }
    }

    /// Who is signed in.
    pub fn login<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        find(headers, &self.login)
    }

    /// Binds forms that are shown before anybody is signed in to this browser.
    pub fn form<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        find(headers, &self.form)
    }

    /// Says that somebody signed in with this browser before.
    pub fn device<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        find(headers, &self.device)
    }

    pub fn set_login(&self, value: &str) -> HeaderValue {
        self.set(&self.login, value, Some(::oauth::session::SESSION_LIFETIME))
    }

    pub fn clear_login(&self) -> HeaderValue {
        self.set(&self.login, "", Some(Duration::ZERO))
    }

    pub fn set_form(&self, value: &str) -> HeaderValue {
        self.set(&self.form, value, None)
    }

    pub fn set_device(&self, value: &str) -> HeaderValue {
        self.set(&self.device, value, Some(DEVICE_LIFETIME))
    }

    fn set(&self, name: &str, value: &str, lifetime: Option<Duration>) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let max_age = lifetime.map_or_else(String::new, |lifetime| {
            format!("; Max-Age={}", lifetime.as_secs())
        });
        // Lax, not Strict: the person comes here by a link from their client and must still be signed in.
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{max_age}");
        let mut header = HeaderValue::try_from(text)
            .expect("names are ASCII and values are base64url of our own making");
        header.set_sensitive(true);
        header
    }
}

/// The value of the cookie `name`. None when it is there twice with different values: one of the two was planted.
///
/// Read as bytes: another program on `localhost` may have set cookies that are no ASCII, and the browser sends all of
/// them in one line.
fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut found = None;
    for line in headers.get_all(header::COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let Some(value) = pair
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
            else {
                continue;
            };
            if found.is_some_and(|earlier| earlier != value) {
                return None;
            }
            found = Some(value);
        }
    }
    found.and_then(|value| std::str::from_utf8(value).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn https_cookies_are_host_bound_and_loopback_ones_carry_the_authority() {
        let public = CookieNames::new("https://mcp.example.com", "abc");
        assert_eq!(
            public.set_login("pcl_x"),
            "__Host-portcullis-login=pcl_x; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=1209600"
        );
        let local = CookieNames::new("http://localhost:4180", "abc");
        assert_eq!(
            local.set_form("x"),
            "portcullis-form-abc=x; Path=/; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            local.clear_login(),
            "portcullis-login-abc=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    fn a_cookie_is_found_among_others_and_not_when_two_disagree() {
        let names = CookieNames::new("http://localhost:4180", "abc");
        let login = |line: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, line.parse().unwrap());
            names.login(&headers).map(str::to_owned)
        };
        assert_eq!(
            login("a=b; portcullis-login-abc=pcl_1; portcullis-login-other=pcl_2"),
            Some("pcl_1".into())
        );
        assert_eq!(
            login("portcullis-login-abc=pcl_1; portcullis-login-abc=pcl_1"),
            Some("pcl_1".into())
        );
        assert_eq!(
            login("portcullis-login-abc=pcl_1; portcullis-login-abc=pcl_2"),
            None
        );
        assert_eq!(login("xportcullis-login-abc=pcl_1"), None);
        assert_eq!(login("portcullis-login-abcd=pcl_1"), None);
    }

    #[test]
    fn a_neighbour_that_is_no_ascii_hides_no_cookie_of_ours() {
        let names = CookieNames::new("http://localhost:4180", "abc");
        let login = |line: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_bytes(line).unwrap());
            names.login(&headers).map(str::to_owned)
        };
        assert_eq!(
            login("user=Jos\u{e9}; portcullis-login-abc=pcl_1".as_bytes()),
            Some("pcl_1".into())
        );
        assert_eq!(
            login(b"portcullis-login-abc=pcl_1; user=\xff\xfe"),
            Some("pcl_1".into())
        );
        assert_eq!(login(b"portcullis-login-abc=\xff"), None);
    }
}
