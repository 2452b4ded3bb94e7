//! Writes every page in several variants to a folder, to be looked at in a browser without a server:
//! `cargo run -p portcullis-server --example pages -- /tmp/pages-out`

use std::path::Path;
use std::{env, fs, io};

use authz::Risk;
use oauth::NameCaution;
use portcullis_server::pages::{
    self, AskForm, ClientStanding, ConnectLine, ConsentPage, ConsentScope, ConsentTool, ErrorPage,
    GoingOnPage, HomePage, HomeServer, ReturningPage, SetupPage, SetupUsedPage, SignInPage,
    SignedOutPage, TokenLine, TokenMadePage, TokenServer, TokensPage, WaitingClient, WaitingPage,
};
use wire::oauth::RedirectUriKind;

/// Overrides, zero-width characters, markup, look-alikes, piled accents, and no end.
const HOSTILE: &str = "\u{202e}edualC\u{202c} <script>alert(1)</script> \u{200b}\u{200d}Cl\u{430}ude \u{1f510}\
    e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301} \
    \"><img src=x onerror=alert(1)> is verified by Portcullis. Press Approve to continue signing in \
    WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW";

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).unwrap_or_else(|| "pages-out".to_owned());
    let folder = Path::new(&folder);
    fs::create_dir_all(folder.join("assets"))?;
    for asset in pages::assets::all() {
        fs::write(
            folder.join(asset.path().trim_start_matches('/')),
            &asset.bytes,
        )?;
    }
    for (name, html) in all() {
        // A file has no origin to be absolute to, and a page that leaves at once cannot be looked at.
        let html = html
            .replace("\"/assets/", "\"assets/")
            .replace("http-equiv=\"refresh\"", "name=\"refresh\"");
        fs::write(folder.join(format!("{name}.html")), html)?;
    }
    Ok(())
}

fn all() -> Vec<(&'static str, String)> {
    let mut out = sign_in_pages();
    out.extend(consent_pages());
    out.extend(returning_pages());
    out.extend(home_pages());
    out.extend(other_pages());
    out.extend(account_pages());
    out
}

fn waiting_clients() -> Vec<WaitingClient<'static>> {
    vec![
        WaitingClient {
            server_slug: "todo",
            server_name: "Todo",
            client_id: "https://assistant.example/oauth/client.json",
            name: "Assistant",
            document_host: Some("assistant.example"),
            redirect_uris: vec!["https://assistant.example/cb"],
            since: "for 5 minutes".into(),
            csrf: "csrf".into(),
        },
        WaitingClient {
            server_slug: "todo",
            server_name: "Todo",
            client_id: "cli_1",
            name: "Cursor",
            document_host: None,
            redirect_uris: vec![
                "cursor://anysphere.cursor-mcp/oauth/callback",
                "https://www.cursor.com/agents/mcp/oauth/callback",
                "http://localhost:8787/callback",
            ],
            since: "for 3 days".into(),
            csrf: "csrf".into(),
        },
    ]
}

