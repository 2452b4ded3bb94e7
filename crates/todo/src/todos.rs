use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};

use crate::identity::Person;

/// How many todos one person may have, so that a loop somewhere does not fill the disk.
pub(crate) const TODOS_MAX: i64 = 1_000;

/// One entry of somebody's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Todo {
    /// Its number in the list of its owner; never used again after a deletion.
    pub number: i64,
    /// What is to be done.
    pub title: String,
    /// Whether it is done.
    pub done: bool,
    /// When it was added, in Unix milliseconds.
    pub added_at: i64,
}

/// Everybody's todos, in SQLite.
#[derive(Debug, Clone)]
pub(crate) struct Todos {
    pool: SqlitePool,
}

/// What came of adding one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    New(Todo),
    ListIsFull,
}

const SCHEMA: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS people (
        subject TEXT PRIMARY KEY,
        last_number INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS todos (
        subject TEXT NOT NULL REFERENCES people (subject),
        number INTEGER NOT NULL,
        title TEXT NOT NULL,
        added_at INTEGER NOT NULL,
        done_at INTEGER,
        PRIMARY KEY (subject, number)
    ) STRICT, WITHOUT ROWID",
];

impl Todos {
    pub(crate) async fn open(file: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .connect_with(options)
            .await?;
        for statement in SCHEMA {
            sqlx::query(statement).execute(&pool).await?;
        }
        Ok(Self { pool })
    }

    /// The todos of `person`, oldest first; only the done or the open ones when `done` says so.
    pub(crate) async fn list(
        &self,
        person: &Person,
        done: Option<bool>,
    ) -> Result<Vec<Todo>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT number, title, added_at, done_at FROM todos
             WHERE subject = $1 AND ($2 IS NULL OR $2 = (done_at IS NOT NULL))
             ORDER BY number",
        )
        .bind(person.subject())
        .bind(done)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    pub(crate) async fn find(
        &self,
        person: &Person,
        number: i64,
    ) -> Result<Option<Todo>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT number, title, added_at, done_at FROM todos WHERE subject = $1 AND number = $2",
        )
        .bind(person.subject())
        .bind(number)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(read).transpose()
    }

    pub(crate) async fn add(&self, person: &Person, title: &str) -> Result<Added, sqlx::Error> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let count = sqlx::query("SELECT count(*) FROM todos WHERE subject = $1")
            .bind(person.subject())
            .fetch_one(&mut *transaction)
            .await?;
        if count.try_get::<i64, _>(0)? >= TODOS_MAX {
            return Ok(Added::ListIsFull);
        }
        let number = sqlx::query(
            "INSERT INTO people (subject, last_number) VALUES ($1, 1)
             ON CONFLICT (subject) DO UPDATE SET last_number = last_number + 1
             RETURNING last_number",
        )
        .bind(person.subject())
        .fetch_one(&mut *transaction)
        .await?
        .try_get::<i64, _>(0)?;
        let row = sqlx::query(
            "INSERT INTO todos (subject, number, title, added_at)
             VALUES ($1, $2, $3, CAST(unixepoch('subsec') * 1000 AS INTEGER))
             RETURNING number, title, added_at, done_at",
        )
        .bind(person.subject())
        .bind(number)
        .bind(title)
        .fetch_one(&mut *transaction)
        .await?;
        let todo = read(&row)?;
        transaction.commit().await?;
        Ok(Added::New(todo))
    }

    /// Marks it as done; once more changes nothing.
    pub(crate) async fn complete(
        &self,
        person: &Person,
        number: i64,
    ) -> Result<Option<Todo>, sqlx::Error> {
        let row = sqlx::query(
            "UPDATE todos
             SET done_at = coalesce(done_at, CAST(unixepoch('subsec') * 1000 AS INTEGER))
             WHERE subject = $1 AND number = $2
             RETURNING number, title, added_at, done_at",
        )
        .bind(person.subject())
        .bind(number)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Deletes it and gives back what it was.
    pub(crate) async fn delete(
        &self,
        person: &Person,
        number: i64,
    ) -> Result<Option<Todo>, sqlx::Error> {
        let row = sqlx::query(
            "DELETE FROM todos WHERE subject = $1 AND number = $2
             RETURNING number, title, added_at, done_at",
        )
        .bind(person.subject())
        .bind(number)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(read).transpose()
    }
}

