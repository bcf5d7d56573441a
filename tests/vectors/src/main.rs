//! Records all vectors, or with `--check` says whether recording them anew would make a difference.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::{env, fs, io};

use grantway_vectors::{all, directory};

fn main() -> ExitCode {
    let result = match env::args().nth(1).as_deref() {
        None => record(),
        Some("--check") => check(),
        Some(other) => Err(io::Error::other(format!("unknown argument `{other}`; there is only `--check`"))),
    };
    result.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn record() -> io::Result<ExitCode> {
    let (recorded, stored) = (recorded(), stored()?);
    fs::create_dir_all(directory())?;
    for name in stored.keys().filter(|name| !recorded.contains_key(*name)) {
        fs::remove_file(directory().join(name))?;
    }
    for (name, text) in &recorded {
        fs::write(directory().join(name), text)?;
    }
    println!("{} vectors recorded", recorded.len());
    Ok(ExitCode::SUCCESS)
}

fn check() -> io::Result<ExitCode> {
    let (recorded, stored) = (recorded(), stored()?);
    let mut differences = 0;
    for name in recorded.keys().chain(stored.keys().filter(|name| !recorded.contains_key(*name))) {
        let problem = match (recorded.get(name), stored.get(name)) {
            (Some(now), Some(then)) if now == then => continue,
            (Some(_), Some(_)) => "differs",
            (Some(_), None) => "is missing",
            (None, _) => "is not recorded any more",
        };
        println!("spec/vectors/{name} {problem}");
        differences += 1;
    }
    println!("{} vectors, {differences} differences", recorded.len());
    if differences > 0 {
        println!("record them with `cargo run -p grantway-vectors` and look at what has changed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn recorded() -> BTreeMap<String, String> {
    all().map(|scenario| (format!("{}.json", scenario.name), scenario.record().text())).collect()
}

fn stored() -> io::Result<BTreeMap<String, String>> {
    let Ok(files) = fs::read_dir(directory()) else { return Ok(BTreeMap::new()) };
    files
        .map(|file| {
            let file = file?;
            Ok((file.file_name().to_string_lossy().into_owned(), fs::read_to_string(file.path())?))
        })
        .collect()
}
