//! Writes update documents as Microsoft does: on one line, without a declaration, with namespaces declared
//! at the root and again on inner elements.

use catalog::RevisionId;
use jiff::Timestamp;
use std::fmt::{self, Write};

/// Namespaces of update documents (WSUS-PROTOCOL section 5.1).
pub(super) mod namespace {
    pub(in crate::generator) const UPDATE: &str =
        "http://schemas.microsoft.com/msus/2002/12/Update";
    pub(in crate::generator) const PUBLISHING: &str =
        "http://schemas.microsoft.com/msus/2002/12/Publishing";
    pub(in crate::generator) const BASE_RULES: &str =
        "http://schemas.microsoft.com/msus/2002/12/BaseApplicabilityRules";
    pub(in crate::generator) const LOGICAL_RULES: &str =
        "http://schemas.microsoft.com/msus/2002/12/LogicalApplicabilityRules";
    pub(in crate::generator) const MSI_RULES: &str =
        "http://schemas.microsoft.com/msus/2002/12/MsiApplicabilityRules";
    pub(in crate::generator) const CBS_RULES: &str =
        "http://schemas.microsoft.com/msus/2002/12/CbsApplicabilityRules";
    pub(in crate::generator) const CATEGORY: &str =
        "http://schemas.microsoft.com/msus/2002/12/UpdateHandlers/Category";
    pub(in crate::generator) const COMMAND_LINE: &str =
        "http://schemas.microsoft.com/msus/2002/12/UpdateHandlers/CommandLineInstallation";
    pub(in crate::generator) const CBS: &str =
        "http://schemas.microsoft.com/msus/2002/12/UpdateHandlers/Cbs";
    pub(in crate::generator) const WINDOWS_INSTALLER: &str =
        "http://schemas.microsoft.com/msus/2002/12/UpdateHandlers/WindowsInstaller";
    pub(in crate::generator) const WINDOWS_DRIVER: &str =
        "http://schemas.microsoft.com/msus/2002/12/UpdateHandlers/WindowsDriver";
    pub(in crate::generator) const OS_INSTALLER: &str =
        "http://schemas.microsoft.com/msus/2016/01/UpdateHandlers/OSInstaller";
    pub(in crate::generator) const SCHEMA_INSTANCE: &str =
        "http://www.w3.org/2001/XMLSchema-instance";
}

/// A document that is being written.
pub(super) struct Xml(String);

impl Xml {
    /// Begins a document: the root and the identity.
    pub(super) fn begin(id: RevisionId) -> Self {
        let mut xml = Self(String::with_capacity(4096));
        xml.put(format_args!(
            r#"<upd:Update xmlns:pub="{}" xmlns:upd="{}"><upd:UpdateIdentity UpdateID="{}" RevisionNumber="{}" />"#,
            namespace::PUBLISHING,
            namespace::UPDATE,
            id.update_id,
            id.revision
        ));
        xml
    }

    /// Ends the document.
    pub(super) fn end(mut self) -> String {
        self.raw("</upd:Update>");
        self.0
    }

    /// Appends markup.
    pub(super) fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// Appends formatted markup. Text from elsewhere goes in as [`Escaped`].
    pub(super) fn put(&mut self, markup: fmt::Arguments<'_>) {
        self.0
            .write_fmt(markup)
            .expect("writing into a string does not fail");
    }

    /// Appends an element of the update namespace that holds text.
    pub(super) fn element(&mut self, name: &str, text: &str) {
        self.put(format_args!("<upd:{name}>{}</upd:{name}>", Escaped(text)));
    }

    /// How long the document is so far, in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Text as it stands in an element or attribute.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(place) = rest.find(['&', '<', '>', '"', '\r']) {
            f.write_str(&rest[..place])?;
            f.write_str(match rest.as_bytes()[place] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                // A bare carriage return would be read as a line feed.
                _ => "&#xD;",
            })?;
            rest = &rest[place + 1..];
        }
        f.write_str(rest)
    }
}

/// A time as documents have it, in milliseconds.
pub(super) fn time(time: Timestamp) -> impl fmt::Display {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
}
