//! `synod paxos node`: one node, until a signal or a failure stops it.

use std::sync::Arc;

use synod_engine::NodeId;
use synod_paxos::basic::{Paxos, Request, Value};
use synod_runtime::solo::{self, Node};
use synod_runtime::{StartError, StopReason};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::console::{Answer, Conversation, Question, Status};
use super::onlooker::{Audience, Onlooker};
use super::seen::What;
use super::{Group, NodeArgs};
use crate::cli::LogFormat;
use crate::commands::block_on;
use crate::commands::node::{asked_to_stop, die_with, start_logging};
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, tell};

/// How many commands may talk to a node at a time; others wait.
const MAX_CONVERSATIONS: usize = 64;

pub(super) fn run(args: &NodeArgs, log_format: LogFormat) -> Result<Exit> {
    if let Some(parent) = args.parent {
        die_with(parent)?;
    }
    start_logging(log_format);
    block_on(live(args)).map_err(|failure| failure.in_json(args.show.json))
}

async fn live(args: &NodeArgs) -> Result<Exit> {
    let group = Group::of(&args.peers)?;
    let address = group.address(args.id)?;
    let engine = group.config(args.id, args.show.learning);
    engine.check().map_err(Failure::usage)?;
    let console = TcpListener::bind(address).await.map_err(|error| {
        let what = format!("cannot listen on {address} for commands: {error}; nothing was changed");
        Failure::new(Exit::Address, what)
    })?;
    let id = Group::id(&engine);
    let config = solo::Config::new(NodeId(args.id), id, &args.dir, address, group.addresses);
    let audience = Arc::new(Audience::default());
    let mut seen = audience.listen();
    let onlooker = Onlooker::new(args.id, audience.clone());
    let node = solo::start::<Paxos, _>(&config, |_| engine, onlooker).map_err(|error| {
        let exit = match &error {
            StartError::Listen { .. } => Exit::Address,
            _ => Exit::Data,
        };
        Failure::new(exit, error)
    })?;
    let node = Arc::new(node);
    tracing::info!(node = args.id, pid = std::process::id(), %address, "serving");
    let (json, mut since) = (args.show.json, args.since_us);
    let showing = tokio::spawn(async move {
        while let Some(seen) = seen.recv().await {
            let since = *since.get_or_insert(seen.at_us);
            if json { tell(&seen.json()) } else { say!("{}", seen.line(since)) }
        }
    });
    let serving = tokio::spawn(serve(console, node.clone(), audience));
    let reason = tokio::select! {
        signal = asked_to_stop() => {
            signal?;
            node.shutdown().await
        }
        reason = node.stopped() => reason,
    };
    serving.abort();
    showing.abort();
    match reason {
        StopReason::Shutdown => Ok(Exit::Done),
        StopReason::Damaged(what) | StopReason::Fatal(what) => {
            let what = format!("{what}; the node stopped; nothing that was acknowledged is lost");
            Err(Failure::new(Exit::Fatal, what))
        }
    }
}

/// Talks to whoever comes.
async fn serve(console: TcpListener, node: Arc<Node<Paxos>>, audience: Arc<Audience>) {
    let places = Arc::new(Semaphore::new(MAX_CONVERSATIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match console.accept().await {
            Ok((stream, _)) => {
                let (node, audience) = (node.clone(), audience.clone());
                tokio::spawn(async move {
                    // Whoever asked has gone.
                    converse(stream, &node, &audience).await.ok();
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("a command was not let in: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    node: &Node<Paxos>,
    audience: &Audience,
) -> std::io::Result<()> {
    let mut conversation = Conversation::on(stream);
    match conversation.question().await? {
        Ok(Question::Propose(value)) => propose(conversation, node, audience, value).await,
        Ok(Question::Status) => {
            let answer = match audience.view() {
                Some(view) => Answer::Status(Status {
                    words: view.to_string(),
                    chosen: view.chosen,
                    promised: view.promised,
                    accepted: view.accepted,
                }),
                None => Answer::Refused("the node starts; ask again".into()),
            };
            conversation.say(&answer).await
        }
        Err(why) => conversation.say(&Answer::Refused(why)).await,
    }
}

/// Gets a value chosen, and tells all that the node sees meanwhile.
async fn propose(
    mut conversation: Conversation,
    node: &Node<Paxos>,
    audience: &Audience,
    value: Value,
) -> std::io::Result<()> {
    let token = audience.token();
    let mut listener = audience.listen();
    if let Err(busy) = node.request(token, Request::Propose(value)) {
        return conversation.say(&Answer::Refused(busy.to_string())).await;
    }
    let answer = loop {
        let seen = tokio::select! {
            seen = listener.recv() => seen,
            () = conversation.gone() => break None,
        };
        let Some(seen) = seen else {
            break Some(Answer::Refused("the node saw more than could be told; ask again".into()));
        };
        let last = match &seen.what {
            What::Chosen { value, own } if own.contains(&token.0) => {
                Some(Answer::Chosen(value.clone()))
            }
            What::Refused { token: refused, why } if *refused == token.0 => {
                Some(Answer::Refused(why.clone()))
            }
            _ => None,
        };
        conversation.say(&Answer::Seen(seen)).await?;
        if last.is_some() {
            break last;
        }
    };
    match answer {
        Some(answer) => conversation.say(&answer).await,
        // Nobody waits any more; the value may be chosen all the same. A node that is that busy keeps the
        // request in its place, which does no harm.
        None => {
            node.cancel(token).ok();
            Ok(())
        }
    }
}
