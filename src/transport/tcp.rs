//! TCP, off unless asked for. Nothing is known about who connects, so the doors demand a key.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{CannotListen, Connection, Peer, Stream};

/// A TCP listener and the address it really has.
#[derive(Debug)]
pub struct Tcp {
    listener: TcpListener,
    address: SocketAddr,
}

impl Tcp {
    /// Binds `address`; port 0 lets the system choose.
    pub async fn bind(address: SocketAddr) -> Result<Self, CannotListen> {
        let listener = TcpListener::bind(address).await.map_err(|error| CannotListen::system(address, error))?;
        let address = listener.local_addr().map_err(|error| CannotListen::system(address, error))?;
        Ok(Self { listener, address })
    }

    /// The address it really has.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next caller. Answers are small and complete, so they leave at once (`TCP_NODELAY`).
    pub async fn accept(&self) -> io::Result<Connection> {
        let (stream, peer) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream: Stream::Tcp(stream), peer: Peer::Network(peer) })
    }
}

#[cfg(test)]
mod tests {
    use crate::transport::{Listener, Peer};

    #[tokio::test]
    async fn a_caller_over_tcp_is_known_by_its_address_only() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address().unwrap();
        let client = tokio::net::TcpStream::connect(address).await.unwrap();

        let connection = listener.accept().await.unwrap();

        assert_eq!(connection.peer, Peer::Network(client.local_addr().unwrap()));
        assert_eq!(listener.to_string(), format!("http://{address}"));
    }

    #[tokio::test]
    async fn an_address_in_use_is_named_with_a_way_out() {
        let first = Listener::tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();

        let refused = Listener::tcp(first.address().unwrap()).await.unwrap_err();

        assert_eq!(refused.to_string(), format!("cannot listen at `{}`", first.address().unwrap()));
        assert_eq!(refused.hint(), "another program listens there: stop it, or choose another port");
    }
}
