use argon2::{Algorithm, Argon2, Block, Params, Version};
use base::{Random, Secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;

/// Argon2id with 19 MiB, two passes, one lane: OWASP's first recommendation.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// The longest password that is hashed, in bytes; longer ones are refused before any work.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// The shortest password that may be set, in characters.
pub const PASSWORD_CHARACTERS_MIN: usize = 10;

/// Why a password may not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short to withstand guessing.
    #[error("the password must have at least 10 characters")]
    TooShort,
    /// Longer than any hand or password manager makes.
    #[error("the password must have at most 1024 bytes")]
    TooLong,
    /// It holds U+0000.
    #[error("the password must not contain U+0000")]
    Nul,
    /// It is on every list of passwords to try first.
    #[error("this password is one of the first that anybody tries; choose another one")]
    Common,
}

/// Whether `password` may be set for the person with this e-mail address.
///
/// No rules of composition, no truncation (NIST SP 800-63B section 3.1.1.2).
///
/// # Errors
/// Says what is wrong with it.
pub fn check_new(password: &str, email: &str) -> Result<(), PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    if password.contains('\0') {
        return Err(PasswordError::Nul);
    }
    if password.chars().count() < PASSWORD_CHARACTERS_MIN {
        return Err(PasswordError::TooShort);
    }
    let lower = password.to_lowercase();
    let one_character = lower.chars().all(|character| lower.starts_with(character));
    if one_character || COMMON.contains(&lower.as_str()) || lower == email.to_lowercase() {
        return Err(PasswordError::Common);
    }
    Ok(())
}

/// The head of every published list, as far as it is long enough to pass the length rule.
const COMMON: &[&str] = &[
    "1234567890",
    "0123456789",
    "0987654321",
    "12345678910",
    "123456789a",
    "1q2w3e4r5t",
    "1qaz2wsx3edc",
    "qwertyuiop",
    "qwerty1234",
    "qwerty12345",
    "asdfghjkl1",
    "password12",
    "password123",
    "password1234",
    "passwordpassword",
    "letmein123",
    "welcome123",
    "changeme123",
    "admin12345",
    "administrator",
    "iloveyou123",
    "correcthorsebatterystaple",
    "portcullis",
    "portcullis1",
];

/// The memory that one hash works in, kept between hashes.
#[derive(Default)]
pub(crate) struct Workspace(Vec<Block>);

impl Workspace {
    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            // Not `resize`: the old content need not be copied.
            self.0 = Vec::new();
            self.0.resize(count, Block::default());
        }
        &mut self.0[..count]
    }

    /// Gives the memory back to the system.
    pub fn release(&mut self) {
        self.0 = Vec::new();
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Hashes `password` with a new salt into a PHC string. Takes 12 to 17 ms and 19 MiB: only on a thread that may.
pub(crate) fn hash(workspace: &mut Workspace, password: &str, random: &dyn Random) -> String {
    let mut salt = [0u8; SALT_BYTES];
    random.fill(&mut salt);
    let parameters = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES))
        .expect("the parameters are constant and valid");
    let out = derive(workspace, parameters, password, &salt);
    format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(out),
    )
}

/// Whether `password` is the one behind the PHC string `stored`. Without one, or with one that cannot be read, the
/// same work is done and the answer is no: who has no account must not answer faster.
pub(crate) fn verify(
    workspace: &mut Workspace,
    password: &str,
    stored: Option<&Secret<String>>,
) -> bool {
    let parsed = stored.and_then(|phc| parse(phc.expose()));
    let (parameters, salt, expected) = match &parsed {
        Some(parts) => (parts.parameters.clone(), &parts.salt[..], &parts.hash[..]),
        None => (
            Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES))
                .expect("the parameters are constant and valid"),
            &[0u8; SALT_BYTES][..],
            &[0u8; HASH_BYTES][..],
        ),
    };
    let out = derive(workspace, parameters, password, salt);
    let equal: bool = out.ct_eq(expected).into();
    equal && parsed.is_some()
}

