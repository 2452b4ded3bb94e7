use std::io;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Certificates;
use crate::acme::challenges;
use crate::unread::Unread;

/// How much is read of what a client of plain HTTP goes on to send, and for how long: closing before would make its
/// system forget the answer.
const REST_BYTES_MAX: u64 = 64 * 1024;
const REST_TIME_MAX: Duration = Duration::from_millis(500);

impl Certificates {
    /// The handshake. A client that speaks plain HTTP instead gets a 400 that says so.
    ///
    /// It sets no time limit; the caller does.
    ///
    /// # Errors
    /// When there is no handshake, or it fails; and when it was a challenge of an ACME server, which is answered by the
    /// handshake alone (RFC 8737 section 3).
    pub(crate) async fn establish(
        &self,
        stream: Unread<TcpStream>,
    ) -> io::Result<TlsStream<Unread<TcpStream>>> {
        let mut first = [0];
        let count = stream.inner().peek(&mut first).await?;
        // A handshake begins with 22, a method of HTTP with a capital letter.
        if count == 1 && first[0].is_ascii_uppercase() {
            refuse_plain_http(stream).await?;
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "plain HTTP was sent to a port that speaks HTTPS",
            ));
        }
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        if let Some(challenges) = self.challenges.get()
            && challenges::is_asked(&begun.client_hello())
        {
            let name = begun.client_hello().server_name().map(str::to_owned);
            let config = challenges.tls_config(name.as_deref()).await?;
            begun.into_stream(config).await?.shutdown().await?;
            return Err(io::Error::other(
                "a challenge of the ACME server was answered",
            ));
        }
        let config = self.in_use.load().config.clone();
        begun.into_stream(config).await
    }
}

async fn refuse_plain_http(mut stream: Unread<TcpStream>) -> io::Result<()> {
    const WORDS: &str = "This port speaks HTTPS: use an address that begins with https://\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{WORDS}",
        WORDS.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(REST_BYTES_MAX);
    let mut nowhere = tokio::io::sink();
    let reading = tokio::io::copy(&mut rest, &mut nowhere);
    let _ = tokio::time::timeout(REST_TIME_MAX, reading).await;
    Ok(())
}
