//! The one account that the checks sign in with.

/// Its email address.
pub const EMAIL: &str = "alice@example.com";
/// Its password.
pub const PASSWORD: &str = "correct horse battery staple";

/// How the drivers are told.
pub fn environment() -> [(&'static str, &'static str); 2] {
    [("PERSON_EMAIL", EMAIL), ("PERSON_PASSWORD", PASSWORD)]
}
