use std::fmt::Display;

use askama::Values;

use super::text;

/// `{{ name|plain(80) }}`: what a stranger chose, made safe to read. See [`text::plain`].
#[askama::filter_fn]
pub(super) fn plain(
    value: impl Display,
    _: &dyn Values,
    characters_max: usize,
) -> askama::Result<String> {
    Ok(text::plain(&value.to_string(), characters_max))
}

/// `{{ resource|address }}`: a host or URL, whose end matters as much as its beginning. See [`text::address`].
#[askama::filter_fn]
pub(super) fn address(value: impl Display, _: &dyn Values) -> askama::Result<String> {
    Ok(text::address(&value.to_string()))
}
