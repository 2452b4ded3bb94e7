//! The pages between a person and us: setup, sign-in, sign-out, the page at `/admin`, and a person's own tokens.

pub(crate) mod client_logo;
pub(crate) mod clients;
pub(crate) mod form_cookie;
pub(crate) mod home;
pub(crate) mod own_form;
pub(crate) mod setup;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
pub(crate) mod tokens;
