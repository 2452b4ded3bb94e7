#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use authz::Risk;
use oauth::NameCaution;
use wire::oauth::RedirectUriKind;

use super::*;

/// What a stranger may send as a name: overrides, zero-width characters, markup in every quoting, no end.
const HOSTILE: &str = "\u{202e}edualC\u{202c}\u{200b}\u{2066}\u{feff}\u{e0041} </title></textarea><script>alert(1)</script> \
     \"><img src=x onerror=alert(1)> ' onfocus='alert(2) <style>*{}</style> {{ 7*7 }} \
     WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW";

/// What a machine's field could hold at worst: printable, and quoting whatever there is to quote.
const HOSTILE_VALUE: &str = "\"'><script>alert(3)</script>";

fn consent_page<'a>(words: &'a str, value: &'a str) -> ConsentPage<'a> {
    ConsentPage {
        server_name: words,
        resource: words,
        client_name: words,
        standing: ClientStanding::Unverified,
        client_logo: None,
        name_caution: None,
        return_host: words,
        return_kind: RedirectUriKind::Loopback,
        by_hand: true,
        user_name: words,
        user_email: words,
        expected_email: Some(words),
        scopes: vec![ConsentScope {
            name: value,
            title: words,
            risk: Risk::High,
            tools: vec![ConsentTool {
                title: words,
                description: words,
            }],
            already_granted: true,
        }],
        withheld: vec![(words, words)],
        form_action: "/servers/todo/authorize",
        sealed_request: value,
        csrf: value,
        switch_account_action: "/sign-out",
        lasts: words,
        remember_note: Some(words),
    }
}

