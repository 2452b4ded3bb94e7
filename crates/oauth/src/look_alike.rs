use authz::as_seen;
use domain::Client;
use known_clients::KnownClient;
use wire::oauth::{RedirectUri, RedirectUriKind};

use crate::ClientProof;

/// Why a client's name deserves a warning. The product is a name of ours, not of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameCaution {
    /// It uses this product's name and returns to an address that is not the product's.
    NotItsAddress(&'static str),
    /// It is spelled to look like this product's name.
    LooksLike(&'static str),
}

impl NameCaution {
    /// Whether the name of `client` claims to be a well-known product that it is not shown to be.
    pub fn of(client: &Client, redirect_uri: &RedirectUri, proof: &ClientProof) -> Option<Self> {
        let product = product_named(&client.name)?;
        let elsewhere = Self::NotItsAddress(&product.name);
        match proof {
            // The owner chose the name.
            ClientProof::Owner => None,
            ClientProof::Host(_) | ClientProof::DocumentOnly(_) => {
                let known = known_clients::by_metadata_document(client.id.as_str());
                let its_own = known.is_some_and(|known| known.maker == product.maker);
                (!its_own).then_some(elsewhere)
            }
            ClientProof::Nobody if redirect_uri.kind() == RedirectUriKind::Https => {
                (!is_address_of(product, redirect_uri)).then_some(elsewhere)
            }
            // Any program on this computer may really be that product; its letters are its own then.
            ClientProof::Nobody => {
                let letters = plain_letters(&client.name);
                (!letters.starts_with(&plain_letters(&product.name)))
                    .then_some(Self::LooksLike(&product.name))
            }
        }
    }
}

/// Whether the product, or another one of its maker, returns to `redirect_uri`. The address of some other well-known
/// client is none of its: anybody may be a customer there.
fn is_address_of(product: &KnownClient, redirect_uri: &RedirectUri) -> bool {
    known_clients::all()
        .iter()
        .filter(|client| client.maker == product.maker)
        .flat_map(|client| &client.redirect_uris)
        .any(|pattern| pattern.matches(redirect_uri))
}

/// The well-known product whose name this one begins with, as far as an eye can tell.
fn product_named(name: &str) -> Option<&'static KnownClient> {
    let seen = as_seen(name);
    known_clients::all()
        .iter()
        .filter(|product| seen.starts_with(&as_seen(&product.name)))
        .max_by_key(|product| product.name.len())
}