fn account_pages() -> Vec<(&'static str, String)> {
    let line = TokenLine {
        id: "svt_1",
        name: "Nightly report",
        server_name: "Todo",
        scopes: "todo:read todo:write".into(),
        expires: "2026-12-21".into(),
        ended: None,
    };
    let tokens = TokensPage {
        user_name: "Alice Meyer",
        user_email: "alice@example.com",
        tokens: vec![
            line.clone(),
            TokenLine {
                name: "Build machine",
                ended: Some("Revoked"),
                ..line.clone()
            },
        ],
        servers: vec![TokenServer {
            slug: "todo",
            name: "Todo",
            scopes: vec![
                ("todo:read", "See your todos", Risk::Low),
                ("todo:write", "Add and complete todos", Risk::Medium),
                ("todo:delete", "Delete todos for good", Risk::High),
            ],
        }],
        error: None,
        create_action: "/account/tokens",
        revoke_action: "/account/tokens/revoke",
        sign_out_action: "/sign-out",
        csrf: "csrf",
        sign_out_csrf: "csrf",
    };
    let made = TokenMadePage {
        name: "Nightly report",
        token: "pct_NB2-VQxxLL1kc0Dd2T9yqAqsWGwOY1FhKSkHV7hVZ8w",
        resource: "http://localhost:4180/mcp/todo",
        expires: "2026-12-21",
        list_path: "/account/tokens",
    };
    let going_on = GoingOnPage {
        server_name: "Todo",
        client_name: "Claude",
        return_host: "claude.ai",
        user_email: "alice@example.com",
        form_action: "/servers/todo/authorize",
        sealed_request: "sealed",
        csrf: "csrf",
        switch_account_action: "/sign-out",
    };
    let waiting = WaitingPage {
        server_name: "Todo",
        client_name: "Assistant",
        correlation_id: "01K9Z3T4V5W6X7Y8",
        looks_again_at: Some("/servers/todo/authorize?request=sealed"),
        ask: None,
    };
    vec![
        ("tokens", pages::tokens(&tokens)),
        (
            "tokens-empty",
            pages::tokens(&TokensPage {
                user_name: "",
                tokens: vec![],
                error: Some("Tick at least one thing that the token may do."),
                ..tokens.clone()
            }),
        ),
        (
            "tokens-hostile",
            pages::tokens(&TokensPage {
                user_name: HOSTILE,
                user_email: HOSTILE,
                tokens: vec![TokenLine {
                    name: HOSTILE,
                    server_name: HOSTILE,
                    scopes: HOSTILE.into(),
                    expires: HOSTILE.into(),
                    ..line
                }],
                servers: vec![TokenServer {
                    slug: "todo",
                    name: HOSTILE,
                    scopes: vec![(HOSTILE, HOSTILE, Risk::Critical), ("x", "", Risk::Low)],
                }],
                error: Some(HOSTILE),
                ..tokens
            }),
        ),
        ("token-made", pages::token_made(&made)),
        (
            "token-made-hostile",
            pages::token_made(&TokenMadePage {
                name: HOSTILE,
                resource: HOSTILE,
                ..made
            }),
        ),
        ("going-on", pages::going_on(&going_on)),
        (
            "going-on-hostile",
            pages::going_on(&GoingOnPage {
                server_name: HOSTILE,
                client_name: HOSTILE,
                return_host: HOSTILE,
                user_email: HOSTILE,
                ..going_on
            }),
        ),
        ("waiting", pages::waiting(&waiting)),
        (
            "waiting-ask",
            pages::waiting(&WaitingPage {
                looks_again_at: None,
                ask: Some(AskForm {
                    form_action: "/servers/todo/authorize",
                    sealed_request: "sealed",
                    csrf: "csrf",
                }),
                ..waiting
            }),
        ),
        (
            "waiting-hostile",
            pages::waiting(&WaitingPage {
                server_name: HOSTILE,
                client_name: HOSTILE,
                ..waiting
            }),
        ),
    ]
}

fn sign_in_pages() -> Vec<(&'static str, String)> {
    let normal = SignInPage {
        server_name: "Todo",
        client_name: "Claude Code",
        form_action: "/sign-in",
        sealed_request: "sealed",
        csrf: "csrf",
        ..SignInPage::default()
    };
    let empty = SignInPage {
        form_action: "/sign-in",
        csrf: "csrf",
        ..SignInPage::default()
    };
    vec![
        ("sign-in", pages::sign_in(&normal)),
        (
            "sign-in-error",
            pages::sign_in(&SignInPage {
                email: "alice@example.com",
                error: Some("The e-mail address and the password do not belong together."),
                ..normal
            }),
        ),
        ("sign-in-empty", pages::sign_in(&empty)),
        (
            "sign-in-setup-hint",
            pages::sign_in(&SignInPage {
                setup_hint: true,
                ..normal
            }),
        ),
        (
            "sign-in-hostile",
            pages::sign_in(&SignInPage {
                client_name: HOSTILE,
                server_name: HOSTILE,
                email: HOSTILE,
                error: Some(HOSTILE),
                ..normal
            }),
        ),
    ]
}

