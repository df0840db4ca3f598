//! Secrets beside the settings: they can be set and given up, and are never shown.

use crate::Dashboard;
use crate::api::question;
use crate::page::{Shown, back, query};
use crate::session::Person;
use axum::extract::{Form, State};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tonic::Status;
use wire::v1::SetSecretRequest;

/// Secrets: the tab that shows them, their names, what people call them, and what they are for.
const SECRETS: [(&str, &str, &str, &str); 4] = [
    (
        "source",
        "source.password",
        "Password of the connection account",
        "It is kept for one upstream server and one account: set and save those first.",
    ),
    (
        "proxy",
        "proxy.password",
        "Password of the proxy's user",
        "It is kept for one proxy and one user: set and save those first.",
    ),
    (
        "notifications",
        "notifications.secret",
        "Secret of the webhooks",
        "Each notification to a web address is signed with it (HMAC), so that its receiver knows that it comes from here.",
    ),
    (
        "notifications",
        "notifications.mail.password",
        "Password of the user at the mail server",
        "It is kept for one mail server and one user: set and save those first.",
    ),
];
/// Longest secret that is taken, in bytes.
const MOST_SECRET: usize = 1024;

/// A secret as its form shows it.
pub struct Secret {
    pub name: &'static str,
    pub label: &'static str,
    pub about: &'static str,
    pub is_set: bool,
}

impl Secret {
    /// The identifier of the element.
    pub fn id(&self) -> String {
        self.name.replace('.', "-")
    }
}

/// The secrets of a tab, with whether each is set.
pub fn of(tab: &str, set: &[String]) -> Vec<Secret> {
    let secrets = SECRETS.iter().filter(|(of_tab, ..)| *of_tab == tab);
    let secrets = secrets.map(|(_, name, label, about)| Secret {
        name,
        label,
        about,
        is_set: set.iter().any(|held| held == name),
    });
    secrets.collect()
}

/// What the form says.
#[derive(Deserialize)]
pub struct Typed {
    #[serde(default)]
    tab: String,
    name: String,
    #[serde(default)]
    secret: SecretString,
    /// "yes" where the secret is given up.
    #[serde(default)]
    give_up: String,
}

/// `POST /settings/secret`: keeps a secret, or gives it up.
///
/// # Errors
/// When the person is not known any more.
pub async fn keep(
    State(dashboard): State<Dashboard>,
    person: Person,
    Form(typed): Form<Typed>,
) -> Shown {
    let to = format!("/settings{}", query(&[("tab", &typed.tab)]));
    let given_up = typed.give_up == "yes";
    let secret = typed.secret.expose_secret();
    let wrong = match secret.len() {
        _ if given_up => None,
        0 => Some("Nothing was typed, and nothing was changed: a secret is taken away with the other button.".to_owned()),
        1..=MOST_SECRET => None,
        _ => Some(format!("A secret has {MOST_SECRET} bytes at most.")),
    };
    if let Some(why) = wrong {
        return back(&dashboard, &person, &to, Err(Status::invalid_argument(why)));
    }
    let request = SetSecretRequest {
        name: typed.name.clone(),
        secret: match given_up {
            true => String::new(),
            false => secret.to_owned(),
        },
    };
    let answer = person.api.settings().set_secret(question(request)).await;
    let said = answer.map(|_| match given_up {
        true => format!("{} was given up.", typed.name),
        false => format!("{} is set. Nobody can read it again.", typed.name),
    });
    back(&dashboard, &person, &to, said)
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_tab_shows_its_own_secrets_and_whether_they_are_set() {
        let held = ["notifications.secret".to_owned()];
        let shown: Vec<_> = of("notifications", &held)
            .into_iter()
            .map(|secret| (secret.name, secret.is_set))
            .collect();
        let expected = [
            ("notifications.secret", true),
            ("notifications.mail.password", false),
        ];
        assert_eq!(shown, expected);
        assert!(of("products", &held).is_empty());
    }
}
