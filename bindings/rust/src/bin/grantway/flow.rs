//! A flow under way: the person is in the browser, and what comes back is handed in.

use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use grantway::grantway_core::error::Code;
use grantway::grantway_core::upstream::begin_connect::Redirect;
use grantway::grantway_core::upstream::complete_connect::{CompleteConnect, Connected};
use grantway::{Failure, Grantway, Secret};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::browser;
use crate::callback::{Arrival, Listener, Page};
use crate::report::{Problem, Report};
use crate::servers::{Desk, Server};

/// A flow that was begun.
pub(crate) struct Flow<'a> {
    pub(crate) desk: &'a Desk,
    pub(crate) gw: &'a Grantway,
    pub(crate) server: &'a Server,
    pub(crate) redirect: &'a Redirect,
    pub(crate) report: Report,
}

impl Flow<'_> {
    /// Waits for the browser, or for a URL that is pasted.
    pub(crate) async fn wait(&self, listener: Listener, no_browser: bool) -> Result<Connected, Problem> {
        let (serving, mut arrivals) = listener.serve();
        let opened = !no_browser && browser::open(&self.redirect.url);
        if opened {
            self.report.progress(&format!(
                "Waiting for you to sign in at {} in the browser …",
                self.redirect.issuer
            ));
        } else {
            self.report.ask_to_open(&self.redirect.url);
        }
        let mut pasted = pasted(!opened || std::io::stdin().is_terminal());
        let left = self.redirect.expires_at.0.saturating_sub(self.gw.moment().now.0);
        let deadline = Instant::now() + Duration::from_millis(left);
        loop {
            tokio::select! {
                Some(Arrival { url, answer }) = arrivals.recv() => {
                    let outcome = self.complete(url).await;
                    let page = match &outcome {
                        Some(Ok(_)) => Page::Connected,
                        Some(Err(_)) => Page::NotConnected,
                        None => Page::Ignored,
                    };
                    let _ = answer.send(page);
                    if let Some(outcome) = outcome {
                        serving.let_page_be_fetched().await;
                        return outcome;
                    }
                }
                Some(line) = pasted.recv() => {
                    if let Some(outcome) = self.complete(line).await {
                        return outcome;
                    }
                }
                () = sleep_until(deadline) => return Err(Failure::new(Code::FlowExpired).into()),
            }
        }
    }

    /// Hands in what came. `None`: it was not the answer to this flow, which still waits for its own.
    async fn complete(&self, callback_url: Secret) -> Option<Result<Connected, Problem>> {
        let completed = self.gw.complete_connect_with(CompleteConnect {
            caller: Some(self.desk.caller.clone()),
            callback_url,
            cookies: None,
            process_secret: self.redirect.process_secret.clone(),
        });
        match completed.await {
            Ok(connected) => Some(Ok(connected)),
            // atk:CSR-08: anybody on this machine, and any page in the browser, can call the address; who does not know the
            // state of this flow has said nothing about it.
            Err(failure) if is_foreign(&failure) => {
                self.report.progress(&format!("Ignored a callback: {}.", failure.code().message()));
                None
            }
            Err(failure) => Some(Err(self.ended(failure))),
        }
    }

    fn ended(&self, failure: Failure) -> Problem {
        let mut problem = Problem::from(failure);
        if problem.next.starts_with("connect again") {
            problem.next = problem.next.replacen(
                "connect again",
                &format!("run `grantway connect {}` again", self.server.name),
                1,
            );
        }
        problem
    }
}

fn is_foreign(failure: &Failure) -> bool {
    matches!(
        failure.code(),
        Code::BindingMismatch | Code::CallbackMalformed | Code::FlowUnknown | Code::PrincipalMismatch
    )
}

/// Lines of standard input, if wanted. The thread that reads them ends with the process.
fn pasted(wanted: bool) -> mpsc::Receiver<Secret> {
    let (lines, pasted) = mpsc::channel(1);
    if wanted {
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                let line = line.trim();
                if !line.is_empty() && lines.blocking_send(Secret::new(line)).is_err() {
                    return;
                }
            }
        });
    }
    pasted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_about_the_flow_does_not_end_it() {
        for code in Code::ALL {
            let foreign = [
                "user.binding_mismatch",
                "user.callback_malformed",
                "user.flow_unknown",
                "user.principal_mismatch",
            ];
            assert_eq!(is_foreign(&Failure::new(*code)), foreign.contains(&code.slug()), "{code:?}");
        }
    }
}
