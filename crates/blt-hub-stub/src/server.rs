//! Two ports, a thread a connection.

use std::io::{self, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::fault::{Fault, Port, What};
use crate::message::{Request, Response};
use crate::routes;
use crate::world::World;

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub port: Port,
    /// `GET`, `HEAD` or `POST`.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The status of the answer.
    pub status: u16,
}

/// A running stub. It stops when it is dropped.
#[derive(Debug)]
pub struct Stub {
    shared: Arc<Shared>,
    listeners: Vec<(SocketAddr, Option<JoinHandle<()>>)>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) world: Mutex<World>,
    /// Addresses of the hub and of the storage.
    pub(crate) hub: String,
    pub(crate) storage: String,
    faults: Mutex<Vec<Fault>>,
    seen: Mutex<Vec<Seen>>,
    is_over: AtomicBool,
}

impl Stub {
    /// Serves `world` on two free ports.
    ///
    /// # Errors
    ///
    /// Fails when there are none.
    pub fn start(world: World) -> io::Result<Self> {
        Self::start_on(world, 0, 0)
    }

    /// Serves `world` on these ports; 0 for a free one.
    ///
    /// # Errors
    ///
    /// Fails when a port is taken.
    pub fn start_on(world: World, hub: u16, storage: u16) -> io::Result<Self> {
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let (hub, storage) = (bind(hub)?, bind(storage)?);
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            hub: format!("http://{}", hub.local_addr()?),
            storage: format!("http://{}", storage.local_addr()?),
            faults: Mutex::default(),
            seen: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let mut listeners = Vec::new();
        for (listener, port) in [(hub, Port::Hub), (storage, Port::Storage)] {
            let address = listener.local_addr()?;
            let shared = Arc::clone(&shared);
            listeners.push((address, Some(thread::spawn(move || accept(&listener, port, &shared)))));
        }
        Ok(Self { shared, listeners })
    }

    /// The hub's address, for `HF_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        &self.shared.hub
    }

    /// The storage's address.
    pub fn storage(&self) -> &str {
        &self.shared.storage
    }

    /// From now on this goes wrong, too.
    pub fn fail(&self, fault: Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// From now on all goes well.
    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        lock(&self.shared.seen).clear();
    }

    /// Changes what is served.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut lock(&self.shared.world));
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        for (_, thread) in &mut self.listeners {
            let _ = thread.take().map(JoinHandle::join);
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for (address, thread) in &mut self.listeners {
            let Some(thread) = thread.take() else { continue };
            let _ = TcpStream::connect(*address); // wakes it
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, port: Port, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // That the other side went away is no concern of the stub's.
            let _ = serve(stream, port, &shared);
        });
    }
}

fn serve(mut stream: TcpStream, port: Port, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        if shared.is_over.load(Ordering::SeqCst) {
            return Ok(());
        }
        let (path, _) = request.path();
        let faults: Vec<What> = lock(&shared.faults)
            .iter_mut()
            .filter_map(|fault| fault.strikes(port, &request.method, &path).then(|| fault.what.clone()))
            .collect();
        let response = answer(&request, port, shared, &faults);
        let header = |name: &str| request.header(name).map(str::to_owned);
        lock(&shared.seen).push(Seen {
            port,
            method: request.method.clone(),
            target: request.target.clone(),
            range: header("range"),
            authorization: header("authorization"),
            status: response.status,
        });
        if faults.iter().any(|fault| matches!(fault, What::Close)) {
            return Ok(());
        }
        if !response.write(&mut stream, request.method == "HEAD", &faults)? {
            return stream.shutdown(std::net::Shutdown::Both);
        }
    }
    Ok(())
}

fn answer(request: &Request, port: Port, shared: &Shared, faults: &[What]) -> Response {
    for fault in faults {
        match fault {
            What::Status(status, retry_after) => {
                let mut response = Response::new(*status, "<Error><Code>AccessDenied</Code></Error>");
                if let Some(seconds) = retry_after {
                    response = response.header("Retry-After", seconds.to_string());
                }
                return response;
            }
            What::Redirect(location) => return Response::new(302, "").header("Location", location.clone()),
            _ => {}
        }
    }
    let mut response = match port {
        Port::Hub => routes::hub(request, shared, faults),
        Port::Storage => routes::storage(request, shared, faults),
    };
    for fault in faults {
        match fault {
            What::Etag(etag) => response.set("ETag", format!("\"{etag}\"")),
            What::LinkedEtag(etag) => response.set("X-Linked-Etag", format!("\"{etag}\"")),
            _ => {}
        }
    }
    response
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
