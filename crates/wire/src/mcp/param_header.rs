//! Tool parameters that are mirrored into `Mcp-Param-…` headers.

use http::{HeaderMap, HeaderName};

use super::headers::{HeaderRefusal, MCP_PARAM_PREFIX, decode_value, single};
use super::json::{Json, Object};

/// The most parameters of one tool that may be mirrored.
const MIRRORED_MAX: usize = 64;
/// The largest integer that every reader holds exactly.
const SAFE_INTEGER_MAX: f64 = 9_007_199_254_740_991.0;

/// One parameter that a tool's schema marks with `x-mcp-header`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirroredParam {
    /// The header, `mcp-param-…`.
    pub header: HeaderName,
    /// The chain of member names that leads to it in the arguments.
    pub path: Vec<String>,
}

/// The mirrored parameters of a tool's input schema; `None` when a mark breaks a rule, which makes the tool's
/// definition invalid.
///
/// Spec: MCP 2026-07-28, Streamable HTTP, "Schema Extension".
pub fn mirrored_params(input_schema: &Json) -> Option<Vec<MirroredParam>> {
    let mut found = Vec::new();
    let mut path = Vec::new();
    collect(input_schema, &mut path, true, &mut found)?;
    Some(found)
}

fn collect(
    schema: &Json,
    path: &mut Vec<String>,
    reachable: bool,
    found: &mut Vec<MirroredParam>,
) -> Option<()> {
    match schema {
        Json::Array(schemas) => schemas
            .iter()
            .try_for_each(|schema| collect(schema, path, false, found)),
        Json::Object(members) => {
            if let Some(mark) = members.get("x-mcp-header") {
                mark_is_valid(members, reachable && !path.is_empty())?;
                let header = format!("{MCP_PARAM_PREFIX}{}", mark.as_str()?);
                let header = HeaderName::from_bytes(header.to_ascii_lowercase().as_bytes()).ok()?;
                if mark.as_str()?.is_empty()
                    || found.len() >= MIRRORED_MAX
                    || found.iter().any(|other| other.header == header)
                {
                    return None;
                }
                found.push(MirroredParam {
                    header,
                    path: path.clone(),
                });
            }
            for (keyword, value) in members.iter() {
                match (keyword.as_str(), value) {
                    ("properties", Json::Object(properties)) => {
                        for (name, property) in properties.iter() {
                            path.push(name.as_str().to_owned());
                            collect(property, path, reachable, found)?;
                            path.pop();
                        }
                    }
                    // Data, not schemas: a mark in there is none.
                    ("default" | "const" | "enum" | "examples", _) => {}
                    (_, Json::Object(_) | Json::Array(_)) => collect(value, path, false, found)?,
                    _ => {}
                }
            }
            Some(())
        }
        _ => Some(()),
    }
}

fn mark_is_valid(property: &Object, reachable: bool) -> Option<()> {
    let primitive = matches!(property.str("type"), Some("integer" | "string" | "boolean"));
    (reachable && primitive).then_some(())
}

/// Checks the headers of a `tools/call` against its arguments.
///
/// # Errors
/// The first header that is missing, invalid, or says something else than the body.
pub fn check_param_headers(
    headers: &HeaderMap,
    params: &[MirroredParam],
    arguments: Option<&Object>,
) -> Result<(), HeaderRefusal> {
    for param in params {
        let header = param.header.as_str();
        let value = match single(headers, &param.header)? {
            None => None,
            Some(value) => {
                Some(decode_value(value).ok_or_else(|| HeaderRefusal::Invalid(header.to_owned()))?)
            }
        };
        let body = arguments.and_then(|arguments| value_at(arguments, &param.path));
        match (value, body) {
            (None, None | Some(Json::Null)) => {}
            (Some(_), None | Some(Json::Null)) => {
                return Err(HeaderRefusal::NothingToMirror(header.to_owned()));
            }
            (Some(value), Some(body)) if says_the_same(&value, body) => {}
            (value, Some(body)) => {
                return Err(HeaderRefusal::Differs {
                    header: header.to_owned(),
                    value: value.unwrap_or_default().chars().take(64).collect(),
                    body: body.to_text().chars().take(64).collect(),
                });
            }
        }
    }
    Ok(())
}

