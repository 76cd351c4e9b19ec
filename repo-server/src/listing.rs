//! Pages for people with a browser: what this is, and which files there are.
//!
//! No script, no foreign resource, and every name escaped: a page shows what publishers named, and
//! runs nothing.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::sync::Arc;

use hyper::Response;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::fs::{AtFlags, Dir, FileType, statat};

use crate::confined::Confined;
use crate::reply::{Content, Reply, With as _, not_found};
use crate::site::Site;

/// Most names on a page.
const MOST: usize = 10_000;
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// The page of a folder; `""` is the front page. Only `targets` has pages.
pub(crate) async fn answer(site: &Arc<Site>, path: &str) -> io::Result<Reply> {
    match path {
        "" => {
            let warnings = site.ask(|site| site.expiry.warnings(&site.store, Timestamp::now()));
            let warnings = warnings.await;
            Ok(page("A Cutover repository", &front(&site.files, &warnings).await))
        }
        path if path == "targets" || path.starts_with("targets/") => {
            let entries = list(site.files.get(path).await?).await?;
            Ok(page(&format!("/{path}/"), &table(&entries)))
        }
        _ => Ok(not_found()),
    }
}

struct Entry {
    name: String,
    /// Bytes of a file; `None` for a folder.
    size: Option<u64>,
}

/// Folders first, by name; hidden and other things are left out.
async fn list(folder: File) -> io::Result<Vec<Entry>> {
    tokio::task::spawn_blocking(move || read(&folder)).await.map_err(io::Error::other)?
}

fn read(folder: &File) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let size = match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile => Some(u64::try_from(found.st_size).unwrap_or_default()),
            FileType::Directory => None,
            _ => continue,
        };
        entries.push(Entry { name: name.to_owned(), size });
        if entries.len() == MOST {
            break;
        }
    }
    entries.sort_by(|a, b| (a.size.is_some(), &a.name).cmp(&(b.size.is_some(), &b.name)));
    Ok(entries)
}

/// Products are the folders of `targets/releases`: nothing is believed that is not there.
async fn front(files: &Confined, warnings: &[String]) -> String {
    let products = match files.get("targets/releases").await {
        Ok(folder) => list(folder).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let mut body = String::from(
        "<p>Signed releases for <code>install</code>, or for any client of The Update Framework. \
         Metadata is in <code>/metadata/</code>, all else in <a href=\"/targets/\">/targets/</a>. \
         This server only carries the files: verify what you take from it.</p>\n",
    );
    for warning in warnings {
        let _ = writeln!(body, "<p role=\"alert\">Warning: {}</p>", escaped(warning));
    }
    if products.is_empty() {
        body.push_str("<p>Nothing is published yet.</p>\n");
    } else {
        body.push_str("<h2>Products</h2>\n<ul>\n");
        for product in &products {
            let (url, name) = (encoded(&product.name), escaped(&product.name));
            let _ = writeln!(body, "<li><a href=\"/targets/releases/{url}/\">{name}</a></li>");
        }
        body.push_str("</ul>\n");
    }
    body.push_str(
        "<h2>Install</h2>\n<pre>install init --root /srv/PRODUCT --repo THIS-ADDRESS \
         --trust root.json --product PRODUCT\ninstall stable --root /srv/PRODUCT</pre>\n\
         <p><code>root.json</code> comes from the people who publish, not from here.</p>\n",
    );
    body
}

fn table(entries: &[Entry]) -> String {
    let mut body = String::from("<table>\n<tr><td><a href=\"../\">../</a></td><td></td></tr>\n");
    for Entry { name, size } in entries {
        let (url, shown) = (encoded(name), escaped(name));
        let _ = match size {
            None => writeln!(body, "<tr><td><a href=\"{url}/\">{shown}/</a></td><td></td></tr>"),
            Some(size) => {
                let size = cutover_terminal::bytes(*size);
                writeln!(body, "<tr><td><a href=\"{url}\">{shown}</a></td><td>{size}</td></tr>")
            }
        };
    }
    body.push_str("</table>\n");
    if entries.len() == MOST {
        let _ = writeln!(body, "<p>Only {MOST} names are shown.</p>");
    }
    body
}

fn page(title: &str, body: &str) -> Reply {
    let title = escaped(title);
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</html>\n"
    );
    Response::new(Content::Whole(html.into()))
        .with_static(CONTENT_TYPE, "text/html; charset=utf-8")
        .with_static(CACHE_CONTROL, "no-cache")
        .with_static(CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")
        .with_static(REFERRER_POLICY, "no-referrer")
        .with_static(X_CONTENT_TYPE_OPTIONS, "nosniff")
}

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
main{max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;overflow-wrap:anywhere}h2{font-size:1.1rem}\
[role=alert]{padding:.5rem .75rem;border-left:.3rem solid #d80;background:#d802}\
code,pre,table{font-family:ui-monospace,monospace;font-size:.9rem}\
pre{padding:.75rem;overflow-x:auto;background:#8882;border-radius:.4rem}\
table{border-collapse:collapse;width:100%}\
td{padding:.2rem .5rem .2rem 0;border-bottom:1px solid #8884;overflow-wrap:anywhere}\
td+td{text-align:right;white-space:nowrap}";

fn encoded(name: &str) -> String {
    utf8_percent_encode(name, IN_URL).to_string()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
