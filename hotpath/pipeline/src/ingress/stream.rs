//! A connection to a peer, plain or encrypted.

use super::Readiness;
use mio::net::TcpStream;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

/// A TCP connection that never blocks, with TLS over it where it was asked for.
pub struct Stream(Kind);

enum Kind {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Stream {
    /// Begins to connect; [`Stream::is_connected`] tells when that is done. Small writes leave at once.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(address: SocketAddr) -> io::Result<Stream> {
        let socket = TcpStream::connect(address)?;
        Ok(Stream(Kind::Plain(socket)))
    }

    /// Puts TLS over the connection.
    #[cfg(feature = "tls")]
    pub(super) fn encrypted(self, connection: rustls::ClientConnection) -> Stream {
        match self.0 {
            Kind::Plain(socket) => Stream(Kind::Tls(Box::new(rustls::StreamOwned::new(connection, socket)))),
            Kind::Tls(tls) => Stream(Kind::Tls(tls)),
        }
    }

    /// Whether the peer has answered.
    ///
    /// # Errors
    /// Why it did not.
    pub fn is_connected(&self) -> io::Result<bool> {
        let socket = self.socket();
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            // On a socket still connecting this fails; nothing may be set earlier on every system.
            Ok(_) => socket.set_nodelay(true).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds the socket to those that are waited for.
    ///
    /// # Errors
    /// The system's.
    pub fn register(&mut self, readiness: &Readiness) -> io::Result<()> {
        readiness.add(match &mut self.0 {
            Kind::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => &mut tls.sock,
        })
    }

    fn socket(&self) -> &TcpStream {
        match &self.0 {
            Kind::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => &tls.sock,
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.0 {
            Kind::Plain(_) => "plain",
            #[cfg(feature = "tls")]
            Kind::Tls(_) => "TLS",
        };
        write!(f, "Stream({kind}, {:?})", self.socket().peer_addr().ok())
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(socket) => socket.read(buffer),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Plain(socket) => socket.write(buffer),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.write(buffer),
        }
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Plain(socket) => socket.flush(),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.flush(),
        }
    }
}
