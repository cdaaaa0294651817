//! The hub's addresses and what they answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::fault::What;
use crate::message::{Request, Response, decode, encode};
use crate::server::{Shared, lock};
use crate::world::{Access, Kind, StubFile, StubRepo, World, hex, is_large};

pub(crate) fn hub(request: &Request, shared: &Shared, faults: &[What]) -> Response {
    let world = lock(&shared.world);
    let (path, query) = request.path();
    if let Some(bytes) = world.pages.get(&path) {
        return Response::new(200, bytes.clone());
    }
    let raw: Vec<&str> =
        request.target.split('?').next().unwrap_or_default().trim_start_matches('/').split('/').collect();
    match &raw[..] {
        ["api", kind, owner, name, rest @ ..] => {
            let Some(kind) = Kind::from_name(kind) else { return error(404, "NotFound") };
            let asked = format!("{}/{}", decode(owner), decode(name));
            let (name, repo) = match reach(&world, request, kind, &asked) {
                Ok(found) => found,
                Err(response) => return response,
            };
            if name != asked {
                return moved(request, &asked, name);
            }
            let rest: Vec<String> = rest.iter().map(|part| decode(part)).collect();
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            api(request, query, shared, &world, (name, repo), &rest)
        }
        ["datasets", owner, name, "resolve", revision, path @ ..] => {
            resolve(request, shared, &world, faults, Kind::Datasets, (owner, name), &decode(revision), path)
        }
        [owner, name, "resolve", revision, path @ ..] => {
            resolve(request, shared, &world, faults, Kind::Models, (owner, name), &decode(revision), path)
        }
        _ => error(404, "NotFound"),
    }
}

/// Large files: `/KIND/OWNER/NAME/COMMIT/PATH`.
pub(crate) fn storage(request: &Request, shared: &Shared, faults: &[What]) -> Response {
    let world = lock(&shared.world);
    let (path, _) = request.path();
    let parts: Vec<&str> = path.trim_start_matches('/').splitn(5, '/').collect();
    let [kind, owner, name, commit, path] = parts[..] else { return error(404, "NotFound") };
    let file = Kind::from_name(kind)
        .and_then(|kind| world.find(kind, &format!("{owner}/{name}")))
        .and_then(|(_, repo)| repo.commits.get(commit)?.get(path));
    match file {
        Some(file) => content(request, file, faults, file.sha256()),
        None => error(404, "NotFound"),
    }
}

fn error(status: u16, code: &str) -> Response {
    let body = json!({ "error": code }).to_string();
    Response::new(status, body).header("X-Error-Code", code).header("X-Error-Message", code)
}

/// The repository, if it is there for who asks.
fn reach<'a>(world: &'a World, request: &Request, kind: Kind, name: &str) -> Result<(&'a str, &'a StubRepo), Response> {
    let token = token(request);
    if token.is_some_and(|token| !world.tokens.iter().any(|known| known == token)) {
        return Err(Response::new(401, "{}")); // a token that nobody knows
    }
    let hidden = || if token.is_some() { error(404, "RepoNotFound") } else { error(401, "RepoNotFound") };
    let (name, repo) = world.find(kind, name).ok_or_else(hidden)?;
    match &repo.access {
        Access::Private(members) if !is_member(members, token) => Err(hidden()),
        _ => Ok((name, repo)),
    }
}

fn token(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Bearer ")
}

fn is_member(members: &[String], token: Option<&str>) -> bool {
    token.is_some_and(|token| members.iter().any(|member| member == token))
}

/// To the same address with the repository's name in its true case.
fn moved(request: &Request, asked: &str, name: &str) -> Response {
    Response::new(307, "").header("Location", request.target.replacen(asked, name, 1))
}