/// Every page in every variant, with `words` wherever people read and `value` wherever machines do.
fn every_page(words: &str, value: &str) -> Vec<(String, String)> {
    let mut pages = Vec::new();
    let mut add = |name: &str, html: String| pages.push((name.to_owned(), html));
    for error in [None, Some(words)] {
        for setup_hint in [false, true] {
            add(
                "sign-in",
                sign_in(&SignInPage {
                    server_name: words,
                    client_name: words,
                    form_action: "/sign-in",
                    sealed_request: value,
                    csrf: value,
                    email: value,
                    error,
                    setup_hint,
                }),
            );
        }
        add(
            "setup",
            setup(&SetupPage {
                form_action: "/setup",
                token: value,
                csrf: value,
                email: value,
                error,
                password_characters_min: 12,
            }),
        );
    }
    for kind in [
        RedirectUriKind::Https,
        RedirectUriKind::Loopback,
        RedirectUriKind::PrivateUseScheme,
    ] {
        for standing in [
            ClientStanding::Unverified,
            ClientStanding::AddedByOwner,
            ClientStanding::Verified(words),
            ClientStanding::DocumentOf(words),
        ] {
            add(
                "consent",
                consent(&ConsentPage {
                    return_kind: kind,
                    standing,
                    client_logo: Some(assets::mark_path()),
                    name_caution: Some(NameCaution::NotItsAddress("Claude")),
                    ..consent_page(words, value)
                }),
            );
        }
        for (denied, by_hand, unknown_host) in [
            (false, false, None),
            (false, true, None),
            (true, false, None),
            (true, false, Some(words)),
        ] {
            add(
                "returning",
                returning(&ReturningPage {
                    client_name: words,
                    url: &format!("x-app:/{value}"),
                    kind,
                    denied,
                    by_hand,
                    unknown_host,
                }),
            );
        }
    }
    add(
        "consent without anything",
        consent(&ConsentPage {
            scopes: vec![],
            withheld: vec![],
            remember_note: None,
            ..consent_page("", value)
        }),
    );
    add(
        "error",
        error(&ErrorPage {
            heading: words,
            explanation: words,
            details: &[("Asked for", words.to_owned())],
            what_to_do: words,
            correlation_id: words,
        }),
    );
    add(
        "going on",
        going_on(&GoingOnPage {
            server_name: words,
            client_name: words,
            return_host: words,
            user_email: words,
            form_action: "/servers/todo/authorize",
            sealed_request: value,
            csrf: value,
            switch_account_action: "/sign-out",
        }),
    );
    let ask = AskForm {
        form_action: "/servers/todo/authorize",
        sealed_request: value,
        csrf: value,
    };
    for (looks_again_at, ask) in [
        (None, Some(ask)),
        (Some("/servers/todo"), None),
        (None, None),
    ] {
        add(
            "waiting",
            waiting(&WaitingPage {
                server_name: words,
                client_name: words,
                correlation_id: words,
                looks_again_at,
                ask,
            }),
        );
    }
    for (error, ended) in [(None, None), (Some(words), Some("Revoked"))] {
        add(
            "tokens",
            tokens(&TokensPage {
                user_name: words,
                user_email: words,
                tokens: vec![TokenLine {
                    id: value,
                    name: words,
                    server_name: words,
                    scopes: words.to_owned(),
                    expires: words.to_owned(),
                    ended,
                }],
                servers: vec![TokenServer {
                    slug: value,
                    name: words,
                    scopes: vec![(value, words, Risk::High), (value, "", Risk::Low)],
                }],
                error,
                create_action: "/account/tokens",
                revoke_action: "/account/tokens/revoke",
                sign_out_action: "/sign-out",
                csrf: value,
                sign_out_csrf: value,
            }),
        );
    }
    add(
        "token-made",
        token_made(&TokenMadePage {
            name: words,
            token: value,
            resource: words,
            expires: words,
            list_path: "/account/tokens",
        }),
    );
    for owner_exists in [false, true] {
        add("setup-used", setup_used(&SetupUsedPage { owner_exists }));
    }
    let page = HomePage {
        user_name: words,
        user_email: words,
        servers: vec![HomeServer {
            name: words,
            slug: "todo",
            resource: words,
            tools_protected: 5,
            clients: 1,
            connect: vec![ConnectLine {
                client: words,
                command: value,
            }],
        }],
        waiting: vec![WaitingClient {
            server_slug: value,
            server_name: words,
            client_id: value,
            name: words,
            document_host: Some(words),
            redirect_uris: vec![words],
            since: words.to_owned(),
            csrf: value.to_owned(),
        }],
        decide_action: "/admin/clients",
        tokens_path: "/account/tokens",
        note: Some(words),
        sign_out_action: "/sign-out",
        csrf: value,
    };
    add("home", home(&page));
    add(
        "home without servers",
        home(&HomePage {
            servers: vec![],
            ..page
        }),
    );
    add(
        "signed-out",
        signed_out(&SignedOutPage {
            sign_in_path: "/sign-in",
        }),
    );
    pages
}

/// A start tag: its name and attributes, values still escaped.
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }
}

/// Reads the tags of a page as a browser would; our pages quote each attribute with `"` and hold no comment.
fn tags(html: &str) -> Vec<Tag> {
    let mut out = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let mut quoted = false;
        let end = rest
            .find(|c: char| {
                quoted ^= c == '"';
                c == '>' && !quoted
            })
            .expect("a tag ends");
        let (inside, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if inside.starts_with(['/', '!']) {
            continue;
        }
        let (name, mut attributes_left) = inside
            .split_once(char::is_whitespace)
            .unwrap_or((inside, ""));
        let mut attributes = Vec::new();
        while !attributes_left.trim().is_empty() {
            attributes_left = attributes_left.trim_start();
            let key_end = attributes_left
                .find(|c: char| c == '=' || c.is_whitespace())
                .unwrap_or(attributes_left.len());
            let key = attributes_left[..key_end].to_owned();
            attributes_left = &attributes_left[key_end..];
            let mut value = String::new();
            if let Some(quoted) = attributes_left.strip_prefix("=\"") {
                let (inside, after) = quoted.split_once('"').expect("a quoted value ends");
                value = inside.to_owned();
                attributes_left = after;
            }
            attributes.push((key, value));
        }
        out.push(Tag {
            name: name.to_owned(),
            attributes,
        });
    }
    out
}

