//! `status --watch` on a terminal: a full-screen view of all sites that stays up to date, with keys.
//!
//! [`model`] says what every event does, [`draw`] how it looks; here events come from the site and the keyboard, and
//! wishes go to the site.

mod draw;
mod model;

use crate::connection::{Client, question};
use crate::console::Console;
use crate::follow::{self, Watch};
use crate::message;
use crate::render::View;
use model::{Event, Key, MOST_MESSAGES, Model, Wish};
use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::v1::CancelSyncRequest;

/// How often times are brought up to date, and messages asked for.
const TICK: Duration = Duration::from_secs(2);
/// How long the keyboard is waited for before it is looked whether the view was left.
const KEYBOARD: Duration = Duration::from_millis(100);
/// Events that wait.
const WAITING: usize = 256;

/// The terminal in the mode of the view, until this is dropped. A panic puts it back, too.
struct Screen(ratatui::DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Whether a terminal can show the view.
pub fn fits(console: &Console) -> bool {
    use std::io::IsTerminal as _;
    #[expect(
        clippy::disallowed_methods,
        reason = "the kind of the terminal is told through the environment"
    )]
    let kind = std::env::var("TERM").unwrap_or_default();
    console.terminal
        && !console.json
        && std::io::stdin().is_terminal()
        && !matches!(kind.as_str(), "" | "dumb")
}

/// Shows the view until the person leaves it.
///
/// # Errors
/// When the site that is asked refuses or stays away, or the terminal cannot be used.
pub async fn show(client: &Client, console: &Console) -> anyhow::Result<()> {
    let mut watch = Watch::open(client).await?;
    let (events, mut arriving) = mpsc::channel(WAITING);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut screen = Screen(ratatui::try_init()?);
    let keyboard = events.clone();
    // Reading keys blocks; the thread ends when nobody takes them any more.
    std::thread::spawn(move || read_keys(&keyboard));
    let (mut model, mut tasks, mut asked) = (Model::default(), JoinSet::new(), None);
    let mut tick = tokio::time::interval(TICK);
    loop {
        let view = View::of_process(console);
        screen.0.draw(|frame| draw::draw(frame, &model, &view))?;
        let event = tokio::select! {
            event = arriving.recv() => event.unwrap_or(Event::Redraw),
            sites = watch.next() => Event::Sites(sites?),
            _ = tick.tick() => {
                asked = None;
                Event::Redraw
            }
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
            Some(_) = tasks.join_next() => continue,
        };
        match model.on(event) {
            Some(Wish::Quit) => return Ok(()),
            Some(wish) => {
                let (client, events) = (client.clone(), events.clone());
                tasks.spawn(async move {
                    let said = fulfil(&client, wish).await;
                    // Nobody listens when the view was left.
                    drop(events.send(Event::Said(said)).await);
                });
            }
            None => {}
        }
        if asked.as_deref() != Some(model.wanted()) {
            let site = model.wanted().to_owned();
            asked = Some(site.clone());
            let (client, events) = (client.clone(), events.clone());
            tasks.spawn(async move {
                // A site that does not answer is told of by the reports.
                if let Ok(entries) = message::newest(&client, site.clone(), MOST_MESSAGES).await {
                    drop(events.send(Event::Messages(site, entries)).await);
                }
            });
        }
    }
}

/// Does what was wished. What came of it, for the person.
async fn fulfil(client: &Client, wish: Wish) -> String {
    let done = match wish {
        Wish::Synchronize => {
            follow::start(client, false)
                .await
                .map(|started| match started.queued {
                    true => "A run is under way; the one that was asked for follows it.",
                    false => "The synchronization has started.",
                })
        }
        Wish::Cancel => {
            let answer = client
                .sync()
                .cancel_sync(question(CancelSyncRequest::default()))
                .await;
            match answer {
                Ok(answer) if answer.get_ref().run.is_empty() => {
                    Ok("No synchronization is under way.")
                }
                Ok(_) => Ok("The synchronization is being cancelled at every site."),
                Err(status) => {
                    let doing = "cancelling the synchronization";
                    Err(crate::connection::explain(status, &client.server, doing))
                }
            }
        }
        Wish::Quit => Ok(""),
    };
    done.map_or_else(|error| format!("{error:#}"), str::to_owned)
}

fn read_keys(events: &mpsc::Sender<Event>) {
    while !events.is_closed() {
        let event = match event::poll(KEYBOARD) {
            Ok(true) => event::read(),
            Ok(false) => continue,
            Err(_) => return,
        };
        let event = match event {
            Ok(event::Event::Key(key)) if key.kind != KeyEventKind::Release => match key_of(key) {
                Some(key) => Event::Key(key),
                None => continue,
            },
            Ok(event::Event::Resize(..)) => Event::Redraw,
            Ok(
                event::Event::Key(_)
                | event::Event::FocusGained
                | event::Event::FocusLost
                | event::Event::Mouse(_)
                | event::Event::Paste(_),
            ) => continue,
            Err(_) => return,
        };
        if events.blocking_send(event).is_err() {
            return;
        }
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of the many keys that there are few mean something here"
    )]
    let key = match key.code {
        KeyCode::Char('c') if control => Key::Interrupt,
        KeyCode::Char(_) if control => return None,
        KeyCode::Char(letter) => Key::Letter(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    };
    Some(key)
}
