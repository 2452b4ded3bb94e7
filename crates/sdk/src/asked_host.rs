use http::{HeaderMap, HeaderValue, Uri, header};

/// The longest piece of a caller's header that is repeated to it.
const QUOTED_CHARS_MAX: usize = 100;

/// Why a request is not for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRefusal {
    /// There is no one host in it.
    Malformed(&'static str),
    /// It names a host that was never declared.
    Unknown {
        /// What it names, shortened.
        asked: String,
    },
}

impl HostRefusal {
    /// The refusal of a host that was never declared.
    pub fn unknown(host: &[u8]) -> Self {
        Self::Unknown {
            asked: quoted(host),
        }
    }
}

/// The one host that a request names, in its target or in `Host`, as it stands there.
///
/// # Errors
/// When it names none, or two.
pub fn asked_host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Result<&'r [u8], HostRefusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(HostRefusal::Malformed("the Host header stands twice"));
    }
    let target = uri.authority().map(|target| target.as_str());
    match (host, target) {
        (Some(host), Some(target)) if !host.eq_ignore_ascii_case(target.as_bytes()) => Err(
            HostRefusal::Malformed("the Host header and the request target name different hosts"),
        ),
        (Some(host), _) => Ok(host),
        (None, Some(target)) => Ok(target.as_bytes()),
        (None, None) => Err(HostRefusal::Malformed("the Host header is missing")),
    }
}

/// What may be repeated of a caller's bytes.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(QUOTED_CHARS_MAX)
        .map(|character| match character {
            ' '..='~' => character,
            _ => '?',
        })
        .collect()
}
