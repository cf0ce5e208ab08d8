//! What kind of a request one is: its line in `requests.txt`.

/// Method, path with `{namespace}` and `{name}` in place of names, the names of what is in the query, the content type
/// (`-` if there is none), and as what the answer is wanted unless whole.
#[must_use]
pub fn shape<'a>(
    method: &str,
    path: &str,
    query: impl IntoIterator<Item = &'a str>,
    content_type: &str,
    accept: &str,
) -> String {
    let mut line = format!("{method} {}", path_shape(path));
    let mut query: Vec<_> = query.into_iter().collect();
    query.sort_unstable();
    if !query.is_empty() {
        line.push('?');
        line.push_str(&query.join("&"));
    }
    line.push(' ');
    line.push_str(if content_type.is_empty() {
        "-"
    } else {
        content_type
    });
    if let Some(form) = accept.split(';').find(|part| part.starts_with("as=")) {
        line.push(' ');
        line.push_str(form);
    }
    line
}

/// The lines of the file, without what is said about them.
pub fn lines(file: &str) -> impl Iterator<Item = &str> {
    file.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn path_shape(path: &str) -> String {
    let mut segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let start = if segments[0] == "apis" { 3 } else { 2 };
    let namespaced = segments.get(start) == Some(&"namespaces") && segments.len() > start + 2;
    let plural = if namespaced { start + 2 } else { start };
    if namespaced {
        segments[start + 1] = "{namespace}";
    }
    if let Some(name) = segments.get_mut(plural + 1) {
        *name = "{name}";
    }
    format!("/{}", segments.join("/"))
}
