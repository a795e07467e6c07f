//! The interfaces' functions, in both versions.

use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::{Connection, QueryResult, Sqlite, SqliteState, v2, v3};

impl v3::Host for SqliteState {}

impl v3::HostConnection for SqliteState {
    async fn open(&mut self, database: String) -> Result<Resource<Connection>, v3::Error> {
        SqliteState::open(self, &database)
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<v3::Value>,
    ) -> Result<v3::QueryResult, v3::Error> {
        let connection = self.connection(&connection)?;
        let QueryResult { columns, rows, .. } = connection.execute(statement, parameters).await?;
        Ok(v3::QueryResult { columns, rows })
    }

    async fn last_insert_rowid(&mut self, connection: Resource<Connection>) -> i64 {
        match self.connection(&connection) {
            Ok(connection) => connection.last_insert_rowid().await,
            Err(_) => 0,
        }
    }

    async fn changes(&mut self, connection: Resource<Connection>) -> u64 {
        match self.connection(&connection) {
            Ok(connection) => connection.changes().await,
            Err(_) => 0,
        }
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.close(connection);
        Ok(())
    }
}

/// The columns, the rows as a stream, and how the stream ended.
type RowStream = (
    Vec<String>,
    StreamReader<v3::RowResult>,
    FutureReader<Result<(), v3::Error>>,
);

impl<T: Send> v3::HostConnectionWithStore<T> for Sqlite {
    async fn open_async(
        accessor: &Accessor<T, Self>,
        database: String,
    ) -> Result<Resource<Connection>, v3::Error> {
        accessor.with(|mut access| access.get().open(&database))
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<v3::Value>,
    ) -> Result<RowStream, v3::Error> {
        let (connection, unread) = accessor.with(|mut access| {
            let state = access.get();
            let connection = state.connection(&connection)?;
            Ok::<_, v3::Error>((connection, state.unread.clone()))
        })?;
        // The statement is finished before the guest sees the first row, so that a guest which reads slowly, or never,
        // holds no lock.
        let result = connection.execute(statement, parameters).await?;
        let columns = result.columns;
        let rows = unread
            .keep(result.rows, result.bytes)
            .ok_or_else(|| v3::Error::Io("too many rows are left unread".to_owned()))?;
        accessor
            .with(|mut access| {
                let rows = StreamReader::new(&mut access, rows)?;
                let end = FutureReader::new(&mut access, async {
                    wasmtime::error::Ok(Ok::<(), v3::Error>(()))
                })?;
                wasmtime::error::Ok((columns, rows, end))
            })
            .map_err(|error| v3::Error::Io(error.to_string()))
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
    ) -> i64 {
        match accessor.with(|mut access| access.get().connection(&connection)) {
            Ok(connection) => connection.last_insert_rowid().await,
            Err(_) => 0,
        }
    }

    async fn changes_async(accessor: &Accessor<T, Self>, connection: Resource<Connection>) -> u64 {
        match accessor.with(|mut access| access.get().connection(&connection)) {
            Ok(connection) => connection.changes().await,
            Err(_) => 0,
        }
    }
}

impl v2::Host for SqliteState {}

impl v2::HostConnection for SqliteState {
    async fn open(&mut self, database: String) -> Result<Resource<Connection>, v2::Error> {
        SqliteState::open(self, &database).map_err(to_v2_error)
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        parameters: Vec<v2::Value>,
    ) -> Result<v2::QueryResult, v2::Error> {
        let connection = self.connection(&connection).map_err(to_v2_error)?;
        let parameters = parameters.into_iter().map(from_v2_value).collect();
        match connection.execute(statement, parameters).await {
            Ok(result) => Ok(to_v2_result(result)),
            Err(failure) => Err(to_v2_error(failure.into())),
        }
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.close(connection);
        Ok(())
    }
}

fn to_v2_error(error: v3::Error) -> v2::Error {
    match error {
        v3::Error::NoSuchDatabase => v2::Error::NoSuchDatabase,
        v3::Error::AccessDenied => v2::Error::AccessDenied,
        v3::Error::InvalidConnection => v2::Error::InvalidConnection,
        v3::Error::DatabaseFull => v2::Error::DatabaseFull,
        v3::Error::Io(text) => v2::Error::Io(text),
    }
}

fn to_v2_result(result: QueryResult) -> v2::QueryResult {
    let rows = result.rows.into_iter().map(|row| v2::RowResult {
        values: row.values.into_iter().map(to_v2_value).collect(),
    });
    v2::QueryResult {
        columns: result.columns,
        rows: rows.collect(),
    }
}

fn to_v2_value(value: v3::Value) -> v2::Value {
    match value {
        v3::Value::Integer(value) => v2::Value::Integer(value),
        v3::Value::Real(value) => v2::Value::Real(value),
        v3::Value::Text(value) => v2::Value::Text(value),
        v3::Value::Blob(value) => v2::Value::Blob(value),
        v3::Value::Null => v2::Value::Null,
    }
}

fn from_v2_value(value: v2::Value) -> v3::Value {
    match value {
        v2::Value::Integer(value) => v3::Value::Integer(value),
        v2::Value::Real(value) => v3::Value::Real(value),
        v2::Value::Text(value) => v3::Value::Text(value),
        v2::Value::Blob(value) => v3::Value::Blob(value),
        v2::Value::Null => v3::Value::Null,
    }
}
