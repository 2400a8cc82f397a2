//! What every HTML page of ours must be: well formed, small, on its own, with all that is drawn finite and inside its plot.

/// Most bytes of a page.
const BYTES_MAX: usize = 5_000_000;

/// Checks a page whose paths are drawn in a grid of so many steps a side.
///
/// # Panics
/// Where a tag is not closed, text is not escaped, the page asks for something from outside, is too large, or a number is not
/// finite or leaves its plot.
pub fn check_page(page: &str, grid: f64) {
    assert!(page.len() < BYTES_MAX, "{} bytes", page.len());
    for absent in ["NaN", "Infinity", "inf%", "://", "url(", "@import", " src="] {
        assert!(!page.contains(absent), "{absent} near {:?}", page.find(absent).map(|at| &page[at.saturating_sub(80)..at + 8]));
    }
    for tag in tags(page) {
        if let Some(path) = attribute(&tag, "d").filter(|_| !tag.contains(" id=")) {
            for number in path
                .split(|character: char| character.is_ascii_alphabetic() || character == ' ')
                .filter(|number| !number.is_empty())
            {
                let number: f64 = number.parse().unwrap_or_else(|_| panic!("no number in {path:.80}"));
                assert!((0.0..=grid).contains(&number), "{number} in {path:.80}");
            }
        }
        for name in ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy"] {
            let Some(place) = attribute(&tag, name).and_then(|place| place.strip_suffix('%')) else { continue };
            let place: f64 = place.parse().unwrap_or_else(|_| panic!("no number in {tag}"));
            assert!((0.0..=100.0).contains(&place), "{tag}");
        }
    }
    data_of(page);
}

/// The tags of a page, without scripts and styles.
///
/// # Panics
/// Where tags do not nest or close, attributes are not quoted, or a `<` or `&` stands alone.
pub fn tags(page: &str) -> Vec<String> {
    let (mut open, mut tags): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    let mut rest = page.strip_prefix("<!DOCTYPE html>").unwrap_or_else(|| panic!("no document type in {page:.40}"));
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        for entity in text.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|known| entity.starts_with(known)), "&{entity:.20}");
        }
        assert!(!text.contains('>'), "a lone > in {text:.40}");
        let length = rest[start..].find('>').unwrap_or_else(|| panic!("a tag without an end: {:.40}", &rest[start..]));
        let tag = &rest[start + 1..start + length];
        rest = &rest[start + length + 1..];
        assert!(tag.matches('"').count().is_multiple_of(2) && !tag.contains('<'), "<{tag}>");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed));
        } else if !tag.ends_with('/') {
            open.push(name);
            if name == "script" || name == "style" {
                let end = rest.find(&format!("</{name}>"));
                rest = &rest[end.unwrap_or_else(|| panic!("<{name}> without an end"))..];
            }
        }
        tags.push(tag.to_owned());
    }
    assert_eq!(open, Vec::<&str>::new());
    tags
}

/// The value of an attribute of a tag.
pub fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

/// What the read-outs of a page are given.
///
/// # Panics
/// Where it is not JSON.
pub fn data_of(page: &str) -> Vec<serde_json::Value> {
    let scripts = page.split("<script type=\"application/json\">").skip(1);
    let data = |data: &str| serde_json::from_str(data.split("</script>").next().unwrap_or_default());
    scripts.map(|script| data(script).unwrap_or_else(|error| panic!("{error} in {script:.80}"))).collect()
}