fn read(row: &SqliteRow) -> Result<Todo, sqlx::Error> {
    Ok(Todo {
        number: row.try_get("number")?,
        title: row.try_get("title")?,
        done: row.try_get::<Option<i64>, _>("done_at")?.is_some(),
        added_at: row.try_get("added_at")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    async fn open() -> (tempfile::TempDir, Todos) {
        let directory = tempfile::tempdir().unwrap();
        let todos = Todos::open(&directory.path().join("todo.sqlite"))
            .await
            .unwrap();
        (directory, todos)
    }

    async fn add(todos: &Todos, person: &Person, title: &str) -> Todo {
        match todos.add(person, title).await.unwrap() {
            Added::New(todo) => todo,
            Added::ListIsFull => panic!("the list is full"),
        }
    }

    #[tokio::test]
    async fn each_person_has_a_list_and_sees_no_other() {
        let (_directory, todos) = open().await;
        let (alice, bob) = (Person::for_test("usr_alice"), Person::for_test("usr_bob"));
        let milk = add(&todos, &alice, "milk").await;
        assert_eq!(
            todos.list(&alice, None).await.unwrap(),
            std::slice::from_ref(&milk)
        );
        assert_eq!(todos.list(&bob, None).await.unwrap(), []);
        assert_eq!(todos.find(&bob, milk.number).await.unwrap(), None);
        assert_eq!(todos.complete(&bob, milk.number).await.unwrap(), None);
        assert_eq!(todos.delete(&bob, milk.number).await.unwrap(), None);
        assert_eq!(todos.find(&alice, milk.number).await.unwrap(), Some(milk));
    }

    #[tokio::test]
    async fn a_number_is_not_used_again_and_survives_a_restart() {
        let (directory, todos) = open().await;
        let alice = Person::for_test("usr_alice");
        assert_eq!(add(&todos, &alice, "one").await.number, 1);
        assert_eq!(add(&todos, &alice, "two").await.number, 2);
        todos.delete(&alice, 2).await.unwrap().unwrap();
        todos.pool.close().await;
        let todos = Todos::open(&directory.path().join("todo.sqlite"))
            .await
            .unwrap();
        assert_eq!(add(&todos, &alice, "three").await.number, 3);
        assert!(todos.complete(&alice, 1).await.unwrap().unwrap().done);
        assert!(todos.complete(&alice, 1).await.unwrap().unwrap().done);
        let titles = |list: Vec<Todo>| list.into_iter().map(|todo| todo.title).collect::<Vec<_>>();
        assert_eq!(
            titles(todos.list(&alice, Some(true)).await.unwrap()),
            ["one"]
        );
        assert_eq!(
            titles(todos.list(&alice, Some(false)).await.unwrap()),
            ["three"]
        );
        assert_eq!(
            titles(todos.list(&alice, None).await.unwrap()),
            ["one", "three"]
        );
    }

    #[tokio::test]
    async fn a_list_holds_a_thousand_and_another_persons_list_is_not_touched_by_it() {
        let (_directory, todos) = open().await;
        let (alice, bob) = (Person::for_test("usr_alice"), Person::for_test("usr_bob"));
        let first = add(&todos, &alice, "first").await;
        // 998 rows in one statement; a thousand durable commits would only test the disk.
        sqlx::query(
            "WITH RECURSIVE n(n) AS (VALUES (2) UNION ALL SELECT n + 1 FROM n WHERE n < 999)
             INSERT INTO todos (subject, number, title, added_at) SELECT 'usr_alice', n + 1000, 'x', 0 FROM n",
        )
        .execute(&todos.pool)
        .await
        .unwrap();
        add(&todos, &alice, "the thousandth").await;
        assert_eq!(
            todos.add(&alice, "one too many").await.unwrap(),
            Added::ListIsFull
        );
        add(&todos, &bob, "mine").await;
        todos.delete(&alice, first.number).await.unwrap().unwrap();
        add(&todos, &alice, "fits again").await;
    }
}
