//! A proxy that does as it is told and remembers what it heard.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What it does with a connection.
#[derive(Clone)]
pub enum Act {
    /// Answers each request with this and hangs up.
    Answer(&'static str),
    /// Says nothing, ever.
    Silent,
    /// Reads the request and hangs up.
    HangUp,
    /// Passes all on.
    PassTo(SocketAddr),
}

/// The proxy. It ends when dropped.
pub struct Scripted {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    /// A proxy on loopback that decides by the number of the connection, from 0.
    pub async fn new(script: impl Fn(usize) -> Act + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, script)
    }

    /// The same, at an address of the test's choice.
    pub fn on(listener: TcpListener, script: impl Fn(usize) -> Act + Send + 'static) -> Self {
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let mut tasks = JoinSet::new();
        let heard = Arc::clone(&heads);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let number_of_head = {
                    let mut heard = heard.lock().unwrap();
                    heard.push(String::new());
                    heard.len() - 1
                };
                let heard = Arc::clone(&heard);
                let remember = move |head| heard.lock().unwrap()[number_of_head] = head;
                connections.spawn(act(stream, script(number), remember));
            }
        });
        Self {
            address,
            heads,
            _tasks: tasks,
        }
    }

    /// The head of the request of each connection that was made, empty where nothing came or it was passed on.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn act(mut stream: TcpStream, act: Act, remember: impl FnOnce(String)) {
    let answer = match act {
        Act::PassTo(address) => {
            let mut onward = TcpStream::connect(address).await.unwrap();
            drop(tokio::io::copy_bidirectional(&mut stream, &mut onward).await);
            return;
        }
        Act::Silent => std::future::pending().await,
        Act::HangUp => "",
        Act::Answer(answer) => answer,
    };
    remember(read_request(&mut stream).await);
    // Whoever asked may be gone.
    drop(stream.write_all(answer.as_bytes()).await);
    drop(stream.shutdown().await);
}

/// Reads a request with its body, so that the answer is not overtaken by a reset; gives the head.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return head.to_owned();
            }
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}
