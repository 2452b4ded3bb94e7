use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::{Ask, Desk, Exchange};

/// A document with several addresses, at each of which some client looks for it.
#[derive(Debug, Clone, Default)]
pub struct MetadataDocument {
    /// Each address where it was asked for, in the order of the specification.
    pub fetched: Vec<Fetched>,
}

/// What one of the addresses answered.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What kind of address it is: `named by the challenge`, `with the path`, `at the root`, `RFC 8414`, ...
    pub place: &'static str,
    /// The address.
    pub url: String,
    /// What it answered.
    pub exchange: Arc<Exchange>,
    /// The document, when that was a JSON object with status 200.
    pub document: Option<Map<String, Value>>,
}

impl Fetched {
    /// What `exchange` says about the document at `url`.
    pub fn new(place: &'static str, url: &str, exchange: Arc<Exchange>) -> Self {
        let document = match exchange.status() {
            Some(200) => match exchange.json() {
                Some(Value::Object(document)) => Some(document),
                _ => None,
            },
            _ => None,
        };
        Self {
            place,
            url: url.to_owned(),
            exchange,
            document,
        }
    }
}

impl MetadataDocument {
    /// The first address that has the document.
    pub fn first(&self) -> Option<&Fetched> {
        self.fetched
            .iter()
            .find(|fetched| fetched.document.is_some())
    }

    /// What was answered at the address of this kind.
    pub fn at(&self, place: &str) -> Option<&Fetched> {
        self.fetched.iter().find(|fetched| fetched.place == place)
    }

    /// The document that a client which follows redirects reads, so that the rest can be examined.
    pub(crate) async fn behind_redirect(&self, desk: &Desk, purpose: &str) -> Option<Fetched> {
        let mut redirected = self.fetched.iter();
        let redirected = redirected.find(|fetched| fetched.exchange.redirects_to().is_some())?;
        let place = redirected.exchange.redirects_to()?;
        let target = Url::parse(&redirected.url).ok()?.join(place).ok()?;
        let exchange = desk.send(Ask::get(target.as_str(), purpose)).await;
        let fetched = Fetched::new(redirected.place, target.as_str(), exchange);
        fetched.document.is_some().then_some(fetched)
    }
}
