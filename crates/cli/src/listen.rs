//! The one listener: a port on 127.0.0.1 and on [::1], chosen once and never moved.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{anyhow, bail};
use tokio::net::{TcpListener, TcpStream};

use crate::port_holder;

/// Where the search for a free port begins.
pub const FIRST_PORT: u16 = 4180;
const PORTS_TRIED: u16 = 100;

/// Both ends of one port.
#[derive(Debug)]
pub struct Listeners {
    /// The port.
    pub port: u16,
    /// 127.0.0.1, and [::1] where this machine has it.
    pub sockets: Vec<TcpListener>,
}

/// Listens at the port that the authority had before, or at a first one.
///
/// # Errors
/// When the port is taken: names the holder when that can be found, and the fix. It never moves silently, because
/// issuer, audience and registrations hang on the address.
pub async fn listen(fixed: Option<u16>, asked: Option<u16>) -> anyhow::Result<Listeners> {
    match (fixed, asked) {
        (Some(fixed), Some(asked)) if fixed != asked => Err(crate::failure::usage(format!(
            "--port {asked}: this authority has been at port {fixed} since its first start, and its clients know it there\n  \
             leave --port out, or start another authority with --data-dir"
        ))),
        (Some(port), _) => bind(port)
            .await
            .map_err(|error| refusal(port, &error, true)),
        (None, Some(0)) => bind_any().await,
        (None, Some(port)) => bind(port)
            .await
            .map_err(|error| refusal(port, &error, false)),
        (None, None) => {
            for port in FIRST_PORT..FIRST_PORT + PORTS_TRIED {
                match bind(port).await {
                    Ok(listeners) => return Ok(listeners),
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                    Err(error) => return Err(refusal(port, &error, false)),
                }
            }
            bail!(
                "no port from {FIRST_PORT} to {} is free; name one with --port",
                FIRST_PORT + PORTS_TRIED - 1
            )
        }
    }
}

async fn bind(port: u16) -> io::Result<Listeners> {
    let mut sockets = Vec::with_capacity(2);
    for address in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ] {
        let address = SocketAddr::new(address, port);
        match bind_one(address).await {
            Ok(socket) => sockets.push(socket),
            // A machine without IPv6 has nobody who would come that way.
            Err(error) if address.is_ipv6() && no_such_address(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Listeners { port, sockets })
}

/// A free port of the operating system's choice, the same on both addresses.
async fn bind_any() -> anyhow::Result<Listeners> {
    let mut last = None;
    for _ in 0..32 {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = first.local_addr()?.port();
        match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            Ok(second) => {
                return Ok(Listeners {
                    port,
                    sockets: vec![first, second],
                });
            }
            Err(error) if no_such_address(&error) => {
                return Ok(Listeners {
                    port,
                    sockets: vec![first],
                });
            }
            Err(error) => last = Some(error),
        }
    }
    Err(anyhow!(
        "no port is free on both 127.0.0.1 and [::1] ({last:?})"
    ))
}

async fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    // On some systems a second program may listen at a narrower address of the same port and so take its callers
    // away. Whoever answers already was here first.
    let answered =
        tokio::time::timeout(Duration::from_millis(250), TcpStream::connect(address)).await;
    if matches!(answered, Ok(Ok(_))) {
        return Err(ErrorKind::AddrInUse.into());
    }
    TcpListener::bind(address).await
}

fn no_such_address(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AddrNotAvailable | ErrorKind::Unsupported
    )
}

fn refusal(port: u16, error: &io::Error, fixed: bool) -> anyhow::Error {
    if error.kind() != ErrorKind::AddrInUse {
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => {
                "; ports below 1024 need rights, choose a higher one with --port"
            }
            _ => "",
        };
        return anyhow!("port {port} cannot be listened at: {error}{hint}");
    }
    let holder = match port_holder::find(port) {
        Some(holder) => format!("taken by {holder}"),
        None => "taken by another program".into(),
    };
    if fixed {
        anyhow!(
            "port {port} is {holder}\n  this authority's address was fixed at its first start, because tokens and registered clients hang on it: \
             stop that program, or start another authority with --data-dir"
        )
    } else {
        anyhow!("--port {port}: the port is {holder}\n  stop that program, or choose another port")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_fixed_port_is_taken_again_and_never_moved() {
        let first = listen(None, Some(0)).await.unwrap();
        let port = first.port;
        let error = listen(Some(port), None).await.unwrap_err().to_string();
        assert!(
            error.contains(&format!("port {port} is taken by")),
            "{error}"
        );
        assert!(error.contains("--data-dir"), "{error}");
        drop(first);
        assert_eq!(listen(Some(port), None).await.unwrap().port, port);
    }

    #[tokio::test]
    async fn another_port_than_the_fixed_one_is_refused_and_the_same_one_is_not() {
        let error = listen(Some(4999), Some(5000))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("--port 5000") && error.contains("4999"),
            "{error}"
        );
        let port = listen(None, Some(0)).await.unwrap().port;
        assert_eq!(listen(Some(port), Some(port)).await.unwrap().port, port);
    }

    #[tokio::test]
    async fn a_port_held_on_one_address_only_counts_as_taken() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let error = listen(None, Some(port)).await.unwrap_err().to_string();
        assert!(error.contains(&format!("--port {port}")), "{error}");
    }
}
