//! The story the demo tells: numbered steps, each with what was seen.

use serde_json::{Value, json};

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As JSON, when it has ended.
    Json,
    /// Its end only.
    Quiet,
    /// Step by step.
    Text,
}

/// Something was not as it should be.
#[derive(Debug)]
pub(crate) struct Deviation(pub(crate) String);

impl<E: std::error::Error> From<E> for Deviation {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// What was told so far.
#[derive(Debug)]
pub(crate) struct Story {
    form: Form,
    steps: Vec<(String, Vec<String>)>,
}

impl Story {
    pub(crate) fn new(form: Form) -> Self {
        Self { form, steps: Vec::new() }
    }

    /// The next step.
    pub(crate) fn step(&mut self, title: &str) {
        self.steps.push((title.to_owned(), Vec::new()));
        if self.form == Form::Text {
            println!("\n{}. {title}", self.steps.len());
        }
    }

    /// What was seen in it.
    pub(crate) fn see(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.form == Form::Text {
            println!("   {what}");
        }
        if let Some((_, seen)) = self.steps.last_mut() {
            seen.push(what);
        }
    }

    /// As [`Story::see`], if it is so; else the story ends here.
    pub(crate) fn check(&mut self, is_so: bool, what: impl Into<String>) -> Result<(), Deviation> {
        let what = what.into();
        if !is_so {
            return Err(Deviation(format!("it is not so that {what}")));
        }
        self.see(format!("✓ {what}"));
        Ok(())
    }

    /// The end.
    pub(crate) fn end(self, result: &Result<(), Deviation>) {
        let deviation = result.as_ref().err().map(|deviation| deviation.0.as_str());
        let at = self.steps.len();
        match (self.form, deviation) {
            (Form::Json, _) => {
                let steps = self.steps.iter().map(|(title, seen)| json!({ "title": title, "seen": seen }));
                let steps: Vec<Value> = steps.collect();
                println!("{}", json!({ "ok": deviation.is_none(), "deviation": deviation, "steps": steps }));
            }
            (_, Some(deviation)) => eprintln!("\ndemo: step {at} went wrong: {deviation}"),
            (Form::Quiet, None) => println!("demo: {at} steps, all as they should be"),
            (Form::Text, None) => println!("\n{at} steps, all as they should be."),
        }
    }
}
