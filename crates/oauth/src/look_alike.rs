mod letters;

use domain::Client;
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
        match proof {
            // The owner chose the name.
            ClientProof::Owner => None,
            ClientProof::Host(_) | ClientProof::DocumentOnly(_) => {
                let known = known_clients::by_metadata_document(client.id.as_str()).is_some();
                (!known).then_some(Self::NotItsAddress(product))
            }
            ClientProof::Nobody if redirect_uri.kind() == RedirectUriKind::Https => {
                let known = known_clients::by_redirect_uri(redirect_uri).is_some();
                (!known).then_some(Self::NotItsAddress(product))
            }
            // Any program on this computer may really be that product; its letters are its own then.
            ClientProof::Nobody => {
                let letters = plain_letters(&client.name);
                (!letters.starts_with(&plain_letters(product))).then_some(Self::LooksLike(product))
            }
        }
    }
}

/// The well-known product whose name this one begins with, as far as an eye can tell.
fn product_named(name: &str) -> Option<&'static str> {
    let seen = as_seen(name);
    known_clients::all()
        .iter()
        .map(|client| client.name.as_str())
        .filter(|product| seen.starts_with(&as_seen(product)))
        .max_by_key(|product| product.len())
}

fn plain_letters(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

/// What an eye sees of a name: look-alikes are one letter, and what is no letter is nothing.
///
/// Spec: after Unicode Technical Standard 39 section 4, with the few letters that product names are made of.
fn as_seen(name: &str) -> String {
    let letters: String = name
        .chars()
        .flat_map(char::to_lowercase)
        .filter_map(letters::as_seen)
        .collect();
    letters.replace("rn", "m").replace("vv", "w")
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
            assert_eq!(product_named(other), None, "{other}");
        }
    }
}
