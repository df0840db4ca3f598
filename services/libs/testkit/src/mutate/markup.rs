//! Spoiling XML as somebody would who knows what it is.

use super::{Dice, Mutant};
use std::ops::Range;

/// Elements in each other that no document has.
const DEEP: usize = 5_000;
/// Attributes that no element has.
const MANY: usize = 20_000;

/// `count` mutants of an XML text: elements dropped, doubled, exchanged and put into another namespace,
/// attributes dropped and doubled.
pub fn rearranged(xml: &str, seed: u64, count: usize) -> impl Iterator<Item = Mutant> + '_ {
    let mut dice = Dice::new(seed);
    let elements = elements(xml);
    let attributes = attributes(xml);
    (0..count).map(move |n| {
        if n % 3 == 2 && !attributes.is_empty() {
            let at = dice.pick(&attributes).clone();
            attribute(xml, n / 3, at)
        } else if elements.is_empty() {
            Mutant::new("as it is", xml)
        } else {
            let one = dice.pick(&elements).clone();
            let other = dice.pick(&elements).clone();
            element(xml, n, one, other)
        }
    })
}

fn element(xml: &str, n: usize, one: Range<usize>, other: Range<usize>) -> Mutant {
    let text = &xml[one.clone()];
    match n % 5 {
        0 => Mutant::new(
            format!("element {one:?} left out"),
            splice(xml, one.clone(), ""),
        ),
        1 => Mutant::new(
            format!("element {one:?} doubled"),
            splice(xml, one.end..one.end, text),
        ),
        2 => Mutant::new(
            format!("element {one:?} put in the place of {other:?}"),
            splice(xml, other, text),
        ),
        3 => {
            let end = text.find([' ', '>', '/']).unwrap_or(text.len());
            let place = one.start + end..one.start + end;
            Mutant::new(
                format!("element {one:?} in a foreign namespace"),
                splice(xml, place, " xmlns=\"urn:foreign\""),
            )
        }
        _ => {
            let inside = format!("<x>{text}</x>");
            Mutant::new(
                format!("element {one:?} in another"),
                splice(xml, one, &inside),
            )
        }
    }
}

fn attribute(xml: &str, n: usize, at: Range<usize>) -> Mutant {
    let text = &xml[at.clone()];
    let name = text.split('=').next().unwrap_or("x").trim();
    match n % 5 {
        0 => Mutant::new(
            format!("attribute {at:?} left out"),
            splice(xml, at.clone(), ""),
        ),
        1 => Mutant::new(
            format!("attribute {at:?} doubled"),
            splice(xml, at.end..at.end, text),
        ),
        2 => Mutant::new(
            format!("attribute {at:?} made empty"),
            splice(xml, at, &format!(" {name}=\"\"")),
        ),
        3 => Mutant::new(
            format!("attribute {at:?} without quotes"),
            splice(xml, at.clone(), &text.replace(['"', '\''], "")),
        ),
        _ => {
            let long = "A\u{1}\u{1b}".repeat(100_000);
            Mutant::new(
                format!("attribute {at:?} very long"),
                splice(xml, at, &format!(" {name}=\"{long}\"")),
            )
        }
    }
}

