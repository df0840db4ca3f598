//! A network that can be stalled and cut: a TCP proxy in front of a process. Its address stays
//! when the process is started again elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Bytes that are passed on at a time.
const PIECE: usize = 8 * 1024;

/// How the proxy passes bytes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// As they come.
    Free,
    /// Nothing more goes towards those who dialled when so many bytes have gone; connections stay.
    Until(u64),
}

#[derive(Debug, Clone)]
struct Orders {
    target: Option<SocketAddr>,
    flow: Flow,
    /// How long each piece is held back, in both directions.
    delay: Duration,
    /// Grows when all connections are to end.
    cuts: u64,
    /// Grows when the next piece towards those who dialled is to have a wrong bit.
    flips: u64,
    /// Grows when nothing more is to go towards those who dialled, who are told so, while what they send
    /// goes on.
    half_closes: u64,
}

/// A proxy. It ends when dropped.
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    delivered: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl Proxy {
    /// A proxy that leads nowhere yet: whoever dials it is cut off.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let orders = watch::Sender::new(Orders {
            target: None,
            flow: Flow::Free,
            delay: Duration::ZERO,
            cuts: 0,
            flips: 0,
            half_closes: 0,
        });
        let delivered = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(accept(
            listener,
            orders.subscribe(),
            Arc::clone(&delivered),
            stop.clone(),
        ));
        Self {
            address,
            orders,
            delivered,
            _stop: stop.drop_guard(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that went towards those who dialled.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Leads to a process.
    pub fn lead_to(&self, target: SocketAddr) {
        self.orders
            .send_modify(|orders| orders.target = Some(target));
    }

    /// Ends all connections and refuses new ones, until [`Proxy::lead_to`].
    pub fn cut(&self) {
        self.orders.send_modify(|orders| {
            orders.target = None;
            orders.cuts += 1;
        });
    }

    /// Lets so many more bytes through towards those who dialled, and then nothing. What they send goes on.
    pub fn allow(&self, bytes: u64) {
        self.flow(Flow::Until(self.delivered() + bytes));
    }

    /// Lets nothing more through towards those who dialled.
    pub fn stall(&self) {
        self.allow(0);
    }

    /// Lets everything through, at once.
    pub fn free(&self) {
        self.orders.send_modify(|orders| {
            orders.flow = Flow::Free;
            orders.delay = Duration::ZERO;
        });
    }

    /// Holds each piece back for so long, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.orders.send_modify(|orders| orders.delay = delay);
    }

    /// Turns one bit of the next piece of each connection towards those who dialled.
    pub fn flip(&self) {
        self.orders.send_modify(|orders| orders.flips += 1);
    }

    /// Ends every connection in one direction: those who dialled hear no more, and may go on to speak.
    pub fn half_close(&self) {
        self.orders.send_modify(|orders| orders.half_closes += 1);
    }

    fn flow(&self, flow: Flow) {
        self.orders.send_modify(|orders| orders.flow = flow);
    }
}

async fn accept(
    listener: TcpListener,
    orders: watch::Receiver<Orders>,
    delivered: Arc<AtomicU64>,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((near, _)) = accepted else { continue };
        let orders = orders.clone();
        let delivered = Arc::clone(&delivered);
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = carry(near, orders, delivered) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

/// Carries one connection until one side leaves or it is cut.
async fn carry(near: TcpStream, mut orders: watch::Receiver<Orders>, delivered: Arc<AtomicU64>) {
    let (target, cuts) = {
        let now = orders.borrow_and_update();
        (now.target, now.cuts)
    };
    let Some(target) = target else { return };
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let quick = near.set_nodelay(true).and(far.set_nodelay(true));
    if quick.is_err() {
        return;
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut watched = orders.clone();
    let cut = async move {
        let cut = watched.wait_for(|orders| orders.cuts != cuts).await;
        // Without the proxy there is nobody to cut any more, and the tasks end with it.
        drop(cut);
    };
    let both = async {
        tokio::join!(
            pass(near_read, far_write, orders.clone(), None),
            pass(far_read, near_write, orders, Some(delivered)),
        );
    };
    tokio::select! {
        () = cut => {}
        () = both => {}
    }
}

/// Passes on what one side sends. Towards those who dialled, bytes are counted and all orders hold.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut orders: watch::Receiver<Orders>,
    delivered: Option<Arc<AtomicU64>>,
) {
    let mut piece = vec![0; PIECE];
    let began = orders.borrow().clone();
    let mut flips = began.flips;
    let mut closing = orders.clone();
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read,
            _ = closing.wait_for(|orders| orders.half_closes != began.half_closes),
                if delivered.is_some() => break,
        };
        let Ok(read @ 1..) = read else { break };
        let now = orders.borrow().clone();
        if !now.delay.is_zero() {
            tokio::time::sleep(now.delay).await;
        }
        if delivered.is_some() && now.flips != flips {
            flips = now.flips;
            piece[read / 2] ^= 1;
        }
        let mut rest = &piece[..read];
        while !rest.is_empty() {
            let now = match &delivered {
                Some(delivered) => permit(&mut orders, delivered, rest.len()).await,
                None => rest.len(),
            };
            let (going, waiting) = rest.split_at(now);
            if to.write_all(going).await.is_err() {
                return;
            }
            rest = waiting;
        }
    }
    // The other side may be gone already.
    to.shutdown().await.ok();
}

