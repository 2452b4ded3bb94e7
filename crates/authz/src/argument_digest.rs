use aws_lc_rs::hmac;
use base::base64url;
use wire::mcp::Json;

use crate::decimal;

/// How many bytes of the HMAC a digest carries: no two arguments meet by chance.
const DIGEST_BYTES: usize = 16;

/// Makes digests of the arguments of one MCP server's calls: the same arguments of the same tool are the same digest, and
/// whoever does not have the key cannot try which arguments it was, however few there are. Whoever has a digest made of what
/// they send can: so it is made of calls that the policy lets go on, and of no others.
#[derive(Debug)]
pub struct ArgumentDigests(hmac::Key);

impl ArgumentDigests {
    /// With the server's key; nothing with an empty one, which is that of an authority from before there were digests.
    pub fn new(key: &[u8]) -> Option<Self> {
        (!key.is_empty()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The digest of what `method` sends to `name`: the order of members, and how a number is written, make no difference.
    /// No arguments are those of an empty object. Of another tool the same arguments have another digest, so that one who
    /// may call this cannot try what others sent to that.
    pub fn of(&self, method: &str, name: &str, arguments: Option<&Json>) -> String {
        let mut canonical = Vec::with_capacity(256);
        match arguments {
            None | Some(Json::Null) => canonical.extend_from_slice(b"{}"),
            Some(arguments) => write(arguments, &mut canonical),
        }
        let mut context = hmac::Context::with_key(&self.0);
        for part in [method.as_bytes(), name.as_bytes(), &canonical] {
            // The length in front keeps "a" + "bc" from being "ab" + "c".
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        base64url(&context.sign().as_ref()[..DIGEST_BYTES])
    }
}

/// One spelling for each value: members by name, numbers by what they say.
fn write(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Number(number) => decimal::write_canonical(number.as_str(), out),
        Json::Array(elements) => {
            out.push(b'[');
            for element in elements {
                write(element, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Json::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_unstable_by(|one, two| one.0.cmp(two.0));
            out.push(b'{');
            for (name, member) in members {
                Json::from(name.as_str()).write_to(out);
                out.push(b':');
                write(member, out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Json::Null | Json::Bool(_) | Json::String(_) => value.write_to(out),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use wire::mcp::{Limits, parse_strict};

    use super::*;

    const CALL: &str = "tools/call";

    fn digest(arguments: &str) -> String {
        let arguments = parse_strict(arguments.as_bytes(), &Limits::default()).unwrap();
        digests(7).of(CALL, "add", Some(&arguments))
    }

    fn digests(key: u8) -> ArgumentDigests {
        ArgumentDigests::new(&[key; 32]).unwrap()
    }

    #[test]
    fn the_same_arguments_are_the_same_digest_however_they_are_written_and_others_are_not() {
        let same = [
            vec![
                r#"{"a":1,"b":[true,{"c":"x","d":null}]}"#,
                r#"{ "b": [true, {"d": null, "c": "\u0078"}], "a": 1.0 }"#,
                r#"{"b":[true,{"c":"x","d":null}],"a":10e-1}"#,
            ],
            vec![r#"{"a":1,"b":[{"c":"x","d":null},true]}"#],
            vec![r#"{"a":"1","b":[true,{"c":"x","d":null}]}"#],
            vec![r#"{"a":1}"#, r#"{"a":1e0}"#, r#"{"a":100e-2}"#],
            vec![r#"{"a":-1}"#],
            vec![r#"{"a":0}"#, r#"{"a":-0.0}"#, r#"{"a":0e5}"#],
            vec![
                r#"{"a":9007199254740993}"#,
                r#"{"a":9007199254740993.00}"#,
                r#"{"a":9.007199254740993e15}"#,
            ],
            vec![r#"{"a":9007199254740992}"#],
            vec![r#"{"a":12}"#],
            vec![r#"{"a":[1,2]}"#],
            vec![r#"{"a":[[1],2]}"#],
            vec![r#"{"a":"1,"}"#],
            vec![r#"{"a":1e99999999999}"#],
            // The one is read, and kept as digits and a power one higher; the other is past what is read.
            vec![r#"{"a":1e2147483647}"#, r#"{"a":10E2147483646}"#],
            vec![r#"{"a":1E2147483648}"#],
            vec![r#"{"a":"{}"}"#],
            vec![r#"{"a":{}}"#],
            vec!["{}"],
        ];
        let mut seen = HashMap::new();
        for (group, texts) in same.iter().enumerate() {
            for text in texts {
                let of_group = *seen.entry(digest(text)).or_insert(group);
                assert_eq!(of_group, group, "{text}");
            }
        }
        assert_eq!(seen.len(), same.len());
        let none = digests(7).of(CALL, "add", None);
        assert_eq!(none, digest("{}"));
        assert_eq!(none, digests(7).of(CALL, "add", Some(&Json::Null)));
    }

    #[test]
    fn each_key_each_tool_and_each_method_has_digests_of_its_own() {
        let mut seen = std::collections::HashSet::new();
        for (key, method, name) in [
            (7, CALL, "add"),
            (8, CALL, "add"),
            (7, CALL, "ad"),
            (7, "prompts/get", "add"),
            (7, "tools/calla", "dd"),
        ] {
            let digest = digests(key).of(method, name, None);
            assert_eq!(digest.len(), 22, "{digest}");
            assert!(seen.insert(digest), "{key} {method} {name}");
        }
        assert!(ArgumentDigests::new(&[]).is_none());
    }
}
