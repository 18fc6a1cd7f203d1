//! What an operator asks of a whole group, who belongs to it and who leads, and of one node, how it is and
//! what it holds.
//!
//! Only the leader can do it; whoever else is asked says who leads. A change that is made already is
//! refused as unchanged, so asking again does no harm.

use synod_consensus::Refusal;
use synod_kv::message::{Answer, Query, Revision};
use synod_kv::wire::{
    FromServer, NodeReport, Operation, Outcome, write_operation, write_stale, write_status,
};
use tokio::time::timeout;

use crate::connection::{Connection, OpenError};
use crate::options::Options;

/// How an operation ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Operated {
    /// It took effect.
    Done,
    /// It did not take effect and never will.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Where clients find the leader, if this server is not it and knows.
        leader: Option<String>,
    },
    /// It may or may not take effect.
    Unknown,
}

/// How the node at `address` is, whoever leads.
///
/// # Errors
/// [`OpenError`] if it cannot be reached or does not answer in time.
pub async fn status_of(address: &str, options: &Options) -> Result<NodeReport, OpenError> {
    match ask(address, options, |out| write_status(0, out)).await? {
        Outcome::Status(report) => Ok(report),
        _ => Err(OpenError::NoWelcome),
    }
}

/// What the node at `address`, and no other, answers from what it has applied; `None` if it has not come
/// as far as revision `at_least`.
///
/// # Errors
/// [`OpenError`] if it cannot be reached or does not answer in time.
pub async fn look(
    address: &str,
    query: &Query,
    at_least: Revision,
    options: &Options,
) -> Result<Option<Answer>, OpenError> {
    match ask(address, options, |out| write_stale(0, query, at_least, out)).await? {
        Outcome::Read(answer) => Ok(Some(answer)),
        Outcome::Behind { .. } => Ok(None),
        _ => Err(OpenError::NoWelcome),
    }
}

/// Asks the node at `address` to operate on its group.
///
/// # Errors
/// [`OpenError`] if it cannot be reached, or does not answer in time: the operation may or may not
/// have taken effect.
pub async fn operate(
    address: &str,
    operation: &Operation,
    options: &Options,
) -> Result<Operated, OpenError> {
    match ask(address, options, |out| write_operation(0, operation, out)).await? {
        Outcome::Operated => Ok(Operated::Done),
        Outcome::Refused { refusal, leader } => {
            let leader = leader.and_then(|leader| leader.address);
            Ok(Operated::Refused { refusal, leader })
        }
        Outcome::Unknown => Ok(Operated::Unknown),
        _ => Err(OpenError::NoWelcome),
    }
}

/// Asks one thing over a connection of its own.
async fn ask(
    address: &str,
    options: &Options,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<Outcome, OpenError> {
    let mut connection = Connection::open(address.to_owned(), options).await?;
    connection.write(write);
    connection.flush()?;
    let answer = async {
        loop {
            match connection.read()? {
                Some(FromServer::Reply(reply)) => return Ok(reply.outcome),
                Some(FromServer::Goodbye(goodbye)) => return Err(OpenError::Goodbye(goodbye)),
                Some(FromServer::Members(_)) => {}
                Some(FromServer::Welcome(_) | FromServer::Told(..) | FromServer::Progress(_)) => {
                    return Err(OpenError::NoWelcome);
                }
                None => connection.progress().await?,
            }
        }
    };
    timeout(options.timeout(), answer).await.unwrap_or(Err(OpenError::Timeout))
}
