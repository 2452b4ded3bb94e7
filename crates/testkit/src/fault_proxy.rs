use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
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
}

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
        let listener = TcpListener::bind("127.0.0.1:0").await?;
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
    while let Ok((near, _)) = listener.accept().await {
        if *way.borrow() == Way::Refuse {
            continue;
        }
        let (way, mut cuts) = (way.subscribe(), cuts.subscribe());
        targets.rotate_left(1);
        let targets = targets.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = carry(near, &targets, way) => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn carry(
    mut near: TcpStream,
    targets: &[SocketAddr],
    mut way: watch::Receiver<Way>,
) -> io::Result<()> {
    open(&mut way).await;
    // One after the other, until one is there.
    let mut far = TcpStream::connect(targets).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.split();
    let (far_read, far_write) = far.split();
    tokio::try_join!(
        copy(near_read, far_write, way.clone()),
        copy(far_read, near_write, way)
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

/// Waits while nothing goes through.
async fn open(way: &mut watch::Receiver<Way>) {
    // The sender is gone only with the proxy, and with it this connection.
    let _ = way.wait_for(|way| *way != Way::Hold).await;
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

        proxy.switch(Way::Pass);
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