const ELEMENTS: &[&str] = &[
    "html", "head", "meta", "title", "link", "body", "header", "main", "section", "div", "h1",
    "h2", "h3", "p", "ul", "li", "dl", "dt", "dd", "strong", "span", "bdi", "code", "img", "a",
    "form", "fieldset", "legend", "label", "input", "button", "details", "summary", "select",
    "option",
];

#[test]
fn hostile_text_stays_text_on_every_page() {
    for (name, html) in every_page(HOSTILE, HOSTILE_VALUE) {
        for tag in tags(&html) {
            if is_our_script(&name, &tag) {
                continue;
            }
            assert!(
                ELEMENTS.contains(&tag.name.as_str()),
                "{name}: <{}>",
                tag.name
            );
            for (key, value) in &tag.attributes {
                assert!(!key.starts_with("on"), "{name}: {key}");
                assert!(!value.contains(['<', '>', '\'']), "{name}: {key}={value}");
            }
        }
        let scripts = html.matches("<script").count();
        assert_eq!(scripts, usize::from(name == "going on"), "{name}");
    }
}

/// The one script there is, on the one page that has it.
fn is_our_script(page: &str, tag: &Tag) -> bool {
    page == "going on" && tag.name == "script" && tag.attribute("src") == Some(assets::go_on_path())
}

#[test]
fn nothing_that_hides_or_reorders_reaches_a_reader() {
    let endless = format!("{HOSTILE}{}", "W".repeat(2000));
    for (name, html) in every_page(&endless, "value") {
        for character in html.chars() {
            assert!(
                !matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                    | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'),
                "{name}: {character:?}"
            );
        }
        assert!(!html.contains(&"W".repeat(700)), "{name}: not cut");
    }
    let harmless = consent(&consent_page(
        "Über-\u{5d0}\u{5d1}\u{5d2} \u{1f389}",
        "value",
    ));
    assert!(harmless.contains("<bdi class=\"name\">Über-\u{5d0}\u{5d1}\u{5d2} \u{1f389}</bdi>"));
}

#[test]
fn no_page_has_an_inline_script_or_style_or_a_foreign_asset() {
    for (name, html) in every_page("Words", "value") {
        for tag in tags(&html) {
            assert!(!tag.has("style"), "{name}: {}", tag.name);
            assert!(
                is_our_script(&name, &tag)
                    || !matches!(
                        tag.name.as_str(),
                        "script" | "style" | "iframe" | "object" | "base"
                    ),
                "{name}: {}",
                tag.name
            );
            if matches!(tag.name.as_str(), "img" | "link") {
                let address = tag.attribute("src").or(tag.attribute("href")).unwrap();
                assert!(assets::find(address).is_some(), "{name}: {address}");
            }
        }
    }
}

#[test]
fn every_form_posts_to_our_own_origin_with_a_csrf_value() {
    let mut forms = 0;
    for (name, html) in every_page("Words", "value") {
        for form in html.split("<form").skip(1) {
            let form = format!("<form{}", form.split("</form>").next().unwrap());
            let tags = tags(&form);
            assert_eq!(tags[0].attribute("method"), Some("post"), "{name}");
            let action = tags[0].attribute("action").unwrap();
            assert!(
                action.starts_with('/') && !action.starts_with("//"),
                "{name}"
            );
            assert!(
                tags.iter().any(|tag| tag.attribute("name") == Some("csrf")
                    && tag.attribute("type") == Some("hidden")
                    && tag.attribute("value") == Some("value")),
                "{name}"
            );
            forms += 1;
        }
    }
    assert!(forms > 15, "{forms}");
}

#[test]
fn every_page_can_be_read_by_a_machine_that_reads_aloud() {
    for (name, html) in every_page("Words", "value") {
        let tags = tags(&html);
        let count = |element: &str| tags.iter().filter(|tag| tag.name == element).count();
        assert_eq!(tags[0].attribute("lang"), Some("en"), "{name}");
        for once in ["title", "main", "h1", "header"] {
            assert_eq!(count(once), 1, "{name}: {once}");
        }
        assert!(
            tags.iter().all(|tag| tag.name != "img" || tag.has("alt")),
            "{name}"
        );

        let ids: Vec<&str> = tags.iter().filter_map(|tag| tag.attribute("id")).collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len(), "{name}: {ids:?}");
        for tag in &tags {
            for key in ["for", "aria-describedby", "aria-labelledby"] {
                for id in tag.attribute(key).unwrap_or_default().split_whitespace() {
                    assert!(distinct.contains(id), "{name}: {key} {id}");
                }
            }
            let is_field = tag.name == "input" && tag.attribute("type") != Some("hidden");
            if is_field || tag.name == "select" {
                let id = tag.attribute("id").unwrap();
                assert!(
                    tags.iter().any(|label| label.attribute("for") == Some(id)),
                    "{name}: {id}"
                );
            }
        }
    }
}

