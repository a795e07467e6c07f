//! The conditions of a query that depend on what is asked.
//!
//! `(?1 IS NULL OR x = ?1)` is shorter, and keeps the database from choosing an index by `x`.

use super::{Db, DbError, FromRow, Value};
use crate::Paging;

/// A `WHERE` clause with its parameters.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    text: String,
    parameters: Vec<Value>,
}

impl Conditions {
    /// No condition yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition. Each `?` in it stands for the next of `values`.
    pub fn and(&mut self, condition: &'static str, values: &[Value]) {
        self.push(condition, values);
    }

    /// The same for what a function of ours puts together.
    pub(crate) fn push(&mut self, condition: &str, values: &[Value]) {
        self.text.push_str(if self.text.is_empty() {
            "WHERE "
        } else {
            " AND "
        });
        let mut values = values.iter();
        for (index, piece) in condition.split('?').enumerate() {
            if index > 0 {
                let value = values.next().cloned().unwrap_or(Value::Null);
                let number = self.parameter(value);
                self.text.push_str(&number);
            }
            self.text.push_str(piece);
        }
    }

    /// Adds a parameter for elsewhere in the query, and gives its number: `?3`.
    pub fn parameter(&mut self, value: impl Into<Value>) -> String {
        self.parameters.push(value.into());
        format!("?{}", self.parameters.len())
    }

    /// One page of the rows, and how many there are on all of them. `rows` and `count` are queries up to their
    /// conditions, `order` is what `ORDER BY` says.
    ///
    /// # Errors
    /// As [`Db::query`].
    pub async fn page<T: FromRow>(
        mut self,
        db: &Db,
        rows: &str,
        count: &str,
        order: &str,
        paging: Paging,
    ) -> Result<(Vec<T>, u64), DbError> {
        let statement = format!("{count} {}", self.text);
        let (total,) = db.query_one(&statement, &self.parameters).await?;
        let limit = self.parameter(paging.limit());
        let offset = self.parameter(paging.offset());
        let statement = format!(
            "{rows} {} ORDER BY {order} LIMIT {limit} OFFSET {offset}",
            self.text
        );
        Ok((db.query(&statement, &self.parameters).await?, total))
    }

    /// `WHERE …`, or nothing.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parameters in their order.
    #[must_use]
    pub fn parameters(&self) -> &[Value] {
        &self.parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_in_the_order_they_come() {
        let mut conditions = Conditions::new();
        assert_eq!(conditions.text(), "");
        conditions.and("a = ?", &[Value::from(7_i64)]);
        conditions.and("(b, c) < (?, ?)", &[Value::from("x"), Value::Null]);
        assert_eq!(conditions.text(), "WHERE a = ?1 AND (b, c) < (?2, ?3)");
        assert_eq!(conditions.parameter(20_u64), "?4");
        assert_eq!(conditions.parameters().len(), 4);
    }
}