fn value_at<'a>(arguments: &'a Object, path: &[String]) -> Option<&'a Json> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(arguments.get(first)?, |value, name| value.get(name))
}

/// Integers are compared as numbers (`42.0` is `42`), within the range that every reader holds exactly.
fn says_the_same(header: &str, body: &Json) -> bool {
    match body {
        Json::String(text) => header == text,
        Json::Bool(truth) => header == if *truth { "true" } else { "false" },
        Json::Number(number) => {
            let safe = |text: &str| {
                text.parse::<f64>()
                    .ok()
                    .filter(|number| number.fract() == 0.0 && number.abs() <= SAFE_INTEGER_MAX)
            };
            let plain = header
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
            plain && matches!((safe(header), safe(number.as_str())), (Some(a), Some(b)) if a == b)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::mcp::json::{Limits, parse_strict};

    fn json(text: &str) -> Json {
        parse_strict(text.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn marks_are_found_along_properties_and_make_the_tool_invalid_anywhere_else() {
        let found = mirrored_params(&json(
            r#"{"type":"object","properties":{
                "region":{"type":"string","x-mcp-header":"Region"},
                "deep":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}},
                "free":{"type":"string","default":{"x-mcp-header":"no"}}}}"#,
        ))
        .unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|param| (param.header.as_str(), param.path.join(".")))
            .collect();
        assert_eq!(
            names,
            [
                ("mcp-param-region", "region".to_owned()),
                ("mcp-param-n", "deep.n".to_owned())
            ]
        );
        for broken in [
            r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#,
            r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A b"}}}"#,
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
            r#"{"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}"#,
            r#"{"anyOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#,
            r#"{"type":"string","x-mcp-header":"A"}"#,
        ] {
            assert_eq!(mirrored_params(&json(broken)), None, "{broken}");
        }
    }

    #[test]
    fn sixty_four_arguments_stand_in_headers_and_one_more_makes_the_tool_invalid() {
        for (count, is_valid) in [(64, true), (65, false)] {
            let marked = |at| format!(r#""p{at}":{{"type":"string","x-mcp-header":"P{at}"}}"#);
            let properties: Vec<_> = (0..count).map(marked).collect();
            let schema = json(&format!(r#"{{"properties":{{{}}}}}"#, properties.join(",")));
            assert_eq!(mirrored_params(&schema).is_some(), is_valid, "{count}");
        }
    }

    #[test]
    fn a_header_says_what_the_argument_says_numbers_by_value() {
        let params = [MirroredParam {
            header: HeaderName::from_static("mcp-param-a"),
            path: vec!["a".into()],
        }];
        let check = |header: Option<&str>, arguments: &str| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert("mcp-param-a", header.parse().unwrap());
            }
            let arguments = json(arguments);
            check_param_headers(&headers, &params, arguments.as_object()).is_ok()
        };
        for (header, arguments) in [
            (Some("us-west1"), r#"{"a":"us-west1"}"#),
            (
                Some("=?base64?SGVsbG8sIOS4lueVjA==?="),
                r#"{"a":"Hello, 世界"}"#,
            ),
            (Some("42.0"), r#"{"a":42}"#),
            (Some("42"), r#"{"a":4.2e1}"#),
            (Some("true"), r#"{"a":true}"#),
            (None, r#"{"a":null}"#),
            (None, r#"{}"#),
        ] {
            assert!(check(header, arguments), "{header:?} {arguments}");
        }
        for (header, arguments) in [
            (Some("us-west2"), r#"{"a":"us-west1"}"#),
            (Some("=?base64?SGVsbG8?="), r#"{"a":"Hello"}"#),
            (Some("43"), r#"{"a":42}"#),
            (Some("inf"), r#"{"a":42}"#),
            (Some("9007199254740993"), r#"{"a":9007199254740992}"#),
            (Some("True"), r#"{"a":true}"#),
            (Some("x"), r#"{"a":null}"#),
            (Some("x"), r#"{}"#),
            (None, r#"{"a":"x"}"#),
            (Some("[]"), r#"{"a":[]}"#),
        ] {
            assert!(!check(header, arguments), "{header:?} {arguments}");
        }
    }
}