#[test]
fn a_failed_sign_in_is_announced_and_a_first_one_is_not() {
    let page = SignInPage {
        form_action: "/sign-in",
        csrf: "value",
        email: "a@b.example",
        error: Some("The password is wrong."),
        ..SignInPage::default()
    };
    let failed = sign_in(&page);
    assert!(failed.contains("role=\"alert\""));
    assert!(failed.contains("aria-invalid=\"true\" aria-describedby=\"problem\""));
    assert!(failed.contains("<title>Error: Sign in"));
    let first = sign_in(&SignInPage {
        error: None,
        ..page
    });
    assert!(!first.contains("role=\"alert\"") && !first.contains("aria-invalid"));
    assert!(first.contains("<title>Sign in"));
}

#[test]
fn password_managers_find_their_fields() {
    let signing_in = sign_in(&SignInPage::default());
    assert!(signing_in.contains("autocomplete=\"username\""));
    assert!(signing_in.contains("autocomplete=\"current-password\""));
    let setting_up = setup(&SetupPage {
        password_characters_min: 12,
        ..SetupPage::default()
    });
    assert!(setting_up.contains("autocomplete=\"new-password\" minlength=\"12\""));
    assert!(setting_up.contains("At least 12 characters"));
}

#[test]
fn the_consent_page_sends_exactly_the_scopes_and_lets_each_be_unticked() {
    let page = ConsentPage {
        scopes: ["todo:read", "todo:delete"]
            .into_iter()
            .map(|name| ConsentScope {
                name,
                title: "",
                risk: Risk::Low,
                tools: vec![],
                already_granted: false,
            })
            .collect(),
        ..consent_page("Words", "value")
    };
    let html = consent(&page);
    let boxes: Vec<String> = tags(&html)
        .into_iter()
        .filter(|tag| tag.attribute("type") == Some("checkbox"))
        .filter(|tag| tag.attribute("id") != Some("by-hand"))
        .map(|tag| {
            assert!(tag.has("checked") && !tag.has("disabled"));
            assert_eq!(tag.attribute("name"), Some("scope"));
            tag.attribute("value").unwrap().to_owned()
        })
        .collect();
    assert_eq!(boxes, ["todo:read", "todo:delete"]);
    assert!(
        html.contains("<bdi class=\"scope-title\">todo:read</bdi>"),
        "a scope without words shows its name"
    );
}

#[test]
fn a_key_pressed_too_early_approves_nothing() {
    let html = consent(&consent_page("Words", "value"));
    let form = html
        .split("action=\"/servers/todo/authorize\"")
        .nth(1)
        .unwrap();
    let submits: Vec<Tag> = tags(form.split_once('>').unwrap().1)
        .into_iter()
        .filter(|tag| tag.attribute("type") == Some("submit"))
        .collect();
    assert_eq!(
        submits[0].attribute("formmethod"),
        Some("dialog"),
        "Enter in a checkbox presses the first"
    );
    assert!(submits[0].has("hidden") && !submits[0].has("name"));
    assert_eq!(submits[1].attribute("value"), Some("deny"));
    assert_eq!(submits[2].attribute("value"), Some("approve"));
    assert!(!html.contains("autofocus"));
}

