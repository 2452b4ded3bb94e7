use std::any::Any;

/// Makes a panic one line of the log, as everything else that went wrong, with the id of its request.
///
/// Only words that stand in the source are told: a message that was put together may hold what a stranger sent.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(
            place = place.as_deref().unwrap_or("an unknown place"),
            words = words(panic.payload()),
            "panicked at: this is a fault of the program"
        );
    }));
}

fn words(payload: &dyn Any) -> &'static str {
    match payload.downcast_ref::<&'static str>() {
        Some(words) => words,
        None => "left out, since they were put together from what it was doing",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_panic_is_a_line_of_the_log_with_fixed_words_and_without_put_together_ones() {
        let fixed = std::panic::catch_unwind(|| panic!("a key has 32 bytes")).unwrap_err();
        assert_eq!(words(&*fixed), "a key has 32 bytes");
        let secret = std::hint::black_box("pcr_secret");
        for put_together in [
            std::panic::catch_unwind(|| panic!("{secret} is wrong")),
            std::panic::catch_unwind(|| {
                let wrong: Result<(), _> = std::hint::black_box(Err(secret));
                wrong.unwrap();
            }),
            std::panic::catch_unwind(|| std::panic::panic_any(7)),
        ] {
            assert!(words(&*put_together.unwrap_err()).starts_with("left out"));
        }
    }
}
