//! The pages between a person and us: setup, sign-in, sign-out, and the page at `/admin`.

pub(crate) mod form_cookie;
pub(crate) mod home;
pub(crate) mod setup;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
