//! Writes, reads and compares a key of a running cluster.
//!
//! `synod up` in one terminal; in another, with an address that it printed:
//! `cargo run -p synod-clerk --example first_steps 127.0.0.1:7101`

use std::error::Error;

use synod_clerk::{Clerk, Expect, Options, Swap, WriteError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let addresses: Vec<String> = std::env::args().skip(1).collect();
    let clerk = Clerk::connect(addresses, Options::default()).await?;

    let revision = clerk.put("colour", "green").await?;
    println!("put at revision {revision}");

    let entry = clerk.get("colour").await?.ok_or("somebody deleted it")?;
    println!("it is {:?}, changed {} times", entry.value, entry.version);

    match clerk.cas("colour", Expect::Revision(revision), "blue").await {
        Ok(Swap::Stored { revision }) => println!("swapped at revision {revision}"),
        Ok(Swap::Differs { .. }) => println!("somebody changed it meanwhile; nothing changed"),
        Err(WriteError::NotDone(why)) => println!("nothing changed: {why}"),
        Err(WriteError::Unknown(why)) => println!("read it to find out: {why}"),
    }
    clerk.close().await;
    Ok(())
}
