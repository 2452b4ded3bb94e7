use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the proxy does with bytes and with new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Everything goes through.
    Pass,
    /// Open connections go on; new ones are closed at once.
    Refuse,
    /// Nothing is closed and nothing goes through, as when a cable is pulled. What waited goes through afterwards.
    Hold,
    /// New connections do not come about, as behind a firewall that drops packets; open ones hold.
    Unreachable,
    /// Answers begin and go no further than their head: a blank line, or 200 bytes. The rest goes through afterwards.
    Stop,
    /// Answers come at one byte a second.
    Drip,
    /// Every connection is reset.
    Reset,
}

/// How many connections the system keeps for us before it drops those that ask for one.
const BACKLOG: u32 = 16;

/// The longest head that `Way::Stop` lets through.
const HEAD_BYTES_MAX: usize = 200;

/// A TCP proxy on loopback whose way is switched while connections are open. Closed when dropped.
pub struct FaultProxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port and passes everything on to `target`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        Self::before(vec![target]).await
    }

    /// The same before several that answer as one, like a balancer: each connection goes to the next that is there.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn before(targets: Vec<SocketAddr>) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let (way, _) = watch::channel(Way::Pass);
        let (cuts, _) = watch::channel(0);
        let accepting = tokio::spawn(accept(listener, targets, way.clone(), cuts.clone()));
        Ok(Self {
            address,
            way,
            cuts,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Goes another way from now on.
    pub fn switch(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Closes every open connection now, whatever is on its way.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    mut targets: Vec<SocketAddr>,
    way: watch::Sender<Way>,
    cuts: watch::Sender<u64>,
) {
    let mut now = way.subscribe();
    loop {
        if *now.borrow_and_update() == Way::Unreachable {
            let _full = fill(&listener).await;
            let _ = now.wait_for(|way| *way != Way::Unreachable).await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = now.changed() => continue,
        };
        let Ok((mut near, _)) = accepted else { return };
        if *way.borrow() == Way::Refuse {
            continue;
        }
        let (mut way, mut cuts) = (way.subscribe(), cuts.subscribe());
        targets.rotate_left(1);
        let targets = targets.clone();
        tokio::spawn(async move {
            let mut reset = way.clone();
            tokio::select! {
                _ = carry(&mut near, &targets, &mut way) => {}
                _ = cuts.changed() => {}
                _ = reset.wait_for(|way| *way == Way::Reset) => {
                    let _ = near.set_zero_linger();
                }
            }
        });
    }
}

/// Connections of our own that fill the queue of those that wait to be accepted: the next one hears nothing.
async fn fill(listener: &TcpListener) -> Vec<TcpStream> {
    let mut full = Vec::new();
    let Ok(address) = listener.local_addr() else {
        return full;
    };
    while let Ok(Ok(stream)) = tokio::time::timeout(
        std::time::Duration::from_millis(100),
        TcpStream::connect(address),
    )
    .await
    {
        full.push(stream);
    }
    full
}

async fn carry(
    near: &mut TcpStream,
    targets: &[SocketAddr],
    way: &mut watch::Receiver<Way>,
) -> io::Result<()> {
    open(way).await;
    // One after the other, until one is there.
    let mut far = TcpStream::connect(targets).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.split();
    let (far_read, far_write) = far.split();
    tokio::try_join!(
        copy(near_read, far_write, way.clone()),
        answer(far_read, near_write, way.clone())
    )?;
    Ok(())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        open(&mut way).await;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..count]).await?;
    }
}

/// The way back, on which answers may falter.
async fn answer(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    let mut head = Vec::new();
    loop {
        let count = from.read(&mut bytes).await?;
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            open(&mut way).await;
            let now = *way.borrow_and_update();
            let part = match now {
                Way::Stop => &rest[..head_left(&mut head, rest)],
                Way::Drip => &rest[..1],
                _ => rest,
            };
            to.write_all(part).await?;
            rest = &rest[part.len()..];
            match now {
                Way::Stop if !rest.is_empty() => {
                    let _ = way.wait_for(|way| *way != Way::Stop).await;
                }
                Way::Drip => {
                    let second = std::time::Duration::from_secs(1);
                    let _ = tokio::time::timeout(second, way.changed()).await;
                }
                _ => {}
            }
        }
        if count == 0 {
            open(&mut way).await;
            return to.shutdown().await;
        }
    }
}

/// How much of `bytes` still belongs to the head, of which `head` went through already.
fn head_left(head: &mut Vec<u8>, bytes: &[u8]) -> usize {
    for (index, byte) in bytes.iter().enumerate() {
        if head.ends_with(b"\r\n\r\n") || head.len() >= HEAD_BYTES_MAX {
            return index;
        }
        head.push(*byte);
    }
    bytes.len()
}

/// Waits while nothing goes through.
async fn open(way: &mut watch::Receiver<Way>) {
    // The sender is gone only with the proxy, and with it this connection.
    let _ = way
        .wait_for(|way| !matches!(way, Way::Hold | Way::Unreachable))
        .await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_millis(200);

    async fn echoing() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn echo(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn it_passes_holds_refuses_and_cuts() {
        let proxy = FaultProxy::start(echoing().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(echo(&mut stream).await.unwrap(), b'x');

        proxy.switch(Way::Hold);
        stream.write_all(b"y").await.unwrap();
        assert!(
            tokio::time::timeout(SOON, stream.read_u8()).await.is_err(),
            "held"
        );
        proxy.switch(Way::Pass);
        assert_eq!(stream.read_u8().await.unwrap(), b'y');

        proxy.switch(Way::Refuse);
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(echo(&mut refused).await.is_err(), "a new one is closed");
        assert_eq!(echo(&mut stream).await.unwrap(), b'x', "an open one is not");

        proxy.switch(Way::Reset);
        assert!(echo(&mut stream).await.is_err(), "reset");
        proxy.switch(Way::Unreachable);
        let lost = TcpStream::connect(proxy.address());
        tokio::time::sleep(SOON).await;
        assert!(tokio::time::timeout(SOON, lost).await.is_err(), "no answer");
        proxy.switch(Way::Pass);
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(echo(&mut stream).await.unwrap(), b'x');

        proxy.switch(Way::Stop);
        stream.write_all(&[b'z'; 2 * HEAD_BYTES_MAX]).await.unwrap();
        let mut begun = vec![0; HEAD_BYTES_MAX];
        stream.read_exact(&mut begun).await.unwrap();
        assert!(
            tokio::time::timeout(SOON, stream.read_u8()).await.is_err(),
            "stopped behind the head"
        );
        proxy.switch(Way::Drip);
        assert_eq!(stream.read_u8().await.unwrap(), b'z');
        assert!(
            tokio::time::timeout(SOON, stream.read_u8()).await.is_err(),
            "one byte a second"
        );
        proxy.switch(Way::Pass);
        stream.read_exact(&mut begun[1..]).await.unwrap();

        proxy.cut();
        assert!(echo(&mut stream).await.is_err(), "cut");
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(echo(&mut again).await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn of_several_it_finds_the_one_that_is_there() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = gone.local_addr().unwrap();
        drop(gone);
        let proxy = FaultProxy::before(vec![nobody, echoing().await]);
        let proxy = proxy.await.unwrap();
        for _ in 0..4 {
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            assert_eq!(echo(&mut stream).await.unwrap(), b'x');
        }
    }
}
