use std::collections::HashMap;
use std::sync::Arc;

use sdk::PolicyFeed;

/// By which feed each MCP server is judged.
#[derive(Debug, Clone)]
pub enum Feeds {
    /// One that has them all: that of an authority in the same process.
    One(PolicyFeed),
    /// Each its own, by slug: those that an authority elsewhere sends. One that is lost does not hold up the others.
    Each(Arc<HashMap<String, PolicyFeed>>),
}

impl Feeds {
    /// The feed of one server.
    pub fn of(&self, slug: &str) -> Option<&PolicyFeed> {
        match self {
            Self::One(feed) => Some(feed),
            Self::Each(feeds) => feeds.get(slug),
        }
    }

    /// The MCP servers that have a feed of their own.
    pub fn slugs(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::One(_) => Box::new(std::iter::empty()),
            Self::Each(feeds) => Box::new(feeds.keys().map(String::as_str)),
        }
    }

    /// Every feed.
    pub fn all(&self) -> Box<dyn Iterator<Item = &PolicyFeed> + '_> {
        match self {
            Self::One(feed) => Box::new(std::iter::once(feed)),
            Self::Each(feeds) => Box::new(feeds.values()),
        }
    }
}

impl From<PolicyFeed> for Feeds {
    fn from(feed: PolicyFeed) -> Self {
        Self::One(feed)
    }
}
