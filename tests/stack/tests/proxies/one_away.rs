//! One of two nodes is stopped, as at an upgrade, and then the other: nobody in front of the proxy notices.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::unused_port;
use tokio::process::Child;

use super::{NAME, Nodes, Proxy, certificate, client, eventually, listens, serve};

/// How long nobody is there at the place of the node that was stopped.
const AWAY: Duration = Duration::from_secs(1);
/// How long until the proxies have asked the node that came back: Caddy, that finds one node well at the moment at which it
/// finds the other ill, answers 503 in between.
const FOUND_AGAIN: Duration = Duration::from_secs(3);
/// Requests that are under way at once.
const CALLERS: usize = 3;
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_every_request_is_answered_while_nodes_are_replaced() {
    answers_while_nodes_are_replaced(Proxy::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_caddy_every_request_is_answered_while_nodes_are_replaced() {
    answers_while_nodes_are_replaced(Proxy::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_every_request_is_answered_while_nodes_are_replaced() {
    answers_while_nodes_are_replaced(Proxy::Haproxy).await;
}

async fn answers_while_nodes_are_replaced(proxy: Proxy) {
    let folder = tempfile::tempdir().unwrap();
    let nodes = Nodes {
        port: unused_port().await,
        operations: unused_port().await,
        are_two: true,
    };
    let mut one = Replaceable::start(folder.path(), 1, &nodes).await;
    let mut two = Replaceable::start(folder.path(), 2, &nodes).await;
    let chain = certificate(folder.path());
    let https = SocketAddr::from(([127, 0, 0, 1], unused_port().await));
    let http = SocketAddr::from(([127, 0, 0, 1], unused_port().await));
    let mut running = proxy.start(folder.path(), &nodes, https, http);
    listens(https, &mut running).await;
    let client = client(&chain, https, None);
    eventually(async || asked(&client, 0).await).await;

    let end = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(ask_until(client.clone(), Arc::clone(&end))))
        .collect();
    for node in [&mut one, &mut two] {
        node.stop().await;
        tokio::time::sleep(AWAY).await;
        node.start_again().await;
        tokio::time::sleep(FOUND_AGAIN).await;
    }
    end.store(true, Ordering::Relaxed);
    let mut answered = 0;
    let mut failed = Vec::new();
    for caller in callers {
        let (well, badly) = caller.await.unwrap();
        answered += well;
        failed.extend(badly);
    }
    running.kill().await.unwrap();
    println!(
        "proxies: {proxy:?}, {answered} answered, {} not",
        failed.len()
    );
    assert!(failed.is_empty(), "{proxy:?}: {failed:#?}");
    assert!(answered > 50, "{proxy:?}: only {answered} were asked");
}

/// Asks by turns for a page and with a form; gives how many were answered by a node, and what the others got.
async fn ask_until(client: reqwest::Client, end: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut answered, mut failed) = (0, Vec::new());
    for number in 0.. {
        match asked(&client, number).await {
            Ok(()) => answered += 1,
            Err(error) => failed.push(format!("request {number}: {error:#}")),
        }
        if end.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    (answered, failed)
}

/// A form without what it needs is refused by the node: a proxy would not know it.
async fn asked(client: &reqwest::Client, number: usize) -> anyhow::Result<()> {
    let url = format!("https://{NAME}/sign-in");
    let is_page = number.is_multiple_of(2);
    let request = match is_page {
        true => client.get(url),
        false => client.post(url).form(&[("email", "x")]),
    };
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let ours = answer.headers().contains_key("portcullis-correlation-id");
    anyhow::ensure!(
        (is_page && status == 200) || (!is_page && ours && status < 500),
        "{status} {:?}",
        answer.text().await
    );
    Ok(())
}

/// A node that comes back where it was.
struct Replaceable {
    folder: PathBuf,
    listen: SocketAddr,
    operations: SocketAddr,
    child: Child,
}

impl Replaceable {
    async fn start(folder: &Path, number: u8, nodes: &Nodes) -> Self {
        let folder = folder.join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        let listen = SocketAddr::from(([127, 0, 0, number], nodes.port));
        let operations = SocketAddr::from(([127, 0, 0, number], nodes.operations));
        let (child, _) = serve(&folder, listen, operations).await;
        Self {
            folder,
            listen,
            operations,
            child,
        }
    }

    async fn stop(&mut self) {
        let id = self.child.id().unwrap();
        stack_tests::fleet::send_signal(id, "-TERM").await.unwrap();
        self.child.wait().await.unwrap();
    }

    async fn start_again(&mut self) {
        (self.child, _) = serve(&self.folder, self.listen, self.operations).await;
    }
}
