//! A mail server on this machine, and what arrives there.

use crate::desk::{Desk, patiently};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

const PASSWORD: &str = "hunter2-of-the-mail-server";

/// Something that arrived: who sent it to whom, and what.
#[derive(Debug, Clone, Default)]
struct Letter {
    from: String,
    to: Vec<String>,
    data: String,
    /// What was shown to sign in.
    signed_in: String,
}

#[derive(Clone)]
struct Post {
    letters: Arc<Mutex<Vec<Letter>>>,
    /// Whether a conversation begins in the clear.
    starttls: bool,
    tls: TlsAcceptor,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A server, its port, and the certificate to trust, in PEM.
async fn post(starttls: bool) -> (Post, u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(trust::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let post = Post {
        letters: Arc::default(),
        starttls,
        tls: TlsAcceptor::from(Arc::new(config)),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = post.clone();
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Who breaks off a conversation is heard no more.
            tasks.spawn(serving.clone().greet(stream));
        }
    });
    (post, port, made.cert.pem())
}

impl Post {
    async fn greet(self, stream: TcpStream) -> Option<()> {
        if !self.starttls {
            let stream = self.tls.accept(stream).await.ok()?;
            return self.talk(BufReader::new(stream), true).await;
        }
        let mut stream = BufReader::new(stream);
        say(&mut stream, "220 post").await?;
        assert!(hear(&mut stream).await?.starts_with("EHLO"));
        say(&mut stream, "250-post\r\n250 STARTTLS").await?;
        // Nothing else is said in the clear.
        assert_eq!(hear(&mut stream).await?, "STARTTLS");
        say(&mut stream, "220 go on").await?;
        let stream = self.tls.accept(stream.into_inner()).await.ok()?;
        self.talk(BufReader::new(stream), false).await
    }

    async fn talk(self, mut stream: BufReader<impl Wire>, greets: bool) -> Option<()> {
        if greets {
            say(&mut stream, "220 post").await?;
        }
        let mut letter = Letter::default();
        loop {
            let line = hear(&mut stream).await?;
            let answer = match line.split_whitespace().next()? {
                "EHLO" => "250-post\r\n250 AUTH PLAIN",
                "AUTH" => {
                    letter.signed_in = line;
                    "235 welcome"
                }
                "MAIL" => {
                    letter.from = line;
                    "250 yes"
                }
                "RCPT" => {
                    letter.to.push(line);
                    "250 yes"
                }
                "DATA" => {
                    say(&mut stream, "354 go on").await?;
                    loop {
                        let line = hear(&mut stream).await?;
                        if line == "." {
                            break;
                        }
                        letter.data.push_str(&line);
                        letter.data.push('\n');
                    }
                    self.letters
                        .lock()
                        .unwrap()
                        .push(std::mem::take(&mut letter));
                    "250 taken as number 7"
                }
                "QUIT" => "221 bye",
                _ => "250 yes",
            };
            say(&mut stream, answer).await?;
        }
    }

    fn letters(&self) -> Vec<Letter> {
        self.letters.lock().unwrap().clone()
    }
}

async fn say(stream: &mut BufReader<impl Wire>, line: &str) -> Option<()> {
    stream
        .write_all(format!("{line}\r\n").as_bytes())
        .await
        .ok()?;
    stream.flush().await.ok()
}

async fn hear(stream: &mut BufReader<impl Wire>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

fn mail(desk: &Desk, port: u16, pem: &str, encryption: &str) {
    desk.set(&[
        "notifications.mail.host=localhost",
        &format!("notifications.mail.port={port}"),
        &format!("notifications.mail.encryption={encryption}"),
        &format!("notifications.mail.ca-pem={pem}"),
        "notifications.mail.user=headwater",
        "notifications.mail.from=headwater@example.org",
        "notifications.mail.to=[\"anna@example.org\", \"ben@example.org\"]",
    ]);
}

async fn check(starttls: bool, encryption: &str) {
    let (post, port, pem) = post(starttls).await;
    let desk = Desk::open().await;
    mail(&desk, port, &pem, encryption);
    desk.keep_secret("notifications.mail.password", PASSWORD)
        .await;
    desk.fail("PR1", "no way\r\nBcc: mallory@example.org");
    patiently(|| post.letters().len() == 1).await;
    let letter = post.letters().remove(0);
    assert!(
        letter.from.contains("<headwater@example.org>"),
        "{letter:?}"
    );
    assert_eq!(letter.to.len(), 2, "{letter:?}");
    let (head, body) = letter.data.split_once("\n\n").unwrap();
    let subject = "Subject: [Headwater CAS] raised: synchronization failure alert";
    assert!(head.contains(subject), "{head}");
    assert!(
        head.contains("To: anna@example.org, ben@example.org"),
        "{head}"
    );
    assert!(
        head.contains("Message-ID: <") && head.contains("@example.org>"),
        "{head}"
    );
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    assert!(
        body.contains("PR1") && body.contains("What to do: "),
        "{body}"
    );
    assert!(!letter.signed_in.is_empty());
    let tested = desk.notifier.test("anna").await.unwrap();
    let answer = tested[0].answer.clone().unwrap();
    assert_eq!(tested[0].receiver, "mail by localhost");
    assert!(answer.contains("taken as number 7"), "{answer}");
    assert!(
        post.letters()[1]
            .data
            .contains("Subject: [Headwater CAS] test")
    );
    desk.says_nothing_of(PASSWORD);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_over_tls_from_the_start() {
    check(false, "tls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_over_a_connection_that_goes_over_to_tls() {
    check(true, "starttls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_not_to_be_trusted_hears_no_password() {
    let (post, port, _) = post(false).await;
    let (_, _, other) = self::post(false).await;
    let desk = Desk::open().await;
    mail(&desk, port, &other, "tls");
    desk.keep_secret("notifications.mail.password", PASSWORD)
        .await;
    let tested = desk.notifier.test("anna").await.unwrap();
    let why = tested[0].answer.clone().unwrap_err();
    assert!(why.to_lowercase().contains("certificate"), "{why}");
    // Another server, or a server without TLS, does not get the password that was set for this one.
    desk.set(&["notifications.mail.port=1"]);
    let tested = desk.notifier.test("anna").await.unwrap();
    let why = tested[0].answer.clone().unwrap_err();
    assert!(why.contains("headwater settings password mail"), "{why}");
    assert!(post.letters().is_empty());
}
