use base::{Digest, base64url_decode};

/// The prefix of authorization codes.
pub(crate) const CODE: &str = "pcc_";
/// The prefix of refresh tokens.
pub(crate) const REFRESH_TOKEN: &str = "pcr_";
/// The prefix of login cookies.
pub(crate) const LOGIN_COOKIE: &str = "pcl_";
/// The prefix of the secrets of clients.
pub(crate) const CLIENT_SECRET: &str = "pck_";
/// The prefix of static tokens of machines.
pub(crate) const SERVICE_TOKEN: &str = "pct_";
/// The prefix of the secrets of MCP servers.
pub(crate) const RESOURCE_SERVER_SECRET: &str = "pcq_";
/// The prefix of setup links.
pub(crate) const SETUP_TOKEN: &str = "pcs_";

/// The digest of a secret of ours: the prefix and 43 characters of base64url. `None` for any other shape, which is
/// then not looked up at all.
pub(crate) fn digest(text: &str, prefix: &str) -> Option<Digest> {
    let body = text.strip_prefix(prefix)?;
    // 32 bytes have one text of base64url without padding, of 43 characters.
    if base64url_decode(body)?.len() != 32 {
        return None;
    }
    Some(Digest::of(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base::{OsRandom, random_token};

    use super::*;

    #[test]
    fn one_shape_is_looked_up_and_no_other() {
        let token = random_token(&OsRandom, REFRESH_TOKEN);
        assert_eq!(digest(&token, REFRESH_TOKEN), Some(Digest::of(&token)));
        assert_eq!(digest(&token, CODE), None);
        for length in 0..token.len() {
            assert_eq!(digest(&token[..length], REFRESH_TOKEN), None);
        }
        assert_eq!(digest(&format!("{token}A"), REFRESH_TOKEN), None);
        assert_eq!(digest(&format!("{token}="), REFRESH_TOKEN), None);
        assert_eq!(digest(&token.replace('_', "-"), REFRESH_TOKEN), None);
    }
}
