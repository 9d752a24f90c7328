//! Header fields: an ordered list of names and values.

mod name;
mod read;
mod value;

pub use name::Name;
pub use read::{CSeq, HeaderError};
pub use value::Value;

/// The header fields of a message in their order, one value per entry: fields that may hold lists (Via, Contact, Route,
/// ...) are split at their commas, so that `Via: a, b` and two Via lines are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name; compact forms have become long ones.
    pub name: Name,
    /// The value.
    pub value: Value,
}

impl Headers {
    /// No header fields.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// No header fields yet, with room for `capacity`.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All entries in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Header> {
        self.0.iter()
    }

    /// The text of the first entry of that name.
    pub fn get(&self, name: &Name) -> Option<&str> {
        self.find(name).map(Value::as_str)
    }

    /// The value of the first entry of that name.
    pub fn find(&self, name: &Name) -> Option<&Value> {
        self.values(name).next()
    }

    /// The texts of all entries of that name.
    pub fn all<'a, 'n>(&'a self, name: &'n Name) -> impl DoubleEndedIterator<Item = &'a str> + use<'a, 'n> {
        self.values(name).map(Value::as_str)
    }

    /// The values of all entries of that name.
    pub fn values<'a, 'n>(&'a self, name: &'n Name) -> impl DoubleEndedIterator<Item = &'a Value> + use<'a, 'n> {
        self.0.iter().filter(move |header| header.name == *name).map(|header| &header.value)
    }

    /// Is there an entry of that name?
    pub fn contains(&self, name: &Name) -> bool {
        self.find(name).is_some()
    }

    /// Adds an entry at the end. The value is taken as one: it is not split at commas.
    pub fn push(&mut self, name: impl Into<Name>, value: impl Into<Value>) {
        self.0.push(Header { name: name.into(), value: value.into() });
    }

    /// Adds an entry before all others.
    pub fn prepend(&mut self, name: impl Into<Name>, value: impl Into<Value>) {
        self.0.insert(0, Header { name: name.into(), value: value.into() });
    }

    /// Replaces all entries of that name by one, which takes the place of the first.
    pub fn set(&mut self, name: impl Into<Name>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter().position(|header| header.name == name) {
            Some(index) => {
                if let Some(header) = self.0.get_mut(index) {
                    header.value = value;
                }
                let mut place = 0;
                self.0.retain(|header| {
                    place += 1;
                    place <= index + 1 || header.name != name
                });
            }
            None => self.0.push(Header { name, value }),
        }
    }

    /// Removes all entries of that name; tells how many there were.
    pub fn remove(&mut self, name: &Name) -> usize {
        let before = self.0.len();
        self.0.retain(|header| header.name != *name);
        before - self.0.len()
    }

    /// Removes the first entry of that name and hands it out: the top Via, the first Route.
    pub fn remove_first(&mut self, name: &Name) -> Option<Value> {
        let index = self.0.iter().position(|header| header.name == *name)?;
        Some(self.0.remove(index).value)
    }

    /// Replaces the first entry of that name only: the top Via after `received` was noted.
    pub fn set_first(&mut self, name: impl Into<Name>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|header| header.name == name) {
            Some(header) => header.value = value,
            None => self.0.push(Header { name, value }),
        }
    }

    /// Copies all entries of that name from `other`, octets and order kept.
    pub fn copy(&mut self, other: &Headers, name: &Name) {
        self.0.extend(other.0.iter().filter(|header| header.name == *name).cloned());
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromIterator<Header> for Headers {
    fn from_iter<T: IntoIterator<Item = Header>>(headers: T) -> Self {
        Self(headers.into_iter().collect())
    }
}

impl Extend<Header> for Headers {
    fn extend<T: IntoIterator<Item = Header>>(&mut self, headers: T) {
        self.0.extend(headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_names_are_compared_without_case() {
        let mut headers = Headers::new();
        headers.push("v", "one");
        headers.push("X-Mine", "a");
        headers.push(Name::Via, "two");
        headers.prepend(Name::Via, "zero");
        assert_eq!(headers.all(&Name::Via).collect::<Vec<_>>(), ["zero", "one", "two"]);
        assert_eq!(headers.get(&"x-mine".into()), Some("a"));
        headers.set("x-mine", "b");
        headers.set_first(Name::Via, "top");
        assert_eq!(headers.remove_first(&Name::Via).unwrap().as_str(), "top");
        headers.set(Name::Via, "only");
        assert_eq!(headers.iter().map(|header| header.value.as_str()).collect::<Vec<_>>(), ["only", "b"]);
        assert_eq!(headers.remove(&Name::Via), 1);
        assert_eq!(headers.len(), 1);
    }
}
