//! The stylesheet and the drawings: compiled in, served from our own origin, with a content hash in the address so that
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
    }
});

/// The asset at `path`, which is the whole path of the request (`/assets/…`).
pub fn find(path: &str) -> Option<&'static Asset> {
    all().into_iter().find(|asset| asset.path == path)
}

/// Every asset.
pub fn all() -> [&'static Asset; 3] {
    [&ASSETS.stylesheet, &ASSETS.mark, &ASSETS.gate]
}

/// The address of the stylesheet.
pub fn stylesheet_path() -> &'static str {
    ASSETS.stylesheet.path()
}

/// The address of the mark, which is also the icon in the browser's tab.
pub fn mark_path() -> &'static str {
    ASSETS.mark.path()
}
