use std::fmt;

/// One variable of a stdio child's environment, which is otherwise clean.
#[derive(Clone, PartialEq, Eq)]
pub enum ChildEnv {
    /// `NAME`: what we have ourselves.
    Inherit(String),
    /// `NAME=VALUE`.
    Set(String, String),
}

impl ChildEnv {
    /// Reads what follows `--env`.
    ///
    /// # Errors
    /// When the name could not stand in an environment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let shape = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !shape {
            // The value may be a secret, so only the name is repeated.
            return Err(format!(
                "{name:?} is not a variable name; write NAME=VALUE or NAME"
            ));
        }
        if text.contains('\0') {
            return Err(format!("the value of {name} contains a NUL character"));
        }
        Ok(match value {
            Some(value) => Self::Set(name.into(), value.into()),
            None => Self::Inherit(name.into()),
        })
    }

    /// The variable's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Inherit(name) | Self::Set(name, _) => name,
        }
    }
}

/// Values are often keys, so they are not shown.
impl fmt::Debug for ChildEnv {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inherit(name) => write!(formatter, "{name}"),
            Self::Set(name, _) => write!(formatter, "{name}=.."),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_passes_ours_on_and_a_pair_sets_one_and_other_shapes_are_refused() {
        assert_eq!(
            ChildEnv::parse("HOME"),
            Ok(ChildEnv::Inherit("HOME".into()))
        );
        assert_eq!(
            ChildEnv::parse("API_KEY=a=b"),
            Ok(ChildEnv::Set("API_KEY".into(), "a=b".into()))
        );
        assert_eq!(
            ChildEnv::parse("EMPTY="),
            Ok(ChildEnv::Set("EMPTY".into(), String::new()))
        );
        for wrong in ["", "=x", "1A=x", "A B=x", "A-B", "A=\0"] {
            assert!(ChildEnv::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn neither_debug_nor_a_refusal_shows_a_value() {
        assert!(!format!("{:?}", ChildEnv::parse("KEY=hunter2").unwrap()).contains("hunter2"));
        assert!(
            !ChildEnv::parse("BAD-KEY=hunter2")
                .unwrap_err()
                .contains("hunter2")
        );
    }
}