/// `/api/KIND/OWNER/NAME/...`
fn api(
    request: &Request,
    query: &str,
    shared: &Shared,
    world: &World,
    (name, repo): (&str, &StubRepo),
    rest: &[&str],
) -> Response {
    let revision = match rest {
        ["revision" | "tree" | "paths-info", revision, ..] => revision,
        _ => "main",
    };
    if rest == ["refs"] {
        let is_branch = |name: &str| !name.starts_with("refs/");
        let branches =
            repo.refs.iter().filter(|(name, _)| is_branch(name)).map(
                |(name, commit)| json!({ "name": name, "ref": format!("refs/heads/{name}"), "targetCommit": commit }),
            );
        let converts = repo.refs.iter().filter_map(|(name, commit)| {
            let short = name.strip_prefix("refs/convert/")?;
            Some(json!({ "name": short, "ref": name, "targetCommit": commit }))
        });
        let refs =
            json!({ "branches": branches.collect::<Vec<_>>(), "tags": [], "converts": converts.collect::<Vec<_>>() });
        return Response::new(200, refs.to_string());
    }
    let Some((commit, files)) = repo.commit(revision) else { return error(404, "RevisionNotFound") };
    match rest {
        [] | ["revision", _] => {
            let siblings: Vec<Value> = files.keys().map(|path| json!({ "rfilename": path })).collect();
            let gated = if matches!(repo.access, Access::Gated(_)) { json!("auto") } else { json!(false) };
            let info = json!({
                "_id": "0", "id": name, "modelId": name, "sha": commit, "gated": gated, "disabled": false,
                "private": matches!(repo.access, Access::Private(_)), "tags": [], "downloads": 0, "likes": 0,
                "lastModified": "2025-01-01T00:00:00.000Z", "createdAt": "2025-01-01T00:00:00.000Z", "siblings": siblings,
            });
            Response::new(200, info.to_string())
        }
        ["tree", _, folder @ ..] => {
            let folder = folder.join("/");
            let is_recursive = parameters(query)
                .any(|(key, value)| key == "recursive" && matches!(&*value.to_lowercase(), "true" | "1"));
            let entries = listing(files.iter().map(|(path, file)| (path.as_str(), file)), &folder, is_recursive);
            if !folder.is_empty() && entries.is_empty() {
                return error(404, "EntryNotFound");
            }
            page(request, shared, world, query, &entries)
        }
        ["paths-info", _] => {
            let paths = asked_paths(&request.body);
            let entries: Vec<Value> = paths
                .iter()
                .filter_map(|path| match files.get(path) {
                    Some(file) => Some(file_entry(path, file)),
                    None if files.keys().any(|known| known.starts_with(&format!("{path}/"))) => {
                        Some(folder_entry(path))
                    }
                    None => None,
                })
                .collect();
            Response::new(200, Value::from(entries).to_string())
        }
        _ => error(404, "NotFound"),
    }
}

fn listing<'a>(
    files: impl Iterator<Item = (&'a str, &'a Arc<StubFile>)>,
    folder: &str,
    is_recursive: bool,
) -> Vec<Value> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let mut folders = BTreeSet::new();
    let mut entries = Vec::new();
    for (path, file) in files {
        let Some(below) = path.strip_prefix(&prefix) else { continue };
        for (i, (at, _)) in below.match_indices('/').enumerate() {
            if is_recursive || i == 0 {
                folders.insert(format!("{prefix}{}", &below[..at]));
            }
        }
        if is_recursive || !below.contains('/') {
            entries.push(file_entry(path, file));
        }
    }
    folders.iter().map(|folder| folder_entry(folder)).chain(entries).collect()
}

fn file_entry(path: &str, file: &StubFile) -> Value {
    let mut entry = json!({ "type": "file", "oid": file.git_sha1(), "size": file.size, "path": path });
    if is_large(path) {
        entry["lfs"] = json!({ "oid": file.sha256(), "size": file.size, "pointerSize": 134 });
    }
    entry
}

fn folder_entry(path: &str) -> Value {
    use sha1::{Digest as _, Sha1};
    json!({ "type": "directory", "oid": hex(&Sha1::digest(path)), "size": 0, "path": path })
}

/// One page of a listing, and where the next is.
fn page(request: &Request, shared: &Shared, world: &World, query: &str, entries: &[Value]) -> Response {
    let length = world.page_length.unwrap_or(1000);
    let cursor = parameters(query).find(|(key, _)| key == "cursor").and_then(|(_, value)| value.parse().ok());
    let start = cursor.unwrap_or(0).min(entries.len());
    let end = entries.len().min(start + length);
    let response = Response::new(200, Value::from(&entries[start..end]).to_string());
    if end == entries.len() {
        return response;
    }
    let path = request.target.split('?').next().unwrap_or_default();
    let others: Vec<&str> = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("cursor=")).collect();
    let next = format!("{}{path}?{}&cursor={end}", shared.hub, others.join("&"));
    response.header("Link", format!("<{next}>; rel=\"next\""))
}

fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    query
        .split('&')
        .filter_map(|part| part.split_once('='))
        .map(|(key, value)| (decode(key), decode(&value.replace('+', " "))))
}

/// The paths of a request for several, as JSON or as a form.
fn asked_paths(body: &[u8]) -> Vec<String> {
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        let paths = json["paths"].as_array().into_iter().flatten();
        return paths.filter_map(|path| path.as_str().map(str::to_owned)).collect();
    }
    let form = std::str::from_utf8(body).unwrap_or_default();
    parameters(form).filter(|(key, _)| key == "paths").map(|(_, path)| path).collect()
}

/// `[/datasets]/OWNER/NAME/resolve/REVISION/PATH`
#[expect(clippy::too_many_arguments, reason = "the parts of one address")]
fn resolve(
    request: &Request,
    shared: &Shared,
    world: &World,
    faults: &[What],
    kind: Kind,
    (owner, name): (&str, &str),
    revision: &str,
    path: &[&str],
) -> Response {
    let asked = format!("{}/{}", decode(owner), decode(name));
    let path = path.iter().map(|part| decode(part)).collect::<Vec<_>>().join("/");
    let (name, repo) = match reach(world, request, kind, &asked) {
        Ok(found) => found,
        Err(response) => return response,
    };
    if name != asked {
        return moved(request, &asked, name);
    }
    if let Access::Gated(members) = &repo.access
        && !is_member(members, token(request))
    {
        return error(if token(request).is_some() { 403 } else { 401 }, "GatedRepo");
    }
    let Some((commit, files)) = repo.commit(revision) else { return error(404, "RevisionNotFound") };
    let Some(file) = files.get(&path) else { return error(404, "EntryNotFound").header("X-Repo-Commit", commit) };
    if !is_large(&path) {
        return content(request, file, faults, file.git_sha1()).header("X-Repo-Commit", commit);
    }
    let kind = if kind == Kind::Models { "models" } else { "datasets" };
    let location = format!("{}/{kind}/{name}/{commit}/{}?Expires=4102444800&sig=1", shared.storage, encode(&path));
    Response::new(302, "")
        .header("X-Repo-Commit", commit)
        .header("X-Linked-Etag", format!("\"{}\"", file.sha256()))
        .header("X-Linked-Size", file.size.to_string())
        .header("ETag", "\"pointer\"")
        .header("Accept-Ranges", "bytes")
        .header("Location", location)
}

/// A file's bytes, or the range of them that is asked for.
fn content(request: &Request, file: &StubFile, faults: &[What], etag: &str) -> Response {
    let quoted = format!("\"{etag}\"");
    let base = |status, body: Vec<u8>| {
        Response::new(status, body).header("ETag", quoted.clone()).header("Accept-Ranges", "bytes")
    };
    if request.header("if-none-match") == Some(&quoted) {
        return base(304, Vec::new());
    }
    let is_ignored = faults.iter().any(|fault| matches!(fault, What::IgnoreRange));
    let range = request.header("range").filter(|_| !is_ignored).and_then(|range| range.strip_prefix("bytes="));
    let (status, start, end) = match range.and_then(|range| range.split_once('-')) {
        None => (200, 0, file.size),
        Some(("", last)) => (206, file.size.saturating_sub(last.parse().unwrap_or(0)), file.size),
        Some((first, last)) => {
            let first = first.parse().unwrap_or(0);
            let end = last.parse::<u64>().map_or(file.size, |last| file.size.min(last.saturating_add(1)));
            (206, first, end)
        }
    };
    if status == 206 && (start >= file.size || start >= end) {
        return base(416, Vec::new()).header("Content-Range", format!("bytes */{}", file.size));
    }
    let shift = faults.iter().find_map(|fault| match fault {
        What::ShiftRange(by) if status == 206 => Some(*by),
        _ => None,
    });
    let start = (start + shift.unwrap_or(0)).min(end - u64::from(status == 206));
    let is_head = request.method == "HEAD";
    let body = if is_head { Vec::new() } else { file.read(start, end).unwrap_or_default() };
    let mut response = base(status, body).header("Content-Type", "application/octet-stream");
    response.length = Some(end - start);
    if status == 206 {
        response = response.header("Content-Range", format!("bytes {start}-{}/{}", end - 1, file.size));
    }
    response
}
