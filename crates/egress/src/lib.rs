//! Outgoing connections of the house.

mod connector;

pub use connector::{Connector, ConnectorError, https_connector};
