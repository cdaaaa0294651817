//! `blt-hub-stub DIR [HUB_PORT [STORAGE_PORT]]`: serves `DIR/{models,datasets}/OWNER/NAME[@REVISION]/...` and prints the address for
//! `HF_ENDPOINT`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use blt_hub_stub::{Stub, World};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

fn serve() -> io::Result<()> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "usage: blt-hub-stub DIR [HUB_PORT [STORAGE_PORT]]");
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let (folder, ports) = arguments.split_first().filter(|(_, ports)| ports.len() <= 2).ok_or_else(wrong)?;
    let port = |index: usize| match ports.get(index) {
        Some(port) => port.to_str().and_then(|port| port.parse().ok()).ok_or_else(wrong),
        None => Ok(0),
    };
    let stub = Stub::start_on(World::from_folder(&PathBuf::from(folder))?, port(0)?, port(1)?)?;
    writeln!(io::stdout(), "{}", stub.endpoint())?;
    io::stdout().flush()?;
    stub.wait();
    Ok(())
}
