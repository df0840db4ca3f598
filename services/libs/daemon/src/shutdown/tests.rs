use super::*;
use std::sync::atomic::AtomicUsize;
use tokio::sync::mpsc;

const DRAIN: Duration = Duration::from_secs(30);

/// Waits with signals that the test sends; none ever comes after the sender is gone.
async fn wait(shutdown: Shutdown, mut signals: mpsc::Receiver<Signal>) -> Exit {
    let next = async || match signals.recv().await {
        Some(signal) => signal,
        None => std::future::pending().await,
    };
    shutdown.wait_for(next, DRAIN).await
}

async fn send(signals: &[Signal]) -> mpsc::Receiver<Signal> {
    let (sender, receiver) = mpsc::channel(4);
    for signal in signals {
        sender.send(*signal).await.unwrap();
    }
    receiver
}

#[tokio::test(start_paused = true)]
async fn the_first_signal_drains() {
    let shutdown = Shutdown::new();
    let finished = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let (token, finished) = (shutdown.token().clone(), finished.clone());
        shutdown.spawn("worker", async move {
            token.cancelled().await;
            tokio::time::sleep(Duration::from_secs(10)).await;
            finished.fetch_add(1, Ordering::SeqCst);
        });
    }
    let exit = wait(shutdown, send(&[Signal::Terminate]).await).await;
    assert_eq!(exit, Exit::Drained);
    assert_eq!(finished.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_stops() {
    let shutdown = Shutdown::new();
    shutdown.spawn("stubborn", std::future::pending());
    let signals = send(&[Signal::Terminate, Signal::Interrupt]).await;
    let exit = wait(shutdown, signals).await;
    assert_eq!(exit, Exit::Forced(Signal::Interrupt));
    assert_eq!(exit.code(), 130);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_stops() {
    let shutdown = Shutdown::new();
    shutdown.spawn("stubborn", std::future::pending());
    let began = tokio::time::Instant::now();
    let exit = wait(shutdown, send(&[Signal::Terminate]).await).await;
    assert_eq!(exit, Exit::DeadlinePassed);
    assert_eq!(began.elapsed(), DRAIN);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_breaks_ends_the_process_with_a_failure() {
    let shutdown = Shutdown::new();
    let token = shutdown.token().clone();
    shutdown.spawn("healthy", async move { token.cancelled().await });
    shutdown.spawn("broken", async { panic!("as the test wants") });
    assert_eq!(wait(shutdown, send(&[]).await).await, Exit::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_request_drains_without_a_signal() {
    let shutdown = Shutdown::new();
    shutdown.request();
    let exit = wait(shutdown, send(&[]).await).await;
    assert_eq!((exit, exit.code()), (Exit::Drained, 0));
}

#[tokio::test]
async fn signals_can_be_installed() {
    Signals::install().unwrap();
}
