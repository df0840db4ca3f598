//! What the proto files say in comments.

use prost_reflect::FileDescriptor;
use std::collections::{BTreeMap, HashMap};

/// Comments by file and by the path of what they are about; each file is read once.
#[derive(Debug, Default)]
pub struct Comments {
    files: BTreeMap<String, HashMap<Vec<i32>, String>>,
}

impl Comments {
    /// The comment above something, or else the one beside it; none where it has none.
    pub fn of(&mut self, file: &FileDescriptor, path: &[i32]) -> Option<String> {
        let files = self.files.entry(file.name().to_owned());
        let comments = files.or_insert_with(|| read(file));
        comments.get(path).cloned()
    }
}

fn read(file: &FileDescriptor) -> HashMap<Vec<i32>, String> {
    let info = file.file_descriptor_proto().source_code_info.as_ref();
    let places = info.into_iter().flat_map(|info| &info.location);
    let said = places.filter_map(|place| {
        let leading = flowing(place.leading_comments());
        let text = match leading.is_empty() {
            true => flowing(place.trailing_comments()),
            false => leading,
        };
        (!text.is_empty()).then(|| (place.path.clone(), text))
    });
    said.collect()
}

/// A comment without the line breaks that only the width of a file asked for.
fn flowing(comment: &str) -> String {
    let paragraphs = comment.split("\n\n").map(|paragraph| {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    let paragraphs: Vec<String> = paragraphs.filter(|text| !text.is_empty()).collect();
    paragraphs.join("\n\n")
}
