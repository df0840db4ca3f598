//! Asks a proxy once more for a tunnel, to hear with which answer it does not open one.

use super::Way;
use http::{HeaderValue, StatusCode, Uri};
use secrecy::zeroize::Zeroizing;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long the proxy may take; without an answer the reason stays unknown.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest head of an answer that is read.
const MAX_HEAD_BYTES: u64 = 16 * 1024;

/// What the proxy answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An answer of HTTP.
    Answer {
        status: StatusCode,
        /// The values of `Proxy-Authenticate` and `WWW-Authenticate`.
        challenges: Vec<String>,
    },
    /// Something else.
    NotHttp,
}

/// Asks for a tunnel to `target`, and hangs up; nothing when no answer is to be had.
pub(super) async fn ask(
    way: &Way,
    target: &Uri,
    authorization: Option<&HeaderValue>,
) -> Option<Heard> {
    let head = tokio::time::timeout(PATIENCE, head_of_answer(way, target, authorization)).await;
    read(&head.ok()?.ok()?)
}

async fn head_of_answer(
    way: &Way,
    target: &Uri,
    authorization: Option<&HeaderValue>,
) -> io::Result<Vec<u8>> {
    let host = way.host.trim_matches(['[', ']']);
    let mut stream = TcpStream::connect((host, way.port)).await?;
    let server = target.host().unwrap_or_default();
    let port = target.port_u16().unwrap_or(443);
    let request = format!("CONNECT {server}:{port} HTTP/1.1\r\nHost: {server}:{port}\r\n");
    let mut request = Zeroizing::new(request.into_bytes());
    if let Some(authorization) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    let mut stream = stream.take(MAX_HEAD_BYTES);
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(0) => break,
            Ok(_) => {}
            // What came before the connection broke counts.
            Err(_) if !head.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

/// Reads the head of an answer (RFC 9112 4).
fn read(head: &[u8]) -> Option<Heard> {
    if head.is_empty() {
        return None;
    }
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok());
    let Some(status) = status else {
        return Some(Heard::NotHttp);
    };
    let headers = lines.take_while(|line| !line.is_empty());
    let challenges = headers.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.to_ascii_lowercase();
        matches!(name.as_str(), "proxy-authenticate" | "www-authenticate")
            .then(|| value.trim().to_owned())
    });
    Some(Heard::Answer {
        status,
        challenges: challenges.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_its_challenges() {
        let head = "HTTP/1.0 407 Who?\r\nServer: x\r\nproxy-authenticate: NTLM\r\n\
                    Proxy-Authenticate:  Basic realm=\"x\"\r\n\r\nWWW-Authenticate: not a header";
        let expected = Heard::Answer {
            status: StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            challenges: vec!["NTLM".into(), "Basic realm=\"x\"".into()],
        };
        assert_eq!(read(head.as_bytes()), Some(expected));
        let cut = Heard::Answer {
            status: StatusCode::FORBIDDEN,
            challenges: vec![],
        };
        assert_eq!(read(b"HTTP/1.1 403"), Some(cut));
    }

    #[test]
    fn what_is_no_answer_of_http_is_told_so() {
        for head in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"\x15\x03\x01\x00\x02",
            b"HTTP/1.1 99999 x\r\n\r\n",
            b"HTTP/1.1",
        ] {
            assert_eq!(read(head), Some(Heard::NotHttp));
        }
        assert_eq!(read(b""), None);
    }
}
