//! A connection that acknowledges what it reads at once.
//!
//! A server with Nagle's algorithm (RFC 9293 §3.7.4) that has sent its session tickets holds the next reply back until
//! they are acknowledged, and the kernel delays that by 40 ms as soon as we have said something. The kernel forgets the
//! wish for quick acknowledgements with every packet that we send, so it is repeated before every look.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A TCP connection of a dialogue.
#[derive(Debug)]
pub(super) struct Prompt(TcpStream);

impl Prompt {
    /// Connects.
    pub(super) async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect(addr).await?;
        // A command is one small packet, and the reply is waited for.
        tcp.set_nodelay(true)?;
        Ok(Self(tcp))
    }

    /// Our own end.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl AsyncRead for Prompt {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Where the system cannot, it is slower and right all the same.
        #[cfg(target_os = "linux")]
        let _ = self.0.set_quickack(true);
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
