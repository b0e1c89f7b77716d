//! The client's end: stdin and stdout, each on a thread of its own. The runtime's own stdin cannot be let go
//! of while it waits, so that the process would outlive its signal.

use std::io::{self, Read as _, Write as _};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::transport::lines::{Line, Splitter};

/// The longest message of a client, in bytes: what the daemon takes, and room for what the bridge adds.
const LONGEST: usize = (1 << 20) - 256;

/// Lines that wait for the bridge, or for the client.
const IN_FLIGHT: usize = 64;

/// What the client says, until it says no more.
pub fn input() -> mpsc::Receiver<Line> {
    let (said, heard) = mpsc::channel(IN_FLIGHT);
    std::thread::spawn(move || {
        let mut splitter = Splitter::new(LONGEST);
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match stdin.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(read) => splitter.room().extend_from_slice(buffer.get(..read).unwrap_or_default()),
            }
            while let Some(line) = splitter.next_line() {
                if said.blocking_send(line).is_err() {
                    return;
                }
            }
        }
        if let Some(line) = splitter.rest() {
            let _gone = said.blocking_send(line);
        }
    });
    heard
}

/// Where messages for the client go, and word when the last is written. It closes when the client reads no
/// more.
pub fn output() -> (mpsc::Sender<Bytes>, oneshot::Receiver<()>) {
    let (sender, mut lines) = mpsc::channel::<Bytes>(IN_FLIGHT);
    let (done, is_done) = oneshot::channel();
    std::thread::spawn(move || {
        let mut stdout = io::stdout().lock();
        while let Some(line) = lines.blocking_recv() {
            let written = stdout.write_all(&line).and_then(|()| stdout.write_all(b"\n"));
            let written = written.and_then(|()| if lines.is_empty() { stdout.flush() } else { Ok(()) });
            if written.is_err() {
                break;
            }
        }
        drop(lines);
        let _gone = done.send(());
    });
    (sender, is_done)
}
