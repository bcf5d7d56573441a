//! A run in words: kept while a trace is replayed, empty while states are explored.

use grantway_core::model::Inspection;
use grantway_core::operation::{CommitReply, Effect, HttpReply, Precondition, ReadReply, Reply, Write};

use crate::issuer::Post;
use crate::order::{Ended, Order};
use crate::rows::name_of;
use crate::world::Fate;

/// Lines, if anybody listens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Option<Vec<String>>);

impl Journal {
    pub(crate) fn listen(&mut self) {
        self.0 = Some(Vec::new());
    }

    /// The lines since the last call.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.0.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            lines.push(line());
        }
    }

    pub(crate) fn begin(&mut self, worker: usize, order: Order) {
        self.note(|| format!("worker {worker} begins {}", order.name()));
    }

    pub(crate) fn performed(&mut self, worker: usize, effect: &Effect, reply: &Reply) {
        self.note(|| format!("worker {worker}: {}: {}", effect_words(effect), reply_words(reply)));
    }

    pub(crate) fn lost(&mut self, worker: usize, effect: &Effect, fate: Fate) {
        self.note(|| {
            let fate = match fate {
                Fate::Done => "carried out, and the answer is lost",
                Fate::Late => "delayed, and the answer is lost",
                Fate::Never => "lost",
            };
            format!("worker {worker}: {}: {fate}", effect_words(effect))
        });
    }

    pub(crate) fn ended(&mut self, worker: usize, order: Order, ended: &Ended) {
        self.note(|| format!("worker {worker} ends {}: {}", order.name(), ended.words()));
    }

    pub(crate) fn connection(&mut self, connection: &Inspection) {
        self.note(|| format!("    the connection: {}", connection_words(connection)));
    }
}

pub(crate) fn connection_words(connection: &Inspection) -> String {
    let Inspection { epoch, generation, redeeming, doubt, outbox, grant } = connection;
    let mut words = format!("epoch {epoch}, generation {generation}");
    match grant {
        None => words.push_str(", no grant"),
        Some(grant) => {
            let refresh = grant.refresh_token.as_ref().map_or("none", |token| token.expose());
            words.push_str(&format!(", {} {refresh}, sends {}", grant.access_token.expose(), grant.sends));
            words.push_str(if grant.leased_until.is_some() { ", leased" } else { "" });
            if let Some(why) = grant.condemned {
                words.push_str(&format!(", condemned as {why}"));
            }
        }
    }
    if !outbox.is_empty() {
        let tokens: Vec<_> = outbox.iter().map(|token| token.expose()).collect();
        words.push_str(&format!(", to revoke {}", tokens.join(" ")));
    }
    words.push_str(if *redeeming { ", redeeming" } else { "" });
    words.push_str(if *doubt { ", doubt" } else { "" });
    words
}

pub(crate) fn effect_words(effect: &Effect) -> String {
    match effect {
        Effect::Commit { writes } => {
            let writes: Vec<_> = writes.iter().map(write_words).collect();
            format!("commit {}", writes.join(", "))
        }
        Effect::Http(request) => match Post::parse(request) {
            Some(post) => post.words(),
            None => format!("{} {}", request.method.as_str(), request.url),
        },
        Effect::Identify { .. } => "identify".to_owned(),
        Effect::Read { keys } => {
            format!("read {}", keys.iter().map(name_of).collect::<Vec<_>>().join(", "))
        }
        Effect::Scan { .. } => "scan".to_owned(),
        Effect::Sleep { for_ms, .. } => format!("sleep {for_ms} ms"),
    }
}

fn write_words(write: &Write) -> String {
    let name = name_of(&write.key);
    match write.precondition {
        Precondition::Absent => format!("{name} if absent"),
        Precondition::Any => name.to_owned(),
        Precondition::Version(version) => format!("{name} if version {}", version.0),
    }
}

pub(crate) fn reply_words(reply: &Reply) -> String {
    match reply {
        Reply::Commit(CommitReply::Committed) => "committed".to_owned(),
        Reply::Commit(reply) => format!("{reply:?}").to_lowercase(),
        Reply::Http(HttpReply::NotSent(why)) => format!("not sent ({why:?})"),
        Reply::Http(HttpReply::Response(response)) => {
            format!("{} {}", response.status, String::from_utf8_lossy(response.body.expose()))
                .trim()
                .to_owned()
        }
        Reply::Http(HttpReply::UnknownOutcome) => "no answer".to_owned(),
        Reply::Read(ReadReply::Found(found)) => {
            let versions = found.iter().map(|found| match found {
                Some(found) => found.version.0.to_string(),
                None => "-".to_owned(),
            });
            format!("versions {}", versions.collect::<Vec<_>>().join(", "))
        }
        Reply::Read(ReadReply::Unavailable) => "unavailable".to_owned(),
        Reply::Identity(_) | Reply::Scan(_) | Reply::Start => String::new(),
        Reply::Woke { after_ms } => format!("woke after {after_ms} ms"),
    }
}
