use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use authz::{Caller, VerifiedToken};
use base::Timestamp;
use http::HeaderValue;

use crate::Principal;

/// How long after its issuer was asked an answer may go on. A stream is not asked about again; its client comes back.
const ANSWER_AFTER_ASKING_MAX: Duration = Duration::from_secs(5 * 60);

/// A caller whose token was verified, with what is derived from it once and used by each of its calls.
#[derive(Debug)]
pub struct VerifiedCaller {
    token: VerifiedToken,
    caller: Caller,
    principal: Principal,
    grant: Arc<str>,
    derived: ArcSwapOption<DerivedHeader>,
    asked: Option<Asked>,
}

/// When the issuer said that the token is good, and until when that counts.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Timestamp,
    until: Timestamp,
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
            asked: None,
        }
    }

    /// One of whom the issuer said at this moment that the token is good; it is asked again after `kept_for`.
    pub(crate) fn asked_about(token: VerifiedToken, at: Timestamp, kept_for: Duration) -> Self {
        let until = at.after(kept_for);
        Self {
            asked: Some(Asked { at, until }),
            ..Self::new(token)
        }
    }

    /// Whether it need not be asked about now. A clock that was set back makes it need that.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.asked
            .is_none_or(|asked| asked.at <= now && now < asked.until)
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

    /// When the token ends; five minutes after its issuer was asked at the latest.
    pub fn expires_at(&self) -> Timestamp {
        let end = Timestamp::from_unix_seconds(self.token.exp);
        self.asked.map_or(end, |asked| {
            end.min(asked.at.after(ANSWER_AFTER_ASKING_MAX))
        })
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
