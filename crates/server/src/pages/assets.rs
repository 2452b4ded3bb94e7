//! The stylesheet, the drawings and the one script: compiled in, served from our own origin, with a content hash in the address so that
//! a browser may keep them for ever.

use std::borrow::Cow;
use std::sync::LazyLock;

use base::Digest;

/// `Cache-Control` for everything that [`find`] finds.
pub const CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// One file under `/assets/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The file.
    pub bytes: Cow<'static, [u8]>,
    /// `ETag`, with its quotation marks.
    pub etag: String,
    path: String,
}

impl Asset {
    fn new(name: &str, extension: &str, bytes: Cow<'static, [u8]>) -> Self {
        let hash: String = Digest::of(&bytes).as_bytes()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            content_type: match extension {
                "css" => "text/css; charset=utf-8",
                "js" => "text/javascript; charset=utf-8",
                _ => "image/svg+xml",
            },
            bytes,
            etag: format!("\"{hash}\""),
            path: format!("/assets/{name}.{hash}.{extension}"),
        }
    }

    /// Its address: `/assets/{name}.{hash}.{extension}`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

struct Assets {
    stylesheet: Asset,
    mark: Asset,
    gate: Asset,
    go_on: Asset,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let mark = Asset::new(
        "mark",
        "svg",
        Cow::Borrowed(include_bytes!("../../assets/mark.svg")),
    );
    let gate = Asset::new(
        "gate",
        "svg",
        Cow::Borrowed(include_bytes!("../../assets/gate.svg")),
    );
    // The stylesheet names the drawing it uses, so its own hash changes with it.
    let stylesheet = include_str!("../../assets/portcullis.css")
        .replace("gate.svg", gate.path().trim_start_matches("/assets/"));
    Assets {
        stylesheet: Asset::new("portcullis", "css", Cow::Owned(stylesheet.into_bytes())),
        mark,
        gate,
        go_on: Asset::new(
            "go-on",
            "js",
            Cow::Borrowed(include_bytes!("../../assets/go-on.js")),
        ),
    }
});

/// The asset at `path`, which is the whole path of the request (`/assets/…`).
pub fn find(path: &str) -> Option<&'static Asset> {
    all().into_iter().find(|asset| asset.path == path)
}

/// Every asset.
pub fn all() -> [&'static Asset; 4] {
    [
        &ASSETS.stylesheet,
        &ASSETS.mark,
        &ASSETS.gate,
        &ASSETS.go_on,
    ]
}

/// The address of the script that goes on by itself.
pub fn go_on_path() -> &'static str {
    ASSETS.go_on.path()
}

/// The address of the stylesheet.
pub fn stylesheet_path() -> &'static str {
    ASSETS.stylesheet.path()
}

/// The address of the mark, which is also the icon in the browser's tab.
pub fn mark_path() -> &'static str {
    ASSETS.mark.path()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    fn stylesheet() -> String {
        String::from_utf8(ASSETS.stylesheet.bytes.to_vec()).unwrap()
    }

    /// The colours of the first `:root` block behind `marker`.
    fn colours(marker: &str) -> BTreeMap<String, [f64; 3]> {
        let stylesheet = stylesheet();
        let (_, behind) = stylesheet.split_once(marker).unwrap();
        let (_, block) = behind.split_once(":root {").unwrap();
        let (block, _) = block.split_once('}').unwrap();
        block
            .split(';')
            .filter_map(|line| line.trim().split_once(": #"))
            .map(|(name, hex)| {
                let channel = |at| {
                    let value = u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                    f64::from(value) / 255.0
                };
                (name.to_owned(), [channel(0), channel(2), channel(4)])
            })
            .collect()
    }

    /// WCAG 2.2, "contrast ratio".
    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let luminance = |colour: [f64; 3]| {
            let [red, green, blue] = colour.map(|channel| {
                if channel <= 0.04045 {
                    channel / 12.92
                } else {
                    ((channel + 0.055) / 1.055).powf(2.4)
                }
            });
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn words_and_edges_stand_out_in_light_and_dark() {
        let text = [
            ("--ink", "--ground"),
            ("--ink", "--surface"),
            ("--ink", "--sunken"),
            ("--quiet", "--ground"),
            ("--quiet", "--surface"),
            ("--quiet", "--sunken"),
            ("--accent", "--surface"),
            ("--accent-strong", "--surface"),
            ("--on-accent", "--accent"),
            ("--on-accent", "--accent-strong"),
            ("--good", "--good-soft"),
            ("--caution", "--surface"),
            ("--caution", "--caution-soft"),
            ("--danger", "--surface"),
            ("--danger", "--danger-soft"),
        ];
        // Borders of fields and the focus ring: WCAG 1.4.11.
        let edges = [
            ("--edge", "--surface"),
            ("--accent", "--surface"),
            ("--accent", "--ground"),
            ("--accent", "--sunken"),
        ];
        for scheme in ["/* Design tokens", "prefers-color-scheme: dark"] {
            let colours = colours(scheme);
            for (pairs, least) in [(&text[..], 4.5), (&edges[..], 3.0)] {
                for (front, back) in pairs {
                    let ratio = contrast(colours[*front], colours[*back]);
                    assert!(ratio >= least, "{scheme}: {front} on {back} is {ratio:.2}");
                }
            }
        }
    }

    #[test]
    fn dark_changes_every_colour_that_light_has() {
        let light = colours("/* Design tokens");
        let dark = colours("prefers-color-scheme: dark");
        assert!(light.keys().eq(dark.keys()));
        assert!(light.len() > 15, "{}", light.len());
    }

    #[test]
    fn the_stylesheet_asks_nobody_else_and_honours_what_people_prefer() {
        let stylesheet = stylesheet();
        assert!(!stylesheet.contains("@import") && !stylesheet.contains("//"));
        for address in stylesheet.split("url(\"").skip(1) {
            let (address, _) = address.split_once('"').unwrap();
            assert!(find(&format!("/assets/{address}")).is_some(), "{address}");
        }
        for preference in [
            "prefers-color-scheme: dark",
            "prefers-reduced-motion",
            "forced-colors",
        ] {
            assert!(stylesheet.contains(preference), "{preference}");
        }
    }

    #[test]
    fn an_asset_is_found_at_its_hashed_address_and_nowhere_else() {
        for asset in all() {
            assert_eq!(find(asset.path()).unwrap(), asset);
            assert!(asset.path().contains(asset.etag.trim_matches('"')));
        }
        for unknown in [
            "/assets/portcullis.css",
            "/assets/",
            "/assets/../Cargo.toml",
            "",
        ] {
            assert!(find(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn drawings_hold_no_script_no_style_and_no_foreign_reference() {
        for asset in [&ASSETS.mark, &ASSETS.gate] {
            let drawing = std::str::from_utf8(&asset.bytes).unwrap();
            for bad in [
                "<script",
                "<style",
                " style=",
                " on",
                "href",
                "<foreignObject",
            ] {
                assert!(!drawing.contains(bad), "{bad} in {}", asset.path());
            }
        }
    }
}