#[test]
fn the_consent_page_says_who_is_proven_and_where_the_answer_goes() {
    let page = |kind, standing| {
        consent(&ConsentPage {
            client_name: "Claude",
            standing,
            return_host: "claude.ai",
            return_kind: kind,
            ..consent_page("Words", "value")
        })
    };
    let proven = page(
        RedirectUriKind::Https,
        ClientStanding::Verified("claude.ai"),
    );
    assert!(proven.contains(">Verified<") && !proven.contains("Unverified"));
    assert!(!proven.contains("Approve only"));
    let added = page(RedirectUriKind::Https, ClientStanding::AddedByOwner);
    assert!(added.contains("Added by the owner") && !added.contains("Unverified"));
    let unproven = page(RedirectUriKind::Https, ClientStanding::Unverified);
    assert!(unproven.contains("Unverified") && !unproven.contains(">Verified<"));
    assert!(unproven.contains("Approve only if you know this site"));
    let loopback = page(RedirectUriKind::Loopback, ClientStanding::Unverified);
    assert!(loopback.contains("A program on this computer"));
    assert!(loopback.contains("Approve only if you have just started it yourself"));
    let scheme = page(
        RedirectUriKind::PrivateUseScheme,
        ClientStanding::Unverified,
    );
    assert!(scheme.contains("An app on this device"));
    // A published description does not make the program that listens on this computer its own.
    let both = page(
        RedirectUriKind::Loopback,
        ClientStanding::DocumentOf("claude.ai"),
    );
    assert!(both.contains("Unverified") && both.contains("Approve only if you have just started"));
}

#[test]
fn a_name_that_is_not_its_own_is_pointed_out() {
    let page = |name_caution| {
        consent(&ConsentPage {
            name_caution,
            ..consent_page("Words", "value")
        })
    };
    assert!(page(Some(NameCaution::NotItsAddress("Claude"))).contains("no address of Claude"));
    assert!(page(Some(NameCaution::LooksLike("Claude"))).contains("spelled to look like Claude"));
    assert!(!page(None).contains("Take care"));
}

#[test]
fn a_name_that_mixes_alphabets_is_pointed_out() {
    let warns = |name| consent(&consent_page(name, "value")).contains("different alphabets");
    assert!(warns("Cl\u{430}ude"));
    assert!(!warns("Claude"));
}

#[test]
fn risk_is_told_in_words_and_grows_louder() {
    let page = |risk| {
        let mut page = consent_page("Words", "value");
        page.scopes[0].risk = risk;
        consent(&page)
    };
    assert!(!page(Risk::Low).contains(" risk</span>"));
    assert!(page(Risk::Medium).contains("tag-medium\">Medium risk"));
    assert!(page(Risk::High).contains("tag-high\">High risk"));
    assert!(page(Risk::Critical).contains("tag-high\">Critical risk"));
}

#[test]
fn many_tools_are_counted_and_few_are_named() {
    let names: Vec<String> = (1..=9).map(|number| format!("Tool {number}")).collect();
    let page = |count: usize| {
        let mut page = consent_page("Words", "value");
        page.scopes[0].tools = names[..count]
            .iter()
            .map(|title| ConsentTool {
                title,
                description: "",
            })
            .collect();
        consent(&page)
    };
    assert!(page(9).contains("Tool 4</bdi> and 5 more</summary>"));
    assert!(page(9).contains("<li><bdi class=\"tool\">Tool 9</bdi></li>"));
    assert!(page(5).contains("Tool 5</bdi></summary>"));
}

#[test]
fn the_way_back_is_opened_by_itself_and_by_a_link() {
    let html = returning(&ReturningPage {
        client_name: "Cursor",
        url: "cursor://x/cb?code=a&state=\"b",
        kind: RedirectUriKind::PrivateUseScheme,
        denied: false,
        by_hand: false,
        unknown_host: None,
    });
    let escaped = "cursor://x/cb?code=a&#38;state=&#34;b";
    assert!(html.contains(&format!(
        "<meta http-equiv=\"refresh\" content=\"0;url={escaped}\">"
    )));
    assert!(html.contains(&format!("href=\"{escaped}\"")));
    assert!(html.contains(&format!("<code>{escaped}</code>")));
}

