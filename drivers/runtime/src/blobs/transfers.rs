//! The transfers that are under way: at most one to each peer, and one to this node. When the node
//! stops, they are broken off, and no thread of theirs touches the directory any more.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use synod_engine::NodeId;

/// Which way a blob goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Direction {
    In,
    Out,
}

/// All transfers of a node.
#[derive(Default)]
pub(crate) struct Transfers {
    under_way: Mutex<UnderWay>,
    ended: Condvar,
}

#[derive(Default)]
struct UnderWay {
    closed: bool,
    /// Each with its connection, once there is one.
    transfers: BTreeMap<(Direction, NodeId), Option<TcpStream>>,
}

/// One transfer; it is over when this is dropped.
pub(crate) struct Transfer {
    transfers: Arc<Transfers>,
    key: (Direction, NodeId),
}

impl Transfers {
    /// Whether a transfer may begin; `None` while another of its kind is under way.
    pub(crate) fn begin(self: &Arc<Self>, direction: Direction, peer: NodeId) -> Option<Transfer> {
        let key = (direction, peer);
        let mut under_way = self.lock();
        if under_way.closed || under_way.transfers.contains_key(&key) {
            return None;
        }
        under_way.transfers.insert(key, None);
        Some(Transfer { transfers: self.clone(), key })
    }

    /// Breaks off all transfers, lets none begin, and waits until their threads have let go.
    pub(crate) fn end(&self) {
        let mut under_way = self.lock();
        under_way.closed = true;
        for socket in under_way.transfers.values().flatten() {
            // If it is broken already, so much the better.
            drop(socket.shutdown(Shutdown::Both));
        }
        while !under_way.transfers.is_empty() {
            under_way = self.ended.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transfer {
    /// Its connection, which the end of the node breaks.
    pub(crate) fn uses(&self, socket: &TcpStream) -> io::Result<()> {
        let socket = socket.try_clone()?;
        let mut under_way = self.transfers.lock();
        if under_way.closed {
            return Err(io::Error::other("the node stops"));
        }
        under_way.transfers.insert(self.key, Some(socket));
        Ok(())
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.transfers.lock().transfers.remove(&self.key);
        self.transfers.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn one_of_a_kind_at_a_time() {
        let transfers = Arc::new(Transfers::default());
        let first = transfers.begin(Direction::Out, NodeId(2)).unwrap();
        assert!(transfers.begin(Direction::Out, NodeId(2)).is_none());
        assert!(transfers.begin(Direction::Out, NodeId(3)).is_some());
        drop(first);
        assert!(transfers.begin(Direction::Out, NodeId(2)).is_some());
    }

    #[test]
    fn the_end_breaks_what_waits_for_a_silent_peer_and_waits_for_its_thread() {
        let transfers = Arc::new(Transfers::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let transfer = transfers.begin(Direction::In, NodeId(1)).unwrap();
        transfer.uses(&socket).unwrap();
        let thread = thread::spawn(move || {
            let read = socket.read(&mut [0; 8]);
            drop(transfer);
            read
        });
        transfers.end();
        assert!(transfers.begin(Direction::In, NodeId(1)).is_none());
        assert_eq!(thread.join().unwrap().unwrap(), 0, "the connection was broken");
    }
}