/// Waits until bytes may go on; how many of those that are there.
async fn permit(
    orders: &mut watch::Receiver<Orders>,
    delivered: &AtomicU64,
    bytes: usize,
) -> usize {
    loop {
        let flow = orders.borrow_and_update().flow;
        let most = match flow {
            Flow::Free => u64::MAX,
            Flow::Until(most) => most,
        };
        // Taken at once, so that connections beside each other do not take the same.
        let taken = delivered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |delivered| {
            let left = most.saturating_sub(delivered).min(bytes as u64);
            (left > 0).then(|| delivered + left)
        });
        match taken {
            Ok(before) => {
                let taken = most.saturating_sub(before).min(bytes as u64);
                return usize::try_from(taken).unwrap_or(bytes);
            }
            // Without the proxy there is nobody to obey any more.
            Err(_) if orders.changed().await.is_err() => return bytes,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An echo, a proxy in front of it, and a connection through it.
    async fn connection() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::new().await;
        proxy.lead_to(listener.local_addr().unwrap());
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut read, mut write) = stream.into_split();
            tokio::io::copy(&mut read, &mut write).await.ok();
        });
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        (proxy, stream)
    }

    #[tokio::test]
    async fn what_is_stalled_arrives_when_it_flows_again() {
        let (proxy, mut stream) = connection().await;
        let mut answer = [0; 4];
        stream.write_all(b"one!").await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        proxy.stall();
        stream.write_all(b"two!").await.unwrap();
        let silence = Duration::from_millis(50);
        let read = tokio::time::timeout(silence, stream.read_exact(&mut answer)).await;
        assert!(read.is_err() && proxy.delivered() == 4);
        proxy.free();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"two!");
    }

    #[tokio::test]
    async fn so_many_bytes_go_through_and_no_more() {
        let (proxy, mut stream) = connection().await;
        proxy.allow(6);
        stream.write_all(b"12345678").await.unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!((&answer, proxy.delivered()), (b"123456", 6));
        let silence = Duration::from_millis(50);
        let more = tokio::time::timeout(silence, stream.read(&mut answer)).await;
        assert!(more.is_err());
        proxy.free();
        stream.read_exact(&mut answer[..2]).await.unwrap();
        assert_eq!(&answer[..2], b"78");
    }

    #[tokio::test]
    async fn one_bit_is_turned_and_no_more() {
        let (proxy, mut stream) = connection().await;
        let mut answer = [0; 4];
        stream.write_all(b"one!").await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"one!");
        proxy.flip();
        for expected in [*b"twn!", *b"two!"] {
            stream.write_all(b"two!").await.unwrap();
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, expected);
        }
    }

    #[tokio::test]
    async fn half_a_connection_ends() {
        let (proxy, mut stream) = connection().await;
        stream.write_all(b"one!").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        proxy.half_close();
        assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
        stream.write_all(b"two!").await.unwrap();
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_refuses_new_ones() {
        let (proxy, mut stream) = connection().await;
        stream.write_all(b"one!").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        proxy.cut();
        let read = stream.read(&mut [0; 4]).await;
        assert!(matches!(read, Ok(0) | Err(_)));
        let mut next = TcpStream::connect(proxy.address()).await.unwrap();
        let read = next.read(&mut [0; 4]).await;
        assert!(matches!(read, Ok(0) | Err(_)));
    }
}
