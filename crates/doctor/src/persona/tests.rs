use std::collections::HashSet;

use super::*;

#[test]
fn names_are_ids_aliases_or_all_and_nobody_comes_twice() {
    let ids = |names: &str| {
        choose(names).map(|chosen| {
            chosen
                .iter()
                .map(|client| client.id.as_str())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(
        ids("claude-code, chatgpt"),
        Ok(vec!["claude-code", "chatgpt"])
    );
    assert_eq!(
        ids("gemini,Gemini-CLI,claude.ai"),
        Ok(vec!["gemini-cli", "claude"])
    );
    assert_eq!(ids(""), Ok(Vec::new()));
    let all = choose("all,cursor").unwrap_or_default();
    let different: HashSet<_> = all.iter().map(|client| &client.id).collect();
    assert!(all.len() >= 30 && different.len() == all.len());
    assert!(all.iter().all(|client| client.journey.is_some()));
    assert!(ids("curser").is_err_and(|why| why.contains("\"curser\"") && why.contains("cursor")));
}