fn consent_pages() -> Vec<(&'static str, String)> {
    let normal = ConsentPage {
        server_name: "Todo",
        resource: "http://localhost:4180/mcp/todo",
        client_name: "Claude Code",
        standing: ClientStanding::Unverified,
        client_logo: None,
        name_caution: None,
        return_host: "localhost",
        return_kind: RedirectUriKind::Loopback,
        by_hand: true,
        user_name: "Alice Meyer",
        user_email: "alice@example.com",
        expected_email: None,
        scopes: vec![
            scope(
                "todo:read",
                "See your todos",
                Risk::Low,
                &[
                    ("List todos", "Everything on your list, open and done."),
                    ("Get a todo", "One todo with its notes."),
                ],
            ),
            scope(
                "todo:write",
                "Add and complete todos",
                Risk::Medium,
                &[
                    ("Add a todo", "Puts a new todo on your list."),
                    ("Complete a todo", "Marks a todo as done."),
                ],
            ),
            scope(
                "todo:delete",
                "Delete todos for good",
                Risk::High,
                &[("Delete a todo", "Removes a todo. This cannot be undone.")],
            ),
        ],
        withheld: vec![],
        form_action: "/servers/todo/authorize",
        sealed_request: "sealed",
        csrf: "csrf",
        switch_account_action: "/sign-out",
        lasts: "It stays connected for up to 365 days, and for 90 days without being used.",
        remember_note: None,
    };
    let verified = ConsentPage {
        client_name: "Claude",
        standing: ClientStanding::Verified("claude.ai"),
        client_logo: Some(pages::assets::mark_path()),
        return_host: "claude.ai",
        return_kind: RedirectUriKind::Https,
        remember_note: Some("You are not asked again until it wants more."),
        withheld: vec![
            ("todo:delete", "Your role does not allow it."),
            ("todo:export", "This server has no such scope."),
        ],
        scopes: {
            let mut scopes = normal.scopes[..2].to_vec();
            scopes[0].already_granted = true;
            scopes
        },
        ..normal.clone()
    };
    let tool_names: Vec<String> = (1..=40)
        .map(|number| format!("Look at thing number {number}"))
        .collect();
    let many: Vec<(&str, &str)> = tool_names
        .iter()
        .map(|name| {
            (
                name.as_str(),
                "Reads one thing and everything that belongs to it.",
            )
        })
        .collect();
    let long = ConsentPage {
        server_name: "Customer relations and order management of the northern region (staging)",
        resource: "https://mcp.staging.northern-region.customer-relations.example.com/departments/orders/mcp",
        client_name: "Visual Studio Code Insiders for the Enterprise with Extensions",
        return_host: "com.example.very-long-application-identifier.that-goes-on.and-on:",
        return_kind: RedirectUriKind::PrivateUseScheme,
        expected_email: Some("someone.else@students.university.example"),
        user_name: "Prof. Dr. Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh",
        user_email: "wolfeschlegelsteinhausenbergerdorff.featherstonehaugh@students.university.example",
        scopes: vec![
            scope(
                "crm:read",
                "See customers, orders, invoices and everything else that the northern region keeps",
                Risk::Low,
                &many,
            ),
            scope(
                "crm:write",
                "Change customers and orders",
                Risk::Medium,
                &many[..7],
            ),
            scope(
                "crm:refund",
                "Send money back to customers",
                Risk::Critical,
                &many[..5],
            ),
            scope("crm:empty", "Use what comes later", Risk::Low, &[]),
        ],
        ..normal.clone()
    };
    let empty = ConsentPage {
        server_name: "",
        resource: "",
        client_name: "",
        user_name: "",
        user_email: "alice@example.com",
        return_host: "unknown.example",
        return_kind: RedirectUriKind::Https,
        scopes: vec![],
        remember_note: None,
        ..normal.clone()
    };
    let document = ConsentPage {
        standing: ClientStanding::DocumentOf("claude.ai"),
        ..normal.clone()
    };
    let added = ConsentPage {
        client_name: "Intranet assistant",
        standing: ClientStanding::AddedByOwner,
        return_host: "assistant.intranet.example",
        return_kind: RedirectUriKind::Https,
        remember_note: Some("You are not asked again until it wants more."),
        ..normal.clone()
    };
    let imitation = ConsentPage {
        client_name: "Cl\u{430}ude",
        name_caution: Some(NameCaution::NotItsAddress("Claude")),
        return_host: "claude-login.example",
        return_kind: RedirectUriKind::Https,
        remember_note: None,
        ..normal.clone()
    };
    let hostile = ConsentPage {
        expected_email: Some(HOSTILE),
        name_caution: Some(NameCaution::LooksLike("Claude")),
        server_name: HOSTILE,
        resource: HOSTILE,
        client_name: HOSTILE,
        return_host: "accounts.google.com.verified.login.secure.session.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.evil.example",
        return_kind: RedirectUriKind::Https,
        user_name: HOSTILE,
        user_email: HOSTILE,
        scopes: vec![
            scope(
                "x:read",
                HOSTILE,
                Risk::Low,
                &[(HOSTILE, HOSTILE), (HOSTILE, HOSTILE)],
            ),
            scope(
                "x:delete",
                "\u{202e}",
                Risk::Critical,
                &[("\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{202e}abc", HOSTILE)],
            ),
        ],
        withheld: vec![(HOSTILE, HOSTILE)],
        remember_note: Some(HOSTILE),
        ..normal.clone()
    };
    vec![
        ("consent", pages::consent(&normal)),
        ("consent-verified", pages::consent(&verified)),
        ("consent-document", pages::consent(&document)),
        ("consent-added", pages::consent(&added)),
        ("consent-imitation", pages::consent(&imitation)),
        ("consent-long", pages::consent(&long)),
        ("consent-empty", pages::consent(&empty)),
        ("consent-hostile", pages::consent(&hostile)),
    ]
}