#[test]
fn an_address_that_would_run_as_a_script_is_never_a_link() {
    let leads_away = |url| {
        let html = returning(&ReturningPage {
            client_name: "App",
            url,
            kind: RedirectUriKind::PrivateUseScheme,
            denied: false,
            by_hand: false,
            unknown_host: None,
        });
        let link = html.contains("Open <bdi>");
        assert_eq!(link, html.contains("http-equiv"), "{url}");
        link
    };
    for bad in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\tscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "no scheme",
        "",
        "/relative",
    ] {
        assert!(!leads_away(bad), "{bad}");
    }
    for good in [
        "https://a.example/cb",
        "http://127.0.0.1:1/",
        "com.example.app:/cb",
    ] {
        assert!(leads_away(good), "{good}");
    }
}

#[test]
fn a_denial_says_so_and_keeps_the_gate_down() {
    let page = ReturningPage {
        client_name: "App",
        url: "http://localhost:1/cb?error=access_denied",
        kind: RedirectUriKind::Loopback,
        denied: true,
        by_hand: false,
        unknown_host: None,
    };
    let denied = returning(&page);
    assert!(denied.contains("Access denied") && !denied.contains("gate-open"));
    let allowed = returning(&ReturningPage {
        denied: false,
        ..page
    });
    assert!(allowed.contains("Access allowed") && allowed.contains("gate-open"));
}

#[test]
fn after_a_no_nobody_is_sent_to_an_unknown_address_and_there_is_a_way_to_it() {
    let page = ReturningPage {
        client_name: "App",
        url: "https://evil.example/cb?error=access_denied&state=x",
        kind: RedirectUriKind::Https,
        denied: true,
        by_hand: false,
        unknown_host: Some("evil.example"),
    };
    let stays = returning(&page);
    assert!(stays.contains("Access denied") && !stays.contains("http-equiv"));
    assert!(!stays.contains("Returning"));
    assert!(stays.contains(
        "href=\"https://evil.example/cb?error=access_denied&#38;state=x\" rel=\"noreferrer\">Go back to \
         <bdi>evil.example</bdi></a>"
    ));
    let known = returning(&ReturningPage {
        unknown_host: None,
        ..page
    });
    assert!(known.contains("http-equiv") && known.contains("Open <bdi>App</bdi>"));
    // An address that would run as a script is not even a link.
    let script = returning(&ReturningPage {
        url: "javascript:alert(1)",
        ..page
    });
    assert!(!script.contains("href=\"javascript"));
}

#[test]
fn who_carries_the_code_sees_all_of_it_and_is_sent_nowhere() {
    let page = ReturningPage {
        client_name: "Claude Code",
        url: "http://localhost:1/cb?k='x&code=pcc_a&state=b",
        kind: RedirectUriKind::Loopback,
        denied: false,
        by_hand: true,
        unknown_host: None,
    };
    let by_hand = returning(&page);
    assert!(!by_hand.contains("http-equiv") && !by_hand.contains("<details"));
    assert!(
        by_hand.contains("<code>http://localhost:1/cb?k=&#39;x&#38;code=pcc_a&#38;state=b</code>")
    );
    assert!(by_hand.contains("<code>pcc_a</code>"));
    // In a shell the quotation mark would end the word.
    assert!(by_hand.contains("curl 'http://localhost:1/cb?k=%27x&#38;code=pcc_a&#38;state=b'"));
    assert!(by_hand.contains("five minutes"));
    let by_itself = returning(&ReturningPage {
        by_hand: false,
        ..page
    });
    assert!(by_itself.contains("http-equiv") && by_itself.contains("<code>pcc_a</code>"));
}

#[test]
fn a_client_that_waits_is_asked_about_once_and_looked_for_again_after_that() {
    let page = WaitingPage {
        client_name: "App",
        ..WaitingPage::default()
    };
    let before = waiting(&WaitingPage {
        ask: Some(AskForm::default()),
        ..page
    });
    assert!(before.contains("value=\"ask\"") && !before.contains("http-equiv"));
    let after = waiting(&WaitingPage {
        looks_again_at: Some("/servers/todo/authorize?request=x"),
        ..page
    });
    assert!(after.contains("content=\"15;url=/servers/todo/authorize?request=x\""));
    assert!(!after.contains("value=\"ask\""));
}
