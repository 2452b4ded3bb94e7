use std::net::IpAddr;

/// Which ports may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// 443 for `https` and 80 for `http`, so that nobody makes us speak to a mail server or a database. On loopback,
    /// where the address policy permits it at all, any: nothing there listens on 443.
    Web,
    /// Any port. Only for addresses that the operator chose.
    Any,
}

impl Ports {
    /// Whether `port` at `address` may be connected to, for a scheme whose own port is `scheme_port`.
    pub fn permits(self, address: IpAddr, port: u16, scheme_port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Web => port == scheme_port || address.to_canonical().is_loopback(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_the_port_of_the_scheme_is_connected_to_except_on_loopback() {
        let public: IpAddr = "8.8.8.8".parse().unwrap();
        assert!(Ports::Web.permits(public, 443, 443));
        for port in [1, 22, 25, 80, 442, 444, 6379, 8443] {
            assert!(!Ports::Web.permits(public, port, 443), "{port}");
            assert!(Ports::Any.permits(public, port, 443), "{port}");
            for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
                assert!(Ports::Web.permits(loopback.parse().unwrap(), port, 443));
            }
        }
    }
}
