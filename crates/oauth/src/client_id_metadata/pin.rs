use super::document::{self, Document};
use super::url::DocumentUrl;

/// The copy of this document that the program was shipped with, for hosts that take servers for robots and answer them
/// with a riddle.
pub(crate) fn pinned(url: &DocumentUrl) -> Option<Document> {
    let pinned = known_clients::pinned_document(url.as_str())?;
    let text = serde_json::to_vec(&pinned.document).ok()?;
    match document::read(url, &text) {
        Ok(document) => Some(document),
        Err(refused) => {
            tracing::error!(client.id = %url, reason = refused.words, "a pinned document is not acceptable");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_pinned_document_is_acceptable() {
        let mut count = 0;
        for client in known_clients::all() {
            for pin in &client.pinned_documents {
                let url = DocumentUrl::parse(&pin.url).unwrap();
                assert!(pinned(&url).is_some(), "{url}");
                count += 1;
            }
        }
        assert!(count > 5, "{count}");
        let unknown = DocumentUrl::parse("https://nobody.example/x").unwrap();
        assert!(pinned(&unknown).is_none());
    }
}
