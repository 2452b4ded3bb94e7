use std::sync::Arc;

use arc_swap::ArcSwapOption;
use authz::{Caller, VerifiedToken};
use base::Timestamp;
use http::HeaderValue;

use crate::Principal;

/// A caller whose token was verified, with what is derived from it once and used by each of its calls.
#[derive(Debug)]
pub struct VerifiedCaller {
    token: VerifiedToken,
    caller: Caller,
    principal: Principal,
    grant: Arc<str>,
    derived: ArcSwapOption<DerivedHeader>,
}

#[derive(Debug)]
struct DerivedHeader {
    key_id: String,
    value: HeaderValue,
    until: Timestamp,
}

impl VerifiedCaller {
    pub(crate) fn new(token: VerifiedToken) -> Self {
        let caller = token.caller();
        Self {
            principal: Principal {
                issuer: token.iss.as_str().into(),
                subject: token.sub.as_str().into(),
                client: token.client_id.as_str().into(),
            },
            grant: token.grant_id.as_str().into(),
            derived: ArcSwapOption::empty(),
            caller,
            token,
        }
    }

    /// The claims of the token. The token itself is not kept.
    pub fn token(&self) -> &VerifiedToken {
        &self.token
    }

    /// What is judged.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Who stands behind it.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The consent's token family, which a revocation names.
    pub fn grant(&self) -> &Arc<str> {
        &self.grant
    }

    /// When the token ends.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.token.exp)
    }

    /// A header that is derived from the token and costs a signature by the key `key_id`: made by `make` when that key
    /// has made none or its moment, the second of the pair, has passed.
    pub fn derived_header<E>(
        &self,
        key_id: &str,
        now: Timestamp,
        make: impl FnOnce() -> Result<(HeaderValue, Timestamp), E>,
    ) -> Result<HeaderValue, E> {
        if let Some(kept) = &*self.derived.load()
            && now < kept.until
            && kept.key_id == key_id
        {
            return Ok(kept.value.clone());
        }
        let (value, until) = make()?;
        self.derived.store(Some(Arc::new(DerivedHeader {
            key_id: key_id.to_owned(),
            value: value.clone(),
            until,
        })));
        Ok(value)
    }
}
