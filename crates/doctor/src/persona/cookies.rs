use url::Url;

use crate::Exchange;

/// The most cookies that are kept on the way to one page, and the longest of them in bytes.
const COOKIES_MAX: usize = 30;
const COOKIE_BYTES_MAX: usize = 4096;

/// What a browser keeps between the redirects to one page: sign-in pages are 400 without the cookie that led to them. Each goes
/// back to its own host alone; a browser does not look at the port either (RFC 6265 section 8.5).
#[derive(Default)]
pub(super) struct Cookies(Vec<(String, String, String)>);

impl Cookies {
    /// Keeps those of the answer from `address`.
    pub fn keep(&mut self, address: &str, exchange: &Exchange) {
        let Some(host) = host(address) else { return };
        for line in exchange.headers("set-cookie") {
            let pair = line.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            self.0
                .retain(|(of, known, _)| (of, known.as_str()) != (&host, name));
            if self.0.len() < COOKIES_MAX && pair.len() <= COOKIE_BYTES_MAX && !name.is_empty() {
                self.0.push((host.clone(), name.into(), value.into()));
            }
        }
    }

    /// The header for a request to `address`.
    pub fn header(&self, address: &str) -> Option<String> {
        let host = host(address)?;
        let own = self.0.iter().filter(|(of, _, _)| *of == host);
        let pairs: Vec<String> = own
            .map(|(_, name, value)| format!("{name}={value}"))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

fn host(address: &str) -> Option<String> {
    Some(Url::parse(address).ok()?.host_str()?.to_owned())
}
