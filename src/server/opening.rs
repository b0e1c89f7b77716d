//! The first byte of a connection says what is spoken on it: HTTP begins with a method, a message with a brace
//! or a bracket. The byte is given back to whoever reads on; what follows is not copied.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1.
    Http,
    /// JSON-RPC, one message a line.
    Lines,
}

impl Spoken {
    const fn from_first(byte: u8) -> Self {
        match byte {
            b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n' => Self::Lines,
            _ => Self::Http,
        }
    }
}

/// A stream whose first byte was looked at.
#[derive(Debug)]
pub struct Opened<S> {
    stream: S,
    first: Option<u8>,
}

impl<S: AsyncRead + Unpin> Opened<S> {
    /// Waits for the first byte; none when the other side closes without one.
    ///
    /// # Errors
    /// What the stream says.
    pub async fn listen(mut stream: S) -> io::Result<Option<(Spoken, Self)>> {
        let mut first = [0];
        let [byte] = match stream.read(&mut first).await? {
            0 => return Ok(None),
            _ => first,
        };
        Ok(Some((Spoken::from_first(byte), Self { stream, first: Some(byte) })))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_none() || buffer.remaining() == 0 {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        buffer.put_slice(this.first.take().as_slice());
        // What is there already comes with it; there is something to read either way.
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opened(text: &[u8]) -> (Spoken, Vec<u8>) {
        let (spoken, mut stream) = Opened::listen(text).await.unwrap().expect("a first byte");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        (spoken, all)
    }

    #[tokio::test]
    async fn the_first_byte_decides_and_is_not_lost() {
        for text in [&b"GET / HTTP/1.1\r\n"[..], b"X", b"\x16\x03\x01"] {
            assert_eq!(opened(text).await, (Spoken::Http, text.to_vec()));
        }
        for text in [&b"{}\n"[..], b"[", b"\n{}", b" {}", b"\r\n"] {
            assert_eq!(opened(text).await, (Spoken::Lines, text.to_vec()));
        }
        assert!(Opened::listen(&b""[..]).await.unwrap().is_none());
    }
}
