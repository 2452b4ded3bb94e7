//! A gateway as it must not be: it judges what it reads first and sends what came.

use ::serde::Deserialize;
use ::serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use wire::mcp::Json;
use wire::mcp::json::{Limits, parse_strict};
use wire::mcp::message::message_of_client;

use super::judge::Sent;
use super::told::Told;

/// Of an object in which a name stands twice, the first: that is what some parsers do.
struct First(serde_json::Map<String, Value>);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = First;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<First, A::Error> {
                let mut members = serde_json::Map::new();
                while let Some(name) = map.next_key::<String>()? {
                    if members.contains_key(&name) {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        let raw: Box<serde_json::value::RawValue> = map.next_value()?;
                        members.insert(name, first_of(raw.get()));
                    }
                }
                Ok(First(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn first_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(First(members)) => Value::Object(members),
        Err(_) => serde_json::from_str(text).unwrap_or_default(),
    }
}

/// What it sends, or `None` when even it refuses.
pub fn judge(bytes: &[u8]) -> Option<Sent> {
    let First(members) = serde_json::from_slice(bytes).ok()?;
    // It does not mind twins and unknown members either.
    let known = ["jsonrpc", "id", "method", "params", "result", "error"];
    let value: serde_json::Map<_, _> = members
        .into_iter()
        .filter(|(name, _)| known.contains(&name.as_str()))
        .collect();
    let text = Value::Object(value).to_string();
    let mut json = parse_strict(text.as_bytes(), &Limits::default()).ok()?;
    let params = json.get("params").and_then(Json::as_object).cloned();
    if let Some(mut params) = params {
        let twins: Vec<String> = params
            .iter()
            .map(|(name, _)| name.as_str().to_owned())
            .filter(|name| name.to_lowercase() != *name && name != "taskId")
            .collect();
        twins.iter().for_each(|name| drop(params.remove(name)));
        *json.get_mut("params")? = params.into();
    }
    let message = message_of_client(json).ok()?;
    Some(Sent {
        judged: Told::judged(&message, &authz::read_call(&message)),
        bytes: bytes.to_vec(),
    })
}
