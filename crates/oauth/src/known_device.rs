use base::{base64url, base64url_decode};
use domain::UserId;
use subtle::ConstantTimeEq as _;

use crate::Authority;
use crate::master_key::mac_of_parts;

const PREFIX: &str = "pcd_";

/// A text for a long-lived cookie that says: this person signed in with this browser before. It opens nothing; it only
/// lets the browser past the throttle that strangers fill by guessing at the account.
pub(crate) fn issue(authority: &Authority, user: &UserId) -> String {
    let mut id = [0u8; 16];
    authority.random().fill(&mut id);
    format!(
        "{PREFIX}{}{}",
        base64url(mac(authority, user, &id)),
        base64url(id)
    )
}

/// The device's id, when `text` was issued to a browser of `user`.
pub(crate) fn read(authority: &Authority, user: &UserId, text: &str) -> Option<String> {
    let (mac_text, id_text) = text.strip_prefix(PREFIX)?.split_at_checked(43)?;
    let id: [u8; 16] = base64url_decode(id_text)?.try_into().ok()?;
    let presented = base64url_decode(mac_text)?;
    let genuine: bool = presented
        .as_slice()
        .ct_eq(&mac(authority, user, &id))
        .into();
    genuine.then(|| id_text.to_owned())
}

fn mac(authority: &Authority, user: &UserId, id: &[u8; 16]) -> [u8; 32] {
    mac_of_parts(
        &authority.subkeys().known_device,
        &[user.as_str().as_bytes(), id],
    )
}
