use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::sky;

/// `POST /mcp`: an MCP server without a library, as small as one can be. It lists all tools to everybody and checks nothing:
/// whatever arrives here was permitted, and of what it lists each caller is shown what they may call.
pub async fn answer(Json(message): Json<Value>) -> Response {
    let params = &message["params"];
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "weather", "version": "1"},
        }),
        Some("tools/list") => json!({"tools": [
            tool("get_forecast", "What the sky over a city will look like."),
            tool("report_weather", "Reports the weather in a city."),
            tool("make_rain", "Nobody may call this: the policy does not name it."),
        ]}),
        Some("tools/call") => {
            let city = params["arguments"]["city"].as_str().unwrap_or("Nowhere");
            let text = match params["name"].as_str() {
                Some("get_forecast") => sky::of(city),
                _ => format!("Noted: {city}"),
            };
            json!({"content": [{"type": "text", "text": text}]})
        }
        Some("ping") => json!({}),
        _ if message["id"].is_null() => return StatusCode::ACCEPTED.into_response(),
        _ => {
            let error = json!({"code": -32601, "message": "Method not found"});
            let answer = json!({"jsonrpc": "2.0", "id": message["id"], "error": error});
            return Json(answer).into_response();
        }
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

fn tool(name: &str, description: &str) -> Value {
    let city = json!({"type": "string"});
    let schema = json!({"type": "object", "properties": {"city": city}, "required": ["city"]});
    json!({"name": name, "description": description, "inputSchema": schema})
}
