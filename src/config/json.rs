//! Reads a JSON object field by field and knows the line of each: the errors of serde alone would not
//! tell the field.
//!
//! It knows nothing of what a profile means.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::config::error::{ConfigError, nearest};

/// Where a value stands.
#[derive(Debug, Clone)]
pub(super) struct Place<'t> {
    file: &'t Path,
    line: usize,
    field: String,
}

impl Place<'_> {
    /// The line, counted from 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// An error about the value that stands here; `reason` is read after the field's name.
    pub(super) fn error(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            file: self.file.to_owned(),
            line: self.line,
            field: self.field.clone(),
            reason: reason.into(),
        }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Given<'t, T> {
    pub(super) value: T,
    pub(super) place: Place<'t>,
}

/// What a field can hold.
pub(super) trait Value: DeserializeOwned {
    /// How to call it in "must be …".
    const WANTED: &'static str;
}

impl Value for String {
    const WANTED: &'static str = "a text in quotes";
}

impl Value for Vec<String> {
    const WANTED: &'static str = "a list of texts, such as [\"a\", \"b\"]";
}

impl Value for bool {
    const WANTED: &'static str = "true or false";
}

impl Value for u64 {
    const WANTED: &'static str = "a whole number, 0 or more";
}

/// The fields of one object that have not been taken yet.
pub(super) struct Object<'t> {
    file: &'t Path,
    /// The whole file's text, to count lines in.
    text: &'t str,
    /// What stands before a field's name in errors: `drive.` within `drive`.
    prefix: String,
    fields: Vec<(String, &'t RawValue)>,
    /// The fields that were asked for.
    known: Vec<&'static str>,
}

impl<'t> Object<'t> {
    /// The object that the file's text is.
    pub(super) fn root(file: &'t Path, text: &'t str) -> Result<Self, ConfigError> {
        let fields = serde_json::from_str(text).map_err(|error| {
            let reason = if error.is_data() {
                "a profile is one JSON object in braces, { … }".to_owned()
            } else {
                let place = format!(" at line {} column {}", error.line(), error.column());
                let message = error.to_string();
                let message = message.strip_suffix(&place).unwrap_or(&message);
                format!("not valid JSON: {message} (column {})", error.column())
            };
            ConfigError::Json { file: file.to_owned(), line: error.line().max(1), reason }
        })?;
        Self::new(file, text, String::new(), fields)
    }

    fn new(
        file: &'t Path,
        text: &'t str,
        prefix: String,
        Fields(fields): Fields<'t>,
    ) -> Result<Self, ConfigError> {
        let mut seen = HashMap::new();
        for (name, raw) in &fields {
            if let Some(first) = seen.insert(name.as_str(), raw) {
                return Err(ConfigError::Duplicate {
                    file: file.to_owned(),
                    line: line_of(text, raw),
                    field: format!("{prefix}{name}"),
                    first: line_of(text, first),
                });
            }
        }
        Ok(Self { file, text, prefix, fields, known: Vec::new() })
    }

    /// Takes the value of a field out, if it is given.
    pub(super) fn take<T: Value>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Given<'t, T>>, ConfigError> {
        let Some((raw, mut place)) = self.pick(name) else {
            return Ok(None);
        };
        match serde_json::from_str(raw.get()) {
            Ok(value) => Ok(Some(Given { value, place })),
            Err(error) => {
                // In a list the line of the element is meant.
                place.line += error.line().saturating_sub(1);
                Err(place.error(format!("must be {}", T::WANTED)))
            }
        }
    }

    /// Takes the object out that a field holds; without the field, one without fields (whose place is
    /// `None`), so that its fields are asked for in any case.
    pub(super) fn object(
        &mut self,
        name: &'static str,
    ) -> Result<(Object<'t>, Option<Place<'t>>), ConfigError> {
        let prefix = format!("{}{name}.", self.prefix);
        let (fields, place) = match self.pick(name) {
            None => (Fields(Vec::new()), None),
            Some((raw, place)) => match serde_json::from_str(raw.get()) {
                Ok(fields) => (fields, Some(place)),
                Err(_) => return Err(place.error("must be an object in braces, { … }")),
            },
        };
        Ok((Self::new(self.file, self.text, prefix, fields)?, place))
    }

    /// Takes a field out and does not look at what it holds.
    pub(super) fn ignore(&mut self, name: &'static str) {
        self.pick(name);
    }

    /// An error if a field was given that nobody asked for.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let Some((name, raw)) = self.fields.first() else {
            return Ok(());
        };
        Err(ConfigError::UnknownField {
            file: self.file.to_owned(),
            line: line_of(self.text, raw),
            field: format!("{}{name}", self.prefix),
            nearest: nearest(name, self.known.iter().copied())
                .map(|known| format!("{}{known}", self.prefix)),
            known: self.known,
        })
    }

    fn pick(&mut self, name: &'static str) -> Option<(&'t RawValue, Place<'t>)> {
        self.known.push(name);
        let at = self.fields.iter().position(|(field, _)| field == name)?;
        let (name, raw) = self.fields.remove(at);
        let place = Place {
            file: self.file,
            line: line_of(self.text, raw),
            field: format!("{}{name}", self.prefix),
        };
        Some((raw, place))
    }
}

/// The line, from 1, that a value starts in: it is a part of `text`, which its address tells.
fn line_of(text: &str, value: &RawValue) -> usize {
    let offset = value.get().as_ptr().addr() - text.as_ptr().addr();
    text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
}

/// The fields of an object in their order, their values not yet looked at.
struct Fields<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}
