//! What may be asked.

use std::fmt;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use sqlparser::ast::{Statement, TableFactor, Visit, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError, ParserOptions};
use sqlparser::tokenizer::Token;

use crate::error::QueryError;

/// What is asked of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// The rows for which an SQL expression is true, in their order.
    Filter(String),
    /// The rows that a `SELECT` gives; the table is called `self`.
    Sql(String),
}

/// `WHERE` and the expression, or the `SELECT`, as they were written.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(expression) => write!(f, "WHERE {expression}"),
            Self::Sql(select) => f.write_str(select),
        }
    }
}

impl Query {
    /// As one `SELECT` that reads the table alone.
    pub(crate) fn select(&self) -> Result<String, QueryError> {
        let select = match self {
            Self::Filter(expression) => {
                let mut parser = parser(expression)?;
                parser.parse_expr().map_err(syntax)?;
                let rest = parser.peek_token().token;
                if rest != Token::EOF {
                    return Err(QueryError::Syntax(format!("`{rest}` follows where the expression ends")));
                }
                // On lines of its own, so that a comment at its end hides nothing.
                format!("SELECT * FROM self WHERE (\n{expression}\n)")
            }
            Self::Sql(text) => text.clone(),
        };
        let statements = parser(&select)?.parse_statements().map_err(syntax)?;
        let [Statement::Query(query)] = &statements[..] else {
            return Err(QueryError::Syntax("it is not one `SELECT`".to_owned()));
        };
        match query.visit(&mut Functions) {
            ControlFlow::Continue(()) => Ok(select),
            ControlFlow::Break(function) => Err(QueryError::OtherFiles(function)),
        }
    }
}

/// Finds what Polars takes for a table besides those it was given: `read_csv('path')` and the like.
struct Functions;

impl Visitor for Functions {
    type Break = String;

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Table { args: None, .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. } => ControlFlow::Continue(()),
            other => ControlFlow::Break(other.to_string()),
        }
    }
}

/// The parser as Polars uses it.
fn parser(text: &str) -> Result<Parser<'static>, QueryError> {
    let options = ParserOptions { trailing_commas: true, ..ParserOptions::default() };
    Parser::new(&GenericDialect).with_options(options).try_with_sql(text).map_err(syntax)
}

fn syntax(error: ParserError) -> QueryError {
    let (ParserError::TokenizerError(why) | ParserError::ParserError(why)) = error else {
        return QueryError::Syntax("it is nested too deeply".to_owned());
    };
    QueryError::Syntax(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &Query) -> String {
        query.select().unwrap_err().to_string()
    }

    #[test]
    fn a_filter_is_one_expression() {
        let filter = |text: &str| Query::Filter(text.to_owned());
        let select = filter("score > 3 -- only good ones").select().unwrap();
        assert_eq!(select, "SELECT * FROM self WHERE (\nscore > 3 -- only good ones\n)");
        for text in ["", "score >", "score > 3 LIMIT 2", "a) OR (b", "a; DROP TABLE self", "'open"] {
            assert!(refused(&filter(text)).starts_with("it is not understood"), "{text}");
        }
    }

    #[test]
    fn a_query_is_one_select() {
        let sql = |text: &str| Query::Sql(text.to_owned());
        assert!(sql("WITH a AS (SELECT * FROM self) SELECT * FROM a JOIN self USING (id)").select().is_ok());
        for text in ["", "DROP TABLE self", "SHOW TABLES", "SELECT 1; SELECT 2", "DELETE FROM self", "SELEC 1"] {
            assert!(refused(&sql(text)).starts_with("it is not understood"), "{text}");
        }
        assert!(refused(&sql(&format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500)))).contains("too deeply"));
    }

    #[test]
    fn no_query_reads_other_files() {
        for text in [
            "SELECT * FROM read_csv('/etc/passwd')",
            "SELECT * FROM self WHERE id IN (SELECT id FROM read_parquet('a.parquet'))",
            "WITH a AS (SELECT * FROM READ_IPC('a')) SELECT * FROM a",
            "SELECT * FROM (SELECT * FROM read_json('a') AS b) AS c",
        ] {
            assert!(refused(&Query::Sql(text.to_owned())).contains("reads files"), "{text}");
        }
        let filter = Query::Filter("id IN (SELECT id FROM read_csv('a.csv'))".to_owned());
        assert!(refused(&filter).contains("read_csv('a.csv')"));
    }
}
