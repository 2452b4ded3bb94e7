use base::base64url;
use subtle::ConstantTimeEq as _;

use crate::Authority;
use crate::master_key::mac_of_parts;

/// Which form a token is for: one of another form is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Sign-in, bound to the form cookie.
    SignIn,
    /// Setup, bound to the form cookie.
    Setup,
    /// Consent, bound to the login session and the very request that was shown.
    Consent,
    /// Sign-out and switching accounts, bound to the login session.
    SignOut,
    /// What a person does with what is their own, bound to the login session.
    Account,
    /// What an owner decides, bound to the login session and to what it is about.
    Admin,
}

impl Form {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::SignIn => b"sign-in",
            Self::Setup => b"setup",
            Self::Consent => b"consent",
            Self::SignOut => b"sign-out",
            Self::Account => b"account",
            Self::Admin => b"admin",
        }
    }
}

/// The token of a form: `bound_to` is what the browser alone has, `about` what the page showed. It is computed, so any
/// number of tabs stay valid side by side.
pub fn token(authority: &Authority, form: Form, bound_to: &str, about: &str) -> String {
    base64url(mac_of_parts(
        &authority.subkeys().csrf,
        &[form.label(), bound_to.as_bytes(), about.as_bytes()],
    ))
}

/// Whether `presented` is that token.
pub fn is_valid(
    authority: &Authority,
    form: Form,
    bound_to: &str,
    about: &str,
    presented: &str,
) -> bool {
    let expected = token(authority, form, bound_to, about);
    expected.as_bytes().ct_eq(presented.as_bytes()).into()
}
