//! The same of a server that protects itself: each page of each list is filtered by itself, and the cursors lead through all of them.

use super::*;

const PAGE: usize = 2;
/// Five pages, with a letter for each element: `y` is to be had, `w` behind a scope, `u` in no policy.
const PAGES: [&str; 5] = ["yw", "uw", "uy", "yy", "wu"];

/// The method of a list, its member, what identifies an element, and how one is called.
type Kind = (
    &'static str,
    &'static str,
    &'static str,
    fn(usize) -> String,
);

const KINDS: [Kind; 4] = [
    ("tools/list", "tools", "name", |number| {
        format!("tool_{number}")
    }),
    ("resources/list", "resources", "uri", |number| {
        format!("note://kept/{number}")
    }),
    (
        "resources/templates/list",
        "resourceTemplates",
        "uriTemplate",
        |number| format!("note://of/{number}/{{x}}"),
    ),
    ("prompts/list", "prompts", "name", |number| {
        format!("prompt_{number}")
    }),
];

fn in_pages() -> LocalPolicy {
    let mut policy = LocalPolicy::new()
        .scope("note:read", "Read notes")
        .scope("note:write", "Write notes");
    for (number, letter) in PAGES.iter().flat_map(|page| page.chars()).enumerate() {
        let scope = match letter {
            'y' => "note:read",
            'w' => "note:write",
            _ => continue,
        };
        let [tool, resource, template, prompt] = KINDS.map(|(.., named)| named(number));
        policy = policy
            .tool(&tool, scope)
            .resource(&resource, scope)
            .resource_template(&template, scope)
            .prompt(&prompt, scope);
    }
    policy
}

/// Lists everything to everybody, a page at a time.
fn talkative(as_events: bool) -> Mcp {
    Mcp::new(move |asked| {
        let method = asked.message["method"].as_str().unwrap_or_default();
        let Some((_, member, identity, named)) = KINDS.iter().find(|kind| kind.0 == method) else {
            return result(&asked, &json!({}), as_events);
        };
        let cursor = asked.message["params"]["cursor"].as_str();
        let page: usize = cursor.map_or(0, |cursor| cursor[1..].parse().unwrap());
        let elements: Vec<_> = (page * PAGE..(page + 1) * PAGE)
            .map(|number| json!({"name": format!("n{number}"), *identity: named(number)}))
            .collect();
        let mut listed = json!({*member: elements});
        if page + 1 < PAGES.len() {
            listed["nextCursor"] = json!(format!("p{}", page + 1));
        }
        result(&asked, &listed, as_events)
    })
}

#[tokio::test]
async fn each_page_is_filtered_keeps_its_cursor_and_order_and_one_without_anything_leads_to_the_next()
 {
    let issuer = TestIssuer::new();
    let protection = builder(&issuer).policy(in_pages()).start().unwrap();
    for (as_events, modern) in [(false, false), (false, true), (true, false), (true, true)] {
        let service = protection.protect(talkative(as_events));
        for (scope, seen) in [
            ("note:read", "y"),
            ("note:read note:write", "yw"),
            ("note:write", "w"),
            ("", ""),
        ] {
            let token = issuer.token(RESOURCE).scope(scope).mint();
            for (method, member, identity, named) in KINDS {
                let words = format!("{method} {scope} {as_events} {modern}");
                let mut params = json!({});
                for (number, letters) in PAGES.iter().enumerate() {
                    let asked = message(method, params.clone(), modern);
                    let listed = ask(&service, &token, &asked).await;
                    let listed = &listed.json["result"];
                    let elements = listed[member].as_array().unwrap().iter();
                    let shown: Vec<_> = elements.map(|element| &element[identity]).collect();
                    let expected = letters.chars().enumerate();
                    let expected: Vec<_> = expected
                        .filter(|(_, letter)| seen.contains(*letter))
                        .map(|(index, _)| json!(named(number * PAGE + index)))
                        .collect();
                    assert_eq!(
                        shown,
                        expected.iter().collect::<Vec<_>>(),
                        "{words} {number}"
                    );
                    let next = (number + 1 < PAGES.len()).then(|| format!("p{}", number + 1));
                    assert_eq!(listed["nextCursor"].as_str(), next.as_deref(), "{words}");
                    params = json!({"cursor": next});
                }
            }
        }
    }
}
