//! Addresses: their origin, what of them may be shown, and where a redirection leads.

use ureq::http::Uri;

/// Scheme, host and port: who is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) is_https: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The origin of an absolute `http` or `https` address without a user's name in it.
pub(crate) fn origin(url: &str) -> Option<Origin> {
    let uri: Uri = url.parse().ok()?;
    let is_https = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let authority = uri.authority()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let port = match authority.port() {
        Some(port) => port.as_str().parse().ok()?,
        None if is_https => 443,
        None => 80,
    };
    Some(Origin { is_https, host: authority.host().to_ascii_lowercase(), port })
}

/// The host of an address, for messages. The rest may hold a signature.
pub(crate) fn host(url: &str) -> String {
    origin(url).map_or_else(|| "a host".to_owned(), |origin| origin.host)
}

/// Where `location`, given in an answer to a request for `base`, leads.
pub(crate) fn join(base: &str, location: &str) -> Option<String> {
    let scheme_end = base.find("://")? + 3;
    let path_start = base[scheme_end..].find(['/', '?']).map_or(base.len(), |at| scheme_end + at);
    let path_end = base.find('?').unwrap_or(base.len());
    let url = if location.starts_with("//") {
        format!("{}{location}", &base[..scheme_end - 2])
    } else if location.starts_with('/') {
        format!("{}{location}", &base[..path_start])
    } else if location.contains("://") {
        location.to_owned()
    } else {
        let folder_end = base[path_start..path_end].rfind('/').map(|at| path_start + at + 1);
        match folder_end {
            Some(end) => format!("{}{location}", &base[..end]),
            None => format!("{}/{location}", &base[..path_start]),
        }
    };
    origin(&url).map(|_| url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_lead_where_the_standard_says() {
        for (location, expected) in [
            ("https://cdn.example.org/x?sig=1", Some("https://cdn.example.org/x?sig=1")),
            ("//cdn.example.org/x", Some("https://cdn.example.org/x")),
            ("/Other/Case", Some("https://hub.example.org:8443/Other/Case")),
            ("c", Some("https://hub.example.org:8443/a/c")),
            ("file:///etc/passwd", None),
            ("https://user:word@cdn.example.org/", None),
            ("http://", None),
        ] {
            assert_eq!(join("https://hub.example.org:8443/a/b?q=/1", location).as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("https://Hub.example.org/x"), origin("https://hub.example.org:443/y"));
        for other in
            ["http://hub.example.org/", "https://hub.example.org:444/", "https://hub.example.org.evil.example/"]
        {
            assert_ne!(origin("https://hub.example.org/x"), origin(other), "{other}");
        }
    }
}
