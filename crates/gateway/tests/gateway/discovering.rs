use std::time::Duration;

use gateway::{DiscoverError, Limits, Upstream, discover};
use serde_json::json;
use testkit::echo::{Echo, EchoSettings, Hostility};
use wire::mcp::definition::{Definition, ListKind};

fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(2),
        head_timeout: Duration::from_secs(2),
        ..Limits::default()
    }
}

fn upstream(url: &str) -> Upstream {
    Upstream::Http {
        url: url.parse().unwrap(),
        headers: Vec::new(),
    }
}

async fn recording(change: impl FnOnce(&mut EchoSettings)) -> Echo {
    let mut settings = EchoSettings {
        record: true,
        ..EchoSettings::default()
    };
    change(&mut settings);
    Echo::start(settings).await
}

#[tokio::test]
async fn the_whole_inventory_is_read_page_by_page_in_json_and_in_events() {
    for answer_as_sse in [false, true] {
        for sessions in [false, true] {
            let echo = recording(|echo| {
                echo.answer_as_sse = answer_as_sse;
                echo.sessions = sessions;
                echo.page_size = 2;
            })
            .await;
            let found = discover(&upstream(&echo.url()), &limits()).await.unwrap();
            assert_eq!(found.inventory.tools.len(), 3);
            assert_eq!(found.inventory.resources.len(), 1);
            assert_eq!(found.inventory.resource_templates.len(), 1);
            assert_eq!(found.inventory.prompts.len(), 1);
            assert_eq!(found.server_name.as_deref(), Some("echo"));
            assert!(!found.modern);
            let methods: Vec<String> = echo
                .requests()
                .iter()
                .map(|request| request.method.to_string())
                .collect();
            assert_eq!(methods.last().unwrap() == "DELETE", sessions, "{methods:?}");
        }
    }
}

#[tokio::test]
async fn what_a_server_says_of_itself_is_read_also_when_it_is_nothing() {
    for text in [None, Some("Ask first.")] {
        let echo = recording(|echo| echo.instructions = text.map(str::to_owned)).await;
        let found = discover(&upstream(&echo.url()), &limits()).await.unwrap();
        let expected = Definition::of_instructions(text);
        assert_eq!(found.inventory.instructions, [expected]);
    }
}

#[tokio::test]
async fn a_server_behind_a_key_is_read_with_the_operator_s_headers_and_refused_without() {
    let echo = recording(|echo| echo.bearer = Some("key".into())).await;
    let error = discover(&upstream(&echo.url()), &limits())
        .await
        .unwrap_err();
    assert!(matches!(error, DiscoverError::Unauthorized(_)), "{error:?}");
    assert!(error.to_string().contains("--upstream-header-file"));
    let with_key = Upstream::Http {
        url: echo.url().parse().unwrap(),
        headers: vec![(
            "authorization".parse().unwrap(),
            "Bearer key".parse().unwrap(),
        )],
    };
    let found = discover(&with_key, &limits()).await.unwrap();
    assert_eq!(found.inventory.tools.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_read_is_said_in_words() {
    let echo = recording(|_| {}).await;
    for (hostility, words) in [
        (Hostility::WrongContentType, "no MCP"),
        (
            Hostility::Redirect("https://else.example/".into()),
            "https://else.example/",
        ),
        (Hostility::Status(404), "404"),
        (Hostility::Disconnect, "broke off"),
        (Hostility::Hang, "did not"),
        (Hostility::InvalidJson, "no MCP"),
    ] {
        echo.set_hostility(Some(hostility.clone()));
        let error = discover(&upstream(&echo.url()), &limits())
            .await
            .unwrap_err();
        let said = error.to_string();
        assert!(said.contains(words), "{hostility:?}: {said}");
    }
    let port = testkit::unused_port().await;
    let error = discover(
        &upstream(&format!("http://127.0.0.1:{port}/mcp")),
        &limits(),
    )
    .await
    .unwrap_err();
    assert!(matches!(error, DiscoverError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn too_many_resources_keep_nobody_from_looking_at_the_tools() {
    for (count, is_whole) in [(10_000, true), (10_001, false)] {
        let echo = recording(|echo| {
            let resource = |number| json!({"uri": format!("file:///{number}"), "name": "a file"});
            echo.resources = (0..count).map(resource).collect();
            echo.page_size = 5_000;
        })
        .await;
        let found = discover(&upstream(&echo.url()), &limits()).await.unwrap();
        assert_eq!(found.inventory.tools.len(), 3);
        assert_eq!(found.inventory.prompts.len(), 1);
        assert_eq!(found.inventory.resources.len(), 10_000);
        let unread: Vec<_> = found.unread.iter().map(|one| one.kind).collect();
        match is_whole {
            true => assert_eq!(unread, []),
            false => assert_eq!(unread, [ListKind::Resources]),
        }
        assert_eq!(found.inventory.unread, unread.into_iter().collect());
    }
}