/// What is made to use up memory or time: entities that multiply, depth, numbers of attributes,
/// namespaces and names without end.
pub fn bombs(xml: &str) -> Vec<Mutant> {
    // Inside the root element, where everything else is still good.
    let inside = xml
        .find("?>")
        .map_or(0, |at| at + 2)
        .checked_add(1)
        .and_then(|from| xml.get(from..)?.find('>').map(|at| from + at + 1))
        .unwrap_or(xml.len());
    let put = |text: &str| splice(xml, inside..inside, text);
    let entities: String = (1..10)
        .map(|n| format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10)))
        .collect();
    let doctype = format!("<!DOCTYPE x [<!ENTITY a0 \"lol\">{entities}]>");
    let head = xml.find("?>").map_or(0, |at| at + 2);
    let attributes: String = (0..MANY).map(|n| format!(" a{n}=\"\"")).collect();
    let namespaces: String = (0..MANY)
        .map(|n| format!(" xmlns:n{n}=\"urn:n{n}\""))
        .collect();
    let same = " a=\"\"".repeat(MANY);
    let long = "n".repeat(300_000);
    let odd = "\u{1b}\u{7}\u{85}\u{202e}".repeat(2_000);
    vec![
        Mutant::new(
            "entities that multiply",
            splice(xml, head..head, &doctype).replacen("</", "&a9;</", 1),
        ),
        Mutant::new(
            "an outside entity",
            splice(
                xml,
                head..head,
                "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>",
            ),
        ),
        Mutant::new("an unknown entity", put(&format!("<x>&{long};</x>"))),
        Mutant::new("deep, never closed", put(&"<x>".repeat(DEEP))),
        Mutant::new("deep", put(&("<x>".repeat(DEEP) + &"</x>".repeat(DEEP)))),
        Mutant::new("many attributes", put(&format!("<x{attributes}/>"))),
        Mutant::new("one attribute many times", put(&format!("<x{same}/>"))),
        Mutant::new("many namespaces", put(&format!("<x{namespaces}/>"))),
        Mutant::new("a long name", put(&format!("<{long}/>"))),
        Mutant::new(
            "a long name that is closed by another",
            put(&format!("<{long}></{odd}>")),
        ),
        Mutant::new("names of control characters", put(&format!("<{odd}>"))),
        Mutant::new(
            "names of control characters closed",
            put(&format!("<{odd}>&{odd};</{odd}>")),
        ),
        Mutant::new("an end too many", put(&format!("</{long}>"))),
        Mutant::new("a comment without end", put("<!-- ")),
        Mutant::new("CDATA without end", put("<![CDATA[ ")),
        Mutant::new("an instruction without end", put("<?x ")),
        Mutant::new("a tag without end", put(&format!("<x a=\"{long}"))),
        Mutant::new("empty elements", put(&"<x/>".repeat(50_000))),
    ]
}

fn splice(text: &str, range: Range<usize>, new: &str) -> String {
    let mut out = String::with_capacity(text.len() + new.len());
    out.push_str(&text[..range.start]);
    out.push_str(new);
    out.push_str(&text[range.end..]);
    out
}

/// Where the elements of a well-formed text stand, from their `<` to behind their last `>`.
fn elements(xml: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(start) = xml[at..].find('<').map(|n| at + n) {
        let Some(end) = xml[start..].find('>').map(|n| start + n + 1) else {
            break;
        };
        let tag = &xml[start..end];
        if tag.starts_with("</") {
            found.extend(open.pop().map(|from| from..end));
        } else if tag.ends_with("/>") {
            found.push(start..end);
        } else if !tag.starts_with("<?") && !tag.starts_with("<!") {
            open.push(start);
        }
        at = end;
    }
    found
}

/// Where attributes stand, with the blank in front.
fn attributes(xml: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(equals) = xml[at..].find("=\"").map(|n| at + n) {
        let Some(end) = xml[equals + 2..].find('"').map(|n| equals + 3 + n) else {
            break;
        };
        if let Some(start) = xml[at..equals].rfind(char::is_whitespace) {
            found.push(at + start..end);
        }
        at = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<?xml version=\"1.0\"?><a n=\"1\"><b m=\"2\"/><c>text</c></a>";

    #[test]
    fn elements_and_attributes_are_found_whole() {
        let found: Vec<_> = elements(XML).into_iter().map(|at| &XML[at]).collect();
        assert_eq!(found[..2], ["<b m=\"2\"/>", "<c>text</c>"]);
        assert!(found[2].starts_with("<a") && found[2].ends_with("</a>"));
        let found: Vec<_> = attributes(XML).into_iter().map(|at| &XML[at]).collect();
        assert_eq!(found, [" version=\"1.0\"", " n=\"1\"", " m=\"2\""]);
    }

    #[test]
    fn a_bomb_stands_inside_the_root() {
        let deep = &bombs(XML)[4].bytes;
        assert!(deep.starts_with(b"<?xml version=\"1.0\"?><a n=\"1\"><x><x>"));
    }

    #[test]
    fn what_is_no_markup_is_spoilt_without_harm() {
        for text in ["", "<", "a=\"", "<a", "ä<ö ü=\"ß\">"] {
            assert_eq!(rearranged(text, 1, 20).count(), 20);
            assert!(!bombs(text).is_empty());
        }
    }
}