fn derive(
    workspace: &mut Workspace,
    parameters: Params,
    password: &str,
    salt: &[u8],
) -> [u8; HASH_BYTES] {
    let blocks = workspace.blocks(parameters.block_count());
    let mut out = [0u8; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut out, blocks)
        .expect("lengths were checked and the memory fits the parameters");
    out
}

struct Parts {
    parameters: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// Reads an Argon2id PHC string whose cost is not absurd.
fn parse(phc: &str) -> Option<Parts> {
    let rest = phc.strip_prefix("$argon2id$v=19$")?;
    let mut fields = rest.split('$');
    let (costs, salt, hash) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() {
        return None;
    }
    let mut costs = costs.split(',');
    let mut cost = |name: &str, max: u32| -> Option<u32> {
        let value = costs.next()?.strip_prefix(name)?.parse().ok()?;
        (value <= max).then_some(value)
    };
    let (memory, passes, lanes) = (cost("m=", 128 * 1024)?, cost("t=", 16)?, cost("p=", 4)?);
    let salt = STANDARD_NO_PAD.decode(salt).ok()?;
    let hash = STANDARD_NO_PAD.decode(hash).ok()?;
    if !(8..=64).contains(&salt.len()) || hash.len() != HASH_BYTES {
        return None;
    }
    let parameters = Params::new(memory, passes, lanes, Some(HASH_BYTES)).ok()?;
    Some(Parts {
        parameters,
        salt,
        hash,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base::OsRandom;

    use super::*;

    #[test]
    fn the_right_password_matches_and_no_other_one_nor_a_missing_or_broken_hash() {
        let mut workspace = Workspace::default();
        let stored = Secret::new(hash(&mut workspace, "correct horse", &OsRandom));
        assert!(
            stored
                .expose()
                .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
        );
        assert!(verify(&mut workspace, "correct horse", Some(&stored)));
        assert!(!verify(&mut workspace, "correct horsf", Some(&stored)));
        assert!(!verify(&mut workspace, "correct horse", None));
        let absurd = stored.expose().replace("m=19456", "m=4294967295");
        for broken in ["", "$argon2id$v=19$", "plain", absurd.as_str()] {
            assert!(!verify(
                &mut workspace,
                "correct horse",
                Some(&Secret::new(broken.to_owned()))
            ));
        }
    }

    #[test]
    fn a_hash_made_elsewhere_with_other_costs_is_read() {
        let phc = {
            let parameters = Params::new(64, 1, 1, Some(HASH_BYTES)).unwrap();
            let out = derive(
                &mut Workspace::default(),
                parameters,
                "password",
                b"somesalt",
            );
            format!(
                "$argon2id$v=19$m=64,t=1,p=1${}${}",
                STANDARD_NO_PAD.encode(b"somesalt"),
                STANDARD_NO_PAD.encode(out)
            )
        };
        assert!(verify(
            &mut Workspace::default(),
            "password",
            Some(&Secret::new(phc))
        ));
    }

    #[test]
    fn weak_passwords_are_refused_with_the_reason_and_long_plain_ones_are_not() {
        let check = |password: &str| check_new(password, "alice@example.com");
        assert_eq!(check("short"), Err(PasswordError::TooShort));
        assert_eq!(check("Password123"), Err(PasswordError::Common));
        assert_eq!(check("aaaaaaaaaaaa"), Err(PasswordError::Common));
        assert_eq!(check("Alice@Example.com"), Err(PasswordError::Common));
        assert_eq!(check(&"x".repeat(1025)), Err(PasswordError::TooLong));
        let longest: String = (0..)
            .flat_map(|word: u32| word.to_string().into_bytes())
            .map(char::from)
            .take(1024)
            .collect();
        assert_eq!(check(&longest), Ok(()));
        assert_eq!(check("nine lett"), Err(PasswordError::TooShort));
        assert_eq!(check("ten letter"), Ok(()));
        assert_eq!(check("a good one\0"), Err(PasswordError::Nul));
        assert_eq!(check("four words will do"), Ok(()));
        assert_eq!(check("пароль из слов"), Ok(()));
    }
}
