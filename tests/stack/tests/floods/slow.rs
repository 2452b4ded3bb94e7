//! Connections that want to be held for as long as possible, and come back when they are closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Less for each than `limits.connections_per_address`.
const ADDRESSES: u64 = 16;
const DRIP_EVERY: Duration = Duration::from_secs(2);

pub struct Flood {
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    open: AtomicU64,
    most: AtomicU64,
    /// How often one of each kind was closed.
    closed: [AtomicU64; 4],
}

impl Flood {
    pub fn begin(node: SocketAddr, number: u64) -> Self {
        let seen = Arc::<Seen>::default();
        let mut tasks = JoinSet::new();
        for turn in 0..number {
            tasks.spawn(hold(node, turn, Arc::clone(&seen)));
        }
        Self {
            seen,
            _tasks: tasks,
        }
    }

    /// The most that were open at once, and how often the node closed one that sent a head slowly, a body slowly,
    /// nothing more over HTTP/1.1, or nothing more over HTTP/2.
    pub fn end(self) -> (u64, [u64; 4]) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.seen.most), self.seen.closed.each_ref().map(read))
    }
}

async fn hold(node: SocketAddr, turn: u64, seen: Arc<Seen>) {
    // Not all in one moment: what is tried here is how many stay.
    tokio::time::sleep(Duration::from_micros(turn * 400)).await;
    loop {
        if let Ok(stream) = connect(node, turn).await {
            let open = seen.open.fetch_add(1, Ordering::Relaxed) + 1;
            seen.most.fetch_max(open, Ordering::Relaxed);
            drip(stream, node, turn % 4).await;
            seen.open.fetch_sub(1, Ordering::Relaxed);
            let kind = usize::try_from(turn % 4).unwrap_or_default();
            seen.closed[kind].fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn connect(node: SocketAddr, turn: u64) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(turn / 4 % ADDRESSES).unwrap_or_default() + 1;
    socket.bind(SocketAddr::from(([127, 0, 1, last], 0)))?;
    socket.connect(node).await
}

/// Asks in the way of `kind` and resolves when the node has closed the connection.
async fn drip(mut stream: TcpStream, node: SocketAddr, kind: u64) {
    // What is for another host is refused before its body.
    let body = format!(
        "POST /servers/echo/token HTTP/1.1\r\nHost: localhost:{}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\n",
        node.port()
    );
    let (begin, drips): (&[u8], bool) = match kind {
        0 => (b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", true),
        1 => (body.as_bytes(), true),
        2 => (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", false),
        // The preface, empty settings, and `GET http://x/` on stream 1 (RFC 9113, RFC 7541).
        _ => (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\
              \x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x01x",
            false,
        ),
    };
    if stream.write_all(begin).await.is_err() {
        return;
    }
    let (mut reader, mut writer) = stream.split();
    let mut waste = [0u8; 512];
    loop {
        tokio::select! {
            read = reader.read(&mut waste) => if !read.is_ok_and(|count| count > 0) {
                return;
            },
            () = tokio::time::sleep(DRIP_EVERY) => if drips && writer.write_all(b"x").await.is_err() {
                return;
            },
        }
    }
}
