use std::sync::Arc;

/// The path of a resource in its two spellings: with a slash at the end and without. Nothing else is normalised.
#[derive(Debug)]
pub(crate) struct ResourcePath {
    canonical: Arc<str>,
    bare: Arc<str>,
    slashed: Arc<str>,
}

impl ResourcePath {
    pub(crate) fn new(canonical: &str) -> Self {
        let bare = canonical.strip_suffix('/').unwrap_or(canonical);
        Self {
            canonical: canonical.into(),
            slashed: format!("{bare}/").into(),
            bare: bare.into(),
        }
    }

    /// As people type it.
    pub(crate) fn canonical(&self) -> &Arc<str> {
        &self.canonical
    }

    /// The paths of requests for it, each with the spelling that it asks for.
    pub(crate) fn of_calls(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        // No request has an empty path, so whoever typed the bare origin sends a slash.
        let slashed = if self.is_root() {
            &self.canonical
        } else {
            &self.slashed
        };
        let bare = (!self.is_root()).then_some((&*self.bare, &self.bare));
        bare.into_iter().chain([(&*self.slashed, slashed)])
    }

    /// What follows the well-known address in requests for its metadata, each with the spelling that it asks for.
    ///
    /// Spec: RFC 9728 section 3.1.
    pub(crate) fn of_metadata(&self) -> [(&str, &Arc<str>); 2] {
        let bare = if self.is_root() {
            &self.canonical
        } else {
            &self.bare
        };
        [(&*self.bare, bare), (&*self.slashed, &self.slashed)]
    }

    fn is_root(&self) -> bool {
        self.bare.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a Arc<str>)>,
    ) -> Vec<(&'a str, &'a str)> {
        pairs
            .into_iter()
            .map(|(asked, spelling)| (asked, &**spelling))
            .collect()
    }

    #[test]
    fn both_spellings_are_known_and_the_root_is_only_asked_with_its_slash() {
        for (canonical, calls, metadata) in [
            (
                "/mcp",
                vec![("/mcp", "/mcp"), ("/mcp/", "/mcp/")],
                [("/mcp", "/mcp"), ("/mcp/", "/mcp/")],
            ),
            (
                "/mcp/",
                vec![("/mcp", "/mcp"), ("/mcp/", "/mcp/")],
                [("/mcp", "/mcp"), ("/mcp/", "/mcp/")],
            ),
            ("", vec![("/", "")], [("", ""), ("/", "/")]),
            ("/", vec![("/", "/")], [("", "/"), ("/", "/")]),
        ] {
            let path = ResourcePath::new(canonical);
            assert_eq!(pairs(path.of_calls()), calls, "{canonical:?}");
            assert_eq!(pairs(path.of_metadata()), metadata, "{canonical:?}");
        }
    }
}