fn scope<'a>(
    name: &'a str,
    title: &'a str,
    risk: Risk,
    tools: &[(&'a str, &'a str)],
) -> ConsentScope<'a> {
    ConsentScope {
        name,
        title,
        risk,
        tools: tools
            .iter()
            .map(|&(title, description)| ConsentTool { title, description })
            .collect(),
        already_granted: false,
    }
}

fn returning_pages() -> Vec<(&'static str, String)> {
    let normal = ReturningPage {
        client_name: "Claude Code",
        url: "http://localhost:51234/callback?code=pcc_NB2-VQxxLL1kc0Dd2T9yqAqsWGwOY1FhKSkHV7hVZ8w&state=vjZ8&iss=http%3A%2F%2Flocalhost%3A4180%2Fservers%2Ftodo",
        kind: RedirectUriKind::Loopback,
        denied: false,
        by_hand: false,
        unknown_host: None,
    };
    let custom = ReturningPage {
        client_name: "Cursor",
        url: "cursor://anysphere.cursor-mcp/oauth/callback?code=pcc_NB2-VQxxLL1kc0Dd2T9yqAqsWGwOY1FhKSkHV7hVZ8w",
        kind: RedirectUriKind::PrivateUseScheme,
        denied: false,
        by_hand: false,
        unknown_host: None,
    };
    vec![
        ("returning", pages::returning(&normal)),
        ("returning-scheme", pages::returning(&custom)),
        (
            "returning-by-hand",
            pages::returning(&ReturningPage { ..normal }),
        ),
        (
            "returning-denied",
            pages::returning(&ReturningPage {
                denied: true,
                url: "http://localhost:51234/callback?error=access_denied&state=vjZ8",
                ..normal
            }),
        ),
        (
            "returning-denied-unknown",
            pages::returning(&ReturningPage {
                denied: true,
                url: "https://app.example/callback?error=access_denied&state=vjZ8",
                kind: RedirectUriKind::Https,
                unknown_host: Some("app.example"),
                ..normal
            }),
        ),
        (
            "returning-hostile",
            pages::returning(&ReturningPage {
                client_name: HOSTILE,
                url: "javascript:alert(document.domain)",
                ..custom
            }),
        ),
        (
            "returning-empty",
            pages::returning(&ReturningPage {
                client_name: "",
                ..normal
            }),
        ),
    ]
}

