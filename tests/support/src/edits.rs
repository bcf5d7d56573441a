//! Changes to a JSON document that is otherwise right.

use serde_json::Value;

/// Members to set or to take out, applied in order.
#[derive(Clone, Debug, Default)]
pub struct Edits(Vec<(String, Option<Value>)>);

impl Edits {
    /// The document will have this member with this value.
    pub fn set(&mut self, member: &str, value: impl Into<Value>) -> &mut Self {
        self.0.push((member.to_owned(), Some(value.into())));
        self
    }

    /// The document will not have this member.
    pub fn remove(&mut self, member: &str) -> &mut Self {
        self.0.push((member.to_owned(), None));
        self
    }

    /// From now on the document is as it is by itself.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn apply(&self, mut document: Value) -> Value {
        if let Value::Object(members) = &mut document {
            for (name, value) in &self.0 {
                match value {
                    Some(value) => members.insert(name.clone(), value.clone()),
                    None => members.remove(name),
                };
            }
        }
        document
    }
}
