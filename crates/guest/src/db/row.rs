//! Rows as types.

use super::{DbError, FromValue, Value};

/// One row of an answer.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl<'a> Row<'a> {
    pub(crate) fn new(columns: &'a [String], values: &'a [Value]) -> Self {
        Self { columns, values }
    }

    /// A column by name.
    ///
    /// # Errors
    /// [`DbError::Column`] when it is missing or of another type.
    pub fn get<T: FromValue>(&self, name: &str) -> Result<T, DbError> {
        self.columns
            .iter()
            .position(|column| column == name)
            .and_then(|index| self.values.get(index))
            .and_then(T::from_value)
            .ok_or_else(|| DbError::Column(name.to_owned()))
    }

    fn at<T: FromValue>(&self, index: usize) -> Result<T, DbError> {
        self.values
            .get(index)
            .and_then(T::from_value)
            .ok_or_else(|| DbError::Column(format!("number {index}")))
    }
}

/// A type that a row can be read as. [`row!`](crate::row) writes it for structs; tuples take the
/// columns in order.
pub trait FromRow: Sized {
    /// Reads the row.
    ///
    /// # Errors
    /// [`DbError::Column`].
    fn from_row(row: Row<'_>) -> Result<Self, DbError>;
}

macro_rules! tuples {
    ($(($($type:ident $index:literal),*)),*) => {$(
        impl<$($type: FromValue),*> FromRow for ($($type,)*) {
            fn from_row(row: Row<'_>) -> Result<Self, DbError> {
                Ok(($(row.at::<$type>($index)?,)*))
            }
        }
    )*};
}

tuples!(
    (A 0),
    (A 0, B 1),
    (A 0, B 1, C 2),
    (A 0, B 1, C 2, D 3)
);

/// A struct whose fields are columns of the same names.
#[macro_export]
macro_rules! row {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: $type:ty),* $(,)?
    }) => {
        $(#[$meta])*
        $visibility struct $name {
            $($(#[$field_meta])* $field_visibility $field: $type),*
        }

        impl $crate::db::FromRow for $name {
            fn from_row(
                row: $crate::db::Row<'_>,
            ) -> ::std::result::Result<Self, $crate::db::DbError> {
                Ok(Self { $($field: row.get(stringify!($field))?),* })
            }
        }
    };
}