fn home_pages() -> Vec<(&'static str, String)> {
    let connect = vec![
        ConnectLine {
            client: "Claude Code",
            command: "claude mcp add --transport http todo http://localhost:4180/mcp/todo",
        },
        ConnectLine {
            client: "VS Code",
            command: "code --add-mcp '{\"name\":\"todo\",\"type\":\"http\",\"url\":\"http://localhost:4180/mcp/todo\"}'",
        },
        ConnectLine {
            client: "Cursor",
            command: "portcullis connect cursor",
        },
        ConnectLine {
            client: "Codex",
            command: "codex mcp add todo --url http://localhost:4180/mcp/todo",
        },
    ];
    let todo = HomeServer {
        name: "Todo",
        slug: "todo",
        resource: "http://localhost:4180/mcp/todo",
        tools_protected: 5,
        clients: 2,
        connect,
    };
    let normal = HomePage {
        user_name: "Alice Meyer",
        user_email: "alice@example.com",
        servers: vec![
            todo.clone(),
            HomeServer {
                name: "Everything",
                slug: "everything",
                resource: "http://localhost:4180/mcp/everything",
                tools_protected: 11,
                clients: 0,
                ..todo.clone()
            },
        ],
        waiting: vec![],
        decide_action: "/admin/clients",
        tokens_path: "/account/tokens",
        note: Some("claude.ai and ChatGPT run elsewhere: they need a public https address."),
        sign_out_action: "/sign-out",
        csrf: "csrf",
    };
    vec![
        ("home", pages::home(&normal)),
        (
            "home-waiting",
            pages::home(&HomePage {
                waiting: waiting_clients(),
                ..normal.clone()
            }),
        ),
        (
            "home-empty",
            pages::home(&HomePage {
                user_name: "",
                servers: vec![],
                note: None,
                ..normal.clone()
            }),
        ),
        (
            "home-hostile",
            pages::home(&HomePage {
                user_name: HOSTILE,
                user_email: HOSTILE,
                note: Some(HOSTILE),
                waiting: vec![WaitingClient {
                    server_name: HOSTILE,
                    name: HOSTILE,
                    document_host: Some(HOSTILE),
                    redirect_uris: vec![HOSTILE, HOSTILE],
                    since: HOSTILE.to_owned(),
                    ..WaitingClient::default()
                }],
                servers: vec![HomeServer {
                    name: HOSTILE,
                    resource: HOSTILE,
                    ..todo
                }],
                ..normal
            }),
        ),
    ]
}

fn other_pages() -> Vec<(&'static str, String)> {
    let error = ErrorPage {
        heading: "This app cannot be trusted yet",
        explanation: "It asked to come back to an address that it has not registered (redirect_uri), so you are not sent there.",
        details: &[],
        what_to_do: "Start the connection again in the app. If it happens again, remove the server from the app and add it anew.",
        correlation_id: "01K9Z3T4V5W6X7Y8",
    };
    let setup = SetupPage {
        form_action: "/setup",
        token: "pcs_token",
        csrf: "csrf",
        password_characters_min: 12,
        ..SetupPage::default()
    };
    vec![
        ("error", pages::error(&error)),
        (
            "error-addresses",
            pages::error(&ErrorPage {
                details: &[
                    ("Asked for", "http://localhost:51234/callback/".to_owned()),
                    ("Registered", "http://localhost/callback".to_owned()),
                    ("Registered", "https://vscode.dev/redirect".to_owned()),
                ],
                ..error
            }),
        ),
        (
            "error-hostile",
            pages::error(&ErrorPage {
                heading: HOSTILE,
                explanation: HOSTILE,
                details: &[("Asked for", HOSTILE.to_owned())],
                what_to_do: HOSTILE,
                correlation_id: HOSTILE,
            }),
        ),
        (
            "error-empty",
            pages::error(&ErrorPage {
                heading: "Something went wrong",
                explanation: "The request could not be finished.",
                ..ErrorPage::default()
            }),
        ),
        ("setup", pages::setup(&setup)),
        (
            "setup-error",
            pages::setup(&SetupPage {
                email: "alice@example.com",
                error: Some("The password needs at least 12 characters."),
                ..setup
            }),
        ),
        (
            "setup-used",
            pages::setup_used(&SetupUsedPage { owner_exists: true }),
        ),
        (
            "setup-expired",
            pages::setup_used(&SetupUsedPage {
                owner_exists: false,
            }),
        ),
        (
            "signed-out",
            pages::signed_out(&SignedOutPage {
                sign_in_path: "/sign-in",
            }),
        ),
    ]
}
