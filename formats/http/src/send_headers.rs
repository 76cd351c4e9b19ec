//! Fields that questions over HTTP carry because a release or the node says so.

use cutover_formats::send_headers::SendHeaders;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Puts them into `headers`, in place of those of the same name.
pub fn set(headers: &mut HeaderMap, fields: &SendHeaders) {
    for (name, value) in fields.iter() {
        // Both hold: it was seen to when they were read.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            headers.insert(name, value);
        }
    }
}
