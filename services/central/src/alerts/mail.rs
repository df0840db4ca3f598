//! Notifications by mail, over SMTP. The connection is encrypted, or nothing is sent.

use super::event::as_mail;
use super::notify::TIMEOUT;
use jiff::Timestamp;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use settings::document::{Mail, MailEncryption};
use std::time::{Duration, SystemTime};
use sync::upstream::with_causes;
use uuid::Uuid;

/// Longest answer of a server that is told, in characters.
const MOST_ANSWER: usize = 200;

fn address(text: &str) -> Result<Address, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a mail address"))
}

/// The message of a notification.
fn message(mail: &Mail, (id, body): (Uuid, &str), now: Timestamp) -> Result<Message, String> {
    let from = address(mail.from.as_deref().unwrap_or_default())?;
    let (subject, text) = as_mail(body);
    let since_epoch = now.duration_since(Timestamp::UNIX_EPOCH);
    let date = SystemTime::UNIX_EPOCH + Duration::try_from(since_epoch).unwrap_or_default();
    let mut message = Message::builder()
        // The same at each attempt, so that a repeated one can be told.
        .message_id(Some(format!("<{id}@{}>", from.domain())))
        .date(date)
        .subject(subject)
        .header(ContentType::TEXT_PLAIN)
        .from(Mailbox::new(Some("Headwater".to_owned()), from));
    for to in &mail.to {
        message = message.to(Mailbox::new(None, address(to)?));
    }
    message.body(text).map_err(|error| with_causes(&error))
}

fn transport(
    mail: &Mail,
    host: &str,
    password: Option<&SecretString>,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let mut tls = TlsParameters::builder(host.to_owned());
    if let Some(pem) = &mail.ca_pem {
        let authority = Certificate::from_pem(pem.as_bytes())
            .map_err(|_| "the setting notifications.mail.ca-pem is no certificate".to_owned())?;
        tls = tls.add_root_certificate(authority);
    }
    let tls = tls.build_rustls().map_err(|error| with_causes(&error))?;
    let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(mail.port)
        .timeout(Some(TIMEOUT))
        .tls(match mail.encryption {
            MailEncryption::Starttls => Tls::Required(tls),
            MailEncryption::Tls => Tls::Wrapper(tls),
        });
    let credentials = mail.user.as_ref().zip(password).map(|(user, password)| {
        Credentials::new(user.clone(), password.expose_secret().to_owned())
    });
    Ok(match credentials {
        Some(credentials) => transport.credentials(credentials).build(),
        None => transport.build(),
    })
}

/// Sends a notification to all recipients. What the server answered, or why it did not take it.
pub(super) async fn send(
    mail: &Mail,
    password: Option<&SecretString>,
    notification: (Uuid, &str),
    now: Timestamp,
) -> Result<String, String> {
    let Some(host) = &mail.host else {
        return Err("there is no mail server".to_owned());
    };
    let message = message(mail, notification, now)?;
    let transport = transport(mail, host, password)?;
    let answer = transport.send(message).await;
    let answer = answer.map_err(|error| short(&with_causes(&error)))?;
    let first = answer.message().next().unwrap_or_default();
    Ok(short(&format!("SMTP {} {first}", answer.code())))
}

fn short(text: &str) -> String {
    let short = text.chars().take(MOST_ANSWER);
    short
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