fn plain_letters(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn two_hundred_look_alikes_of_known_products_are_seen_through_and_other_names_are_left_alone() {
        let swaps: &[(char, &[char])] = &[
            ('a', &['а', 'α', 'á', 'ɑ', '\u{ff41}']),
            ('c', &['с', 'ϲ', 'ç', '\u{1d41c}']),
            ('d', &['ԁ', 'ď']),
            ('e', &['е', 'ė', 'ε', 'é']),
            ('g', &['ɡ', 'ġ']),
            ('h', &['һ', 'հ']),
            ('i', &['і', 'l', '1', 'ı']),
            ('l', &['I', '1', '|', 'ӏ']),
            ('o', &['о', 'ο', '0', 'ö']),
            ('p', &['р', 'ρ']),
            ('r', &['г', 'ř']),
            ('s', &['ѕ', '5', 'š']),
            ('t', &['т', 'ţ']),
            ('u', &['υ', 'ս', 'ü']),
            ('x', &['х', 'χ']),
        ];
        let mut tried = 0;
        for product in [
            "Claude",
            "ChatGPT",
            "Cursor",
            "Codex",
            "Zed",
            "Goose",
            "Gemini CLI",
        ] {
            let Some(product) = known_clients::all()
                .iter()
                .map(|client| client.name.as_str())
                .find(|name| name.starts_with(product))
            else {
                continue;
            };
            for (index, letter) in product.char_indices() {
                let lower = letter.to_ascii_lowercase();
                let Some((_, others)) = swaps.iter().find(|(of, _)| *of == lower) else {
                    continue;
                };
                for other in *others {
                    let end = index + letter.len_utf8();
                    for invisible in ["", "\u{200b}", " "] {
                        let name =
                            format!("{}{invisible}{other}{}", &product[..index], &product[end..]);
                        assert!(product_named(&name).is_some(), "{name:?}");
                        tried += 1;
                    }
                }
            }
        }
        assert!(tried >= 200, "{tried}");
        // Whole alphabets that look like ours.
        for name in [
            "ᴄʟᴀᴜᴅᴇ ᴄᴏᴅᴇ",
            "Ⓒⓛⓐⓤⓓⓔ",
            "ᶜˡᵃᵘᵈᵉ",
            "🅒🅛🅐🅤🅓🅔",
            "🄲🄻🄰🅄🄳🄴",
            "ꓚꓡꓮꓴꓓꓰ",
            "ℭ𝔩𝔞𝔲𝔡𝔢",
            "ꓚꓴꓣꓢꓳꓣ",
            "ᏟᏞᎪUᎠᎬ",
            "𝟢penCode",
        ] {
            assert!(product_named(name).is_some(), "{name}");
        }
        for other in [
            "",
            "Acme Robot",
            "Notes",
            "Яндекс",
            "My Claude helper",
            "日本語",
        ] {
            assert!(product_named(other).is_none(), "{other}");
        }
    }

    fn caution(name: &str, uri: &str) -> Option<NameCaution> {
        let uri = RedirectUri::parse(uri).unwrap();
        let metadata = serde_json::json!({
            "client_id": "cli_1",
            "client_id_issued_at": 0,
            "redirect_uris": [],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
        });
        let client = Client {
            id: domain::ClientId::from_text("cli_1"),
            server: domain::ServerSlug::parse("todo").unwrap(),
            name: name.into(),
            redirect_uris: Vec::new(),
            registration: domain::ClientRegistration::Dynamic,
            authentication: domain::ClientAuthentication::none(),
            service_scopes: None,
            metadata: serde_json::from_value(metadata).unwrap(),
            created_at: base::Timestamp::from_unix_ms(0),
            waiting_since: None,
            disabled_at: None,
        };
        NameCaution::of(&client, &uri, &ClientProof::Nobody)
    }

    #[test]
    fn a_product_returns_to_its_own_maker_and_not_to_some_other_well_known_client() {
        let claude = "https://claude.ai/api/mcp/auth_callback";
        let elsewhere = Some(NameCaution::NotItsAddress("Claude"));
        assert_eq!(caution("Claude", claude), None);
        assert_eq!(caution("Claude Code", claude), None);
        for other in [
            "https://oauth.n8n.cloud/oauth2/callback",
            "https://claude.example/api/mcp/auth_callback",
        ] {
            assert_eq!(caution("Claude", other), elsewhere, "{other}");
        }
        // Whoever hosts it chooses the host.
        let path = "rest/oauth2-credential/callback";
        assert_eq!(
            caution("n8n", &format!("https://flows.example/{path}")),
            None
        );
        assert!(caution("n8n", "https://flows.example/other").is_some());
    }

    #[test]
    fn no_known_client_is_warned_about_under_its_own_name_and_address() {
        let mut tried = 0;
        for client in known_clients::all() {
            let uris = client.preset_redirect_uris();
            for uri in uris
                .iter()
                .filter(|uri| uri.kind() == RedirectUriKind::Https)
            {
                assert_eq!(caution(&client.name, uri.as_str()), None, "{}", client.name);
                tried += 1;
                for name in client
                    .dcr_names
                    .iter()
                    .filter(|name| !name.as_str().contains('<'))
                {
                    assert_eq!(
                        caution(name.as_str(), uri.as_str()),
                        None,
                        "{}",
                        name.as_str()
                    );
                }
            }
        }
        assert!(tried > 10, "{tried}");
    }
}
