//! The herd: processes of this very program, each told by a line on its standard input when to run.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use grantway::driver::drive;
use grantway_core::upstream::resolve::{Resolution, Resolve};

use crate::scene::{Scene, account, engine, host, user};

/// One process: for each line, resolves every user once and answers with a line of outcomes.
pub(crate) async fn work(database: &Path, issuer: &str, users: usize) {
    let (engine, host) = match (engine(), host(database)) {
        (Ok(engine), Ok(host)) => (engine, host),
        (Err(problem), _) | (_, Err(problem)) => {
            eprintln!("a worker for {issuer}: {problem}");
            return;
        }
    };
    println!("begun");
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            return;
        }
        let mut outcomes = Vec::new();
        for number in 0..users {
            let (Ok(caller), Ok(account)) = (user(number), account()) else { return };
            let resolved = drive(engine.resolve(Resolve::new(caller, account)), &host).await.result;
            outcomes.push(match resolved {
                Ok(Resolution::Ready(_)) => "ready".to_owned(),
                Ok(Resolution::Challenge(challenge)) => format!("challenge.{}", challenge.reason.as_str()),
                Ok(Resolution::Transient(transient)) => format!("transient.{}", transient.failure.slug()),
                Err(failure) => format!("failure.{}", failure.slug()),
            });
        }
        println!("{}", outcomes.join(" "));
    }
}

struct Worker {
    child: Child,
    orders: ChildStdin,
}

/// All processes, and the lines they say.
pub(crate) struct Herd {
    workers: Vec<Worker>,
    said: Receiver<(usize, u32, Option<String>)>,
    say: Sender<(usize, u32, Option<String>)>,
    /// How often each place in the herd was filled anew.
    lives: Vec<u32>,
    database: std::path::PathBuf,
    issuer: String,
    users: usize,
    random: u64,
    kills: u64,
}

impl Herd {
    pub(crate) fn start(scene: &Scene, workers: usize, users: usize, seed: u64) -> Result<Self, String> {
        let (say, said) = channel();
        let mut herd = Self {
            workers: Vec::new(),
            said,
            say,
            lives: vec![0; workers],
            database: scene.folder.path().join("grantway.db"),
            issuer: scene.issuer.url(),
            users,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            kills: 0,
        };
        for at in 0..workers {
            let worker = herd.spawn(at)?;
            herd.workers.push(worker);
        }
        herd.gather(workers)?;
        Ok(herd)
    }

    pub(crate) fn kills(&self) -> u64 {
        self.kills
    }

    fn spawn(&self, at: usize) -> Result<Worker, String> {
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut child = Command::new(program)
            .arg("worker")
            .arg(&self.database)
            .arg(&self.issuer)
            .arg(self.users.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let orders = child.stdin.take().ok_or("no standard input")?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let (say, life) = (self.say.clone(), self.lives[at]);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                let Ok(line) = line else { break };
                if say.send((at, life, Some(line))).is_err() {
                    return;
                }
            }
            let _ = say.send((at, life, None));
        });
        Ok(Worker { child, orders })
    }

    /// One line of each of so many processes, or the end of one that was killed.
    fn gather(&mut self, count: usize) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        let mut left = count;
        while left > 0 {
            match self.said.recv_timeout(Duration::from_secs(120)) {
                Ok((at, life, _)) if life != self.lives[at] => {}
                Ok((_, _, Some(line))) => {
                    lines.push(line);
                    left -= 1;
                }
                Ok((at, _, None)) => return Err(format!("worker {at} ended by itself")),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err("the workers do not answer".to_owned());
                }
            }
        }
        Ok(lines)
    }

    /// Lets all run at once, kills so many of them at random moments, and returns every outcome of the others.
    pub(crate) fn round(&mut self, kills: usize) -> Result<Vec<String>, String> {
        for worker in &mut self.workers {
            worker
                .orders
                .write_all(b"go\n")
                .and_then(|()| worker.orders.flush())
                .map_err(|e| e.to_string())?;
        }
        let mut victims: Vec<usize> = Vec::new();
        for _ in 0..kills.min(self.workers.len() / 2) {
            let (victim, delay) = (self.below(self.workers.len() as u64) as usize, self.below(15));
            std::thread::sleep(Duration::from_millis(delay));
            if victims.contains(&victim) {
                continue;
            }
            self.lives[victim] += 1;
            // SIGKILL: no destructor, no rollback, nothing is flushed.
            let child = &mut self.workers[victim].child;
            child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
            self.kills += 1;
            victims.push(victim);
        }
        let lines = self.gather(self.workers.len() - victims.len())?;
        for victim in &victims {
            self.workers[*victim] = self.spawn(*victim)?;
        }
        self.gather(victims.len())?;
        Ok(lines.iter().flat_map(|line| line.split(' ').map(str::to_owned)).collect())
    }

    fn below(&mut self, bound: u64) -> u64 {
        // Xorshift: whom to kill and when is all that hangs on it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    pub(crate) fn end(mut self) {
        for worker in &mut self.workers {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}
