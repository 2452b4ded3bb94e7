//! One file per grant type (RFC 6749 section 1.3), each with one function.

pub(crate) mod authorization_code;
pub(crate) mod refresh_token;
