//! The protocol revisions.

/// HTTP with a separate SSE endpoint. Not spoken here.
pub const V2024_11_05: &str = "2024-11-05";
/// The first Streamable HTTP.
pub const V2025_03_26: &str = "2025-03-26";
/// Separate authorization servers; no batches.
pub const V2025_06_18: &str = "2025-06-18";
/// The last one that opens with `initialize`.
pub const V2025_11_25: &str = "2025-11-25";
/// The first one without sessions: each request says all.
pub const V2026_07_28: &str = "2026-07-28";

/// The modern revisions whose rules are known here, newest first.
pub const MODERN: &[&str] = &[V2026_07_28];

/// The legacy revisions spoken over Streamable HTTP, newest first.
pub const LEGACY: &[&str] = &[V2025_11_25, V2025_06_18, V2025_03_26];

/// Whether `version` is written as a date from 2026-07-28 on: of the modern era, known here or not.
pub fn is_modern(version: &str) -> bool {
    let bytes = version.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
        && version >= V2026_07_28
}

/// Whether `version` is a modern revision whose rules are known here.
pub fn is_known_modern(version: &str) -> bool {
    MODERN.contains(&version)
}
