use std::fmt::Display;
use std::io;

use lettre::transport::smtp::response::Response;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

/// Four times what RFC 5321 section 4.5.3.1.5 permits.
const LINE_BYTES_MAX: u64 = 2048;
const REPLY_BYTES_MAX: usize = 32 * 1024;

/// What a conversation goes over, with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

/// Commands and replies, each reply within limits.
pub(crate) struct Conversation {
    stream: BufReader<Box<dyn Stream>>,
}

/// How a conversation ended before its time.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection broke off.
    Off(io::Error),
    /// The server closed it.
    Closed,
    /// The reply is longer than a server has reason for.
    TooLong,
    /// The reply is none.
    NotSmtp,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Off(error)
    }
}

impl Conversation {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Says a command and hears the reply.
    pub(crate) async fn command(&mut self, command: impl Display) -> Result<Response, Broken> {
        self.say(command.to_string().as_bytes()).await?;
        self.reply().await
    }

    /// Says the message and hears what becomes of it. A line that begins with a dot is given a second one (RFC 5321 section
    /// 4.5.2), so that nothing in a message can end it.
    pub(crate) async fn content(&mut self, message: &[u8]) -> Result<Response, Broken> {
        self.say(&with_dots_doubled(message)).await?;
        self.reply().await
    }

    pub(crate) async fn reply(&mut self) -> Result<Response, Broken> {
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            text.push_str(&line);
            if text.len() > REPLY_BYTES_MAX {
                return Err(Broken::TooLong);
            }
            if is_last {
                return text.parse().map_err(|_| Broken::NotSmtp);
            }
        }
    }

    /// The stream, to go on encrypted; nothing when the server has said more than it was asked. Whoever sits on the way could
    /// have added it, and it would be taken for a word that came encrypted (RFC 3207 section 6).
    pub(crate) fn into_stream(self) -> Option<Box<dyn Stream>> {
        self.stream
            .buffer()
            .is_empty()
            .then(|| self.stream.into_inner())
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    async fn line(&mut self) -> Result<String, Broken> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(LINE_BYTES_MAX);
        let count = limited.read_until(b'\n', &mut line).await?;
        match line.last() {
            Some(b'\n') => {}
            _ if count as u64 == LINE_BYTES_MAX => return Err(Broken::TooLong),
            _ => return Err(Broken::Closed),
        }
        while matches!(line.last(), Some(b'\r' | b'\n')) {
            line.pop();
        }
        let line = String::from_utf8_lossy(&line);
        Ok(format!("{line}\r\n"))
    }
}

fn with_dots_doubled(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_can_end_it() {
        for (said, sent) in [
            ("a\r\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n"),
            (".a\r\n", "..a\r\n.\r\n"),
            ("a.\r\n", "a.\r\n.\r\n"),
            ("a\n.\nb", "a\n..\nb\r\n.\r\n"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&with_dots_doubled(said.as_bytes())),
                sent
            );
        }
    }
}
