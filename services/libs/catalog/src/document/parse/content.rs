//! Reads the elements of an update document, each with a function of its own, in document order.

use super::draft::{Draft, Properties};
use super::{Element, Known, MAX_LIST, Parser};
use crate::document::value::Place;
use crate::document::{
    Behavior, Bundled, CategoryFlags, Error, EulaFile, File, LocalizedProperties, PatchingType,
    Prerequisite, SecuredFragment,
};
use crate::{RevisionId, UpdateId};

impl<'a> Parser<'a> {
    pub(super) fn update(&mut self, root: &Element<'a>) -> Result<Draft, Error> {
        let mut draft = Draft::default();
        while let Some(child) = self.child(root)? {
            match child.name() {
                b"UpdateIdentity" => {
                    let id = self.revision(&child)?;
                    once(&mut draft.id, id, "UpdateIdentity")?;
                }
                b"Properties" => {
                    let properties = self.properties(&child)?;
                    once(&mut draft.properties, properties, "Properties")?;
                }
                b"LocalizedPropertiesCollection" => {
                    self.localized_collection(&child, &mut draft)?
                }
                b"Relationships" => self.relationships(&child, &mut draft)?,
                b"Files" => self.files(&child, &mut draft.files)?,
                b"HandlerSpecificData" => self.handler_data(&child, &mut draft)?,
                _ => self.skip(&child)?,
            }
        }
        Ok(draft)
    }

    fn update_id(&mut self, element: &Element<'a>) -> Result<UpdateId, Error> {
        let mut id = None;
        let mut attributes = self.attributes(element, "UpdateIdentity");
        while let Some((key, value)) = attributes.next()? {
            if key == b"UpdateID" {
                id = Some(attributes.at("UpdateID").update_id(&value)?);
            }
        }
        self.skip(element)?;
        Place::new("UpdateIdentity", "UpdateID").required(id)
    }

    fn revision(&mut self, element: &Element<'a>) -> Result<RevisionId, Error> {
        let (mut id, mut revision) = (None, None);
        let mut attributes = self.attributes(element, "UpdateIdentity");
        while let Some((key, value)) = attributes.next()? {
            match key {
                b"UpdateID" => id = Some(attributes.at("UpdateID").update_id(&value)?),
                b"RevisionNumber" => {
                    revision = Some(attributes.at("RevisionNumber").revision(&value)?);
                }
                _ => {}
            }
        }
        self.skip(element)?;
        Ok(RevisionId::new(
            Place::new("UpdateIdentity", "UpdateID").required(id)?,
            Place::new("UpdateIdentity", "RevisionNumber").required(revision)?,
        ))
    }

    fn properties(&mut self, element: &Element<'a>) -> Result<Properties, Error> {
        let mut found = Properties::default();
        let mut attributes = self.attributes(element, "Properties");
        while let Some((key, value)) = attributes.next()? {
            found.attribute(key, &value)?;
        }
        while let Some(child) = self.child(element)? {
            match child.name() {
                b"KBArticleID" => self.entry(&child, "KBArticleID", &mut found.kb_article_ids)?,
                b"SecurityBulletinID" => {
                    self.entry(
                        &child,
                        "SecurityBulletinID",
                        &mut found.security_bulletin_ids,
                    )?;
                }
                b"CveID" => self.entry(&child, "CveID", &mut found.cve_ids)?,
                b"MoreInfoUrl" => self.entry(&child, "MoreInfoUrl", &mut found.more_info_urls)?,
                b"SupportUrl" => found.support_url = self.optional(&child, "SupportUrl")?,
                b"Language" => self.entry(&child, "Language", &mut found.languages)?,
                b"InstallationBehavior" => {
                    found.installation = Some(self.behavior(&child, "InstallationBehavior")?);
                }
                b"UninstallationBehavior" => {
                    found.uninstallation = Some(self.behavior(&child, "UninstallationBehavior")?);
                }
                b"SecuredFragment" => {
                    let fragment = self.secured_fragment(&child)?;
                    push(&mut found.secured_fragments, fragment, "SecuredFragment")?;
                }
                _ => self.skip(&child)?,
            }
        }
        Ok(found)
    }

    /// A trimmed text that is one entry of a list; an empty one is no entry.
    fn entry(
        &mut self,
        element: &Element<'a>,
        name: &'static str,
        list: &mut Vec<String>,
    ) -> Result<(), Error> {
        match self.optional(element, name)? {
            Some(text) => push(list, text, name),
            None => Ok(()),
        }
    }

    /// A trimmed text, `None` where empty.
    fn optional(
        &mut self,
        element: &Element<'a>,
        name: &'static str,
    ) -> Result<Option<String>, Error> {
        let text = self.text(element, name)?;
        let trimmed = text.trim();
        if trimmed.len() == text.len() {
            return Ok((!text.is_empty()).then_some(text));
        }
        Ok((!trimmed.is_empty()).then(|| trimmed.to_owned()))
    }

    fn behavior(&mut self, element: &Element<'a>, name: &'static str) -> Result<Behavior, Error> {
        let mut behavior = Behavior::default();
        let mut attributes = self.attributes(element, name);
        while let Some((key, value)) = attributes.next()? {
            match key {
                b"Impact" => behavior.impact = attributes.at("Impact").impact(&value),
                b"RebootBehavior" => {
                    behavior.reboot = attributes.at("RebootBehavior").reboot(&value);
                }
                b"CanRequestUserInput" => {
                    behavior.can_request_user_input =
                        attributes.at("CanRequestUserInput").boolean(&value)?;
                }
                b"RequiresNetworkConnectivity" => {
                    behavior.requires_network = attributes
                        .at("RequiresNetworkConnectivity")
                        .boolean(&value)?;
                }
                _ => {}
            }
        }
        self.skip(element)?;
        Ok(behavior)
    }

    /// The kind stands in an attribute or in the text; the specification shows both.
    fn secured_fragment(&mut self, element: &Element<'a>) -> Result<SecuredFragment, Error> {
        let mut kind = None;
        let mut attributes = self.attributes(element, "SecuredFragment");
        while let Some((key, value)) = attributes.next()? {
            if matches!(key, b"FragmentType" | b"Type") {
                kind = Some(value.trim().to_owned());
            }
        }
        let text = self.text(element, "SecuredFragment")?;
        let kind = kind.unwrap_or_else(|| text.trim().to_owned());
        Ok(match kind.as_str() {
            "FileUrl" => SecuredFragment::FileUrl,
            "FileDecryption" => SecuredFragment::FileDecryption,
            _ => SecuredFragment::Other(kind),
        })
    }

    fn localized_collection(
        &mut self,
        element: &Element<'a>,
        draft: &mut Draft,
    ) -> Result<(), Error> {
        while let Some(child) = self.child(element)? {
            match child.name() {
                b"LocalizedProperties" => {
                    let texts = self.localized(&child, &mut draft.eula_files)?;
                    push(&mut draft.titles, texts, "LocalizedProperties")?;
                }
                b"EulaFile" => self.eula_file(&child, &mut draft.eula_files)?,
                _ => self.skip(&child)?,
            }
        }
        Ok(())
    }

    fn localized(
        &mut self,
        element: &Element<'a>,
        eula_files: &mut Vec<EulaFile>,
    ) -> Result<LocalizedProperties, Error> {
        let mut texts = LocalizedProperties::default();
        while let Some(child) = self.child(element)? {
            match child.name() {
                b"Language" => {
                    texts.language = self.optional(&child, "Language")?.unwrap_or_default();
                }
                b"Title" => texts.title = self.text(&child, "Title")?,
                b"Description" => texts.description = Some(self.text(&child, "Description")?),
                b"UninstallNotes" => {
                    texts.uninstall_notes = Some(self.text(&child, "UninstallNotes")?);
                }
                b"MoreInfoUrl" => self.entry(&child, "MoreInfoUrl", &mut texts.more_info_urls)?,
                b"SupportUrl" => texts.support_url = self.optional(&child, "SupportUrl")?,
                b"EulaFile" => self.eula_file(&child, eula_files)?,
                _ => self.skip(&child)?,
            }
        }
        Ok(texts)
    }

    fn eula_file(&mut self, element: &Element<'a>, list: &mut Vec<EulaFile>) -> Result<(), Error> {
        let (mut sha1, mut name, mut size) = (None, None, None);
        let (mut language, mut geo_id) = (String::new(), None);
        let mut attributes = self.attributes(element, "EulaFile");
        while let Some((key, value)) = attributes.next()? {
            match key {
                b"Digest" => sha1 = Some(attributes.at("Digest").digest::<20>(&value)?),
                b"FileName" => name = Some(value.into_owned()),
                b"Size" => size = Some(attributes.at("Size").bytes(&value)?),
                b"Language" => language = value.into_owned(),
                b"GeoId" if !value.is_empty() => geo_id = Some(value.into_owned()),
                _ => {}
            }
        }
        let sha256 = self.additional_digests(element)?;
        let file = EulaFile {
            sha1: Place::new("EulaFile", "Digest").required(sha1)?,
            sha256,
            name: Place::new("EulaFile", "FileName").required(name)?,
            size: Place::new("EulaFile", "Size").required(size)?,
            language,
            geo_id,
        };
        push(list, file, "EulaFile")
    }

    fn relationships(&mut self, element: &Element<'a>, draft: &mut Draft) -> Result<(), Error> {
        while let Some(child) = self.child(element)? {
            match child.name() {
                b"SupersededUpdates" => {
                    while let Some(entry) = self.child(&child)? {
                        if entry.name() == b"UpdateIdentity" {
                            let id = self.update_id(&entry)?;
                            push(&mut draft.superseded, id, "SupersededUpdates")?;
                        } else {
                            self.skip(&entry)?;
                        }
                    }
                }
                b"Prerequisites" => self.prerequisites(&child, &mut draft.prerequisites)?,
                b"BundledUpdates" => self.bundled(&child, &mut draft.bundled)?,
                _ => self.skip(&child)?,
            }
        }
        Ok(())
    }

    fn prerequisites(
        &mut self,
        element: &Element<'a>,
        list: &mut Vec<Prerequisite>,
    ) -> Result<(), Error> {
        let mut budget = Budget::new("Prerequisites");
        while let Some(child) = self.child(element)? {
            budget.take()?;
            match child.name() {
                b"UpdateIdentity" => list.push(Prerequisite::Update(self.update_id(&child)?)),
                b"AtLeastOne" => {
                    let mut is_category = false;
                    let mut attributes = self.attributes(&child, "AtLeastOne");
                    while let Some((key, value)) = attributes.next()? {
                        if key == b"IsCategory" {
                            is_category = attributes.at("IsCategory").boolean(&value)?;
                        }
                    }
                    let mut ids = Vec::new();
                    while let Some(entry) = self.child(&child)? {
                        budget.take()?;
                        if entry.name() == b"UpdateIdentity" {
                            ids.push(self.update_id(&entry)?);
                        } else {
                            self.skip(&entry)?;
                        }
                    }
                    list.push(Prerequisite::AtLeastOne { is_category, ids });
                }
                _ => self.skip(&child)?,
            }
        }
        Ok(())
    }

    fn bundled(&mut self, element: &Element<'a>, list: &mut Vec<Bundled>) -> Result<(), Error> {
        let mut budget = Budget::new("BundledUpdates");
        while let Some(child) = self.child(element)? {
            budget.take()?;
            match child.name() {
                b"UpdateIdentity" => list.push(Bundled::Revision(self.revision(&child)?)),
                b"AtLeastOne" => {
                    let mut ids = Vec::new();
                    while let Some(entry) = self.child(&child)? {
                        budget.take()?;
                        if entry.name() == b"UpdateIdentity" {
                            ids.push(self.revision(&entry)?);
                        } else {
                            self.skip(&entry)?;
                        }
                    }
                    list.push(Bundled::AtLeastOne(ids));
                }
                _ => self.skip(&child)?,
            }
        }
        Ok(())
    }

    fn files(&mut self, element: &Element<'a>, list: &mut Vec<File>) -> Result<(), Error> {
        while let Some(child) = self.child(element)? {
            if child.name() == b"File" {
                let file = self.file(&child)?;
                push(list, file, "File")?;
            } else {
                self.skip(&child)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, element: &Element<'a>) -> Result<File, Error> {
        let (mut sha1, mut name, mut size) = (None, None, None);
        let (mut modified, mut is_encrypted) = (None, false);
        let mut patching_type = PatchingType::default();
        let mut attributes = self.attributes(element, "File");
        while let Some((key, value)) = attributes.next()? {
            match key {
                b"Digest" => sha1 = Some(attributes.at("Digest").digest::<20>(&value)?),
                b"FileName" => name = Some(value.into_owned()),
                b"Size" => size = Some(attributes.at("Size").bytes(&value)?),
                b"Modified" => modified = Some(attributes.at("Modified").time(&value)?),
                b"PatchingType" => {
                    patching_type = attributes.at("PatchingType").patching_type(&value);
                }
                b"IsEncrypted" => is_encrypted = attributes.at("IsEncrypted").boolean(&value)?,
                _ => {}
            }
        }
        let sha256 = self.additional_digests(element)?;
        Ok(File {
            sha1: Place::new("File", "Digest").required(sha1)?,
            sha256,
            name: Place::new("File", "FileName").required(name)?,
            size: Place::new("File", "Size").required(size)?,
            modified,
            patching_type,
            is_encrypted,
        })
    }

    /// The SHA-256 among the additional digests of a file; other algorithms are passed over.
    fn additional_digests(&mut self, element: &Element<'a>) -> Result<Option<[u8; 32]>, Error> {
        let mut sha256 = None;
        while let Some(child) = self.child(element)? {
            let is_sha256 = child.name() == b"AdditionalDigest" && {
                let mut attributes = self.attributes(&child, "AdditionalDigest");
                let mut found = false;
                while let Some((key, value)) = attributes.next()? {
                    found |= key == b"Algorithm" && value.eq_ignore_ascii_case("SHA256");
                }
                found
            };
            if is_sha256 {
                let text = self.text(&child, "AdditionalDigest")?;
                let place = Place::new("AdditionalDigest", "text");
                sha256 = Some(place.digest::<32>(text.trim())?);
            } else {
                self.skip(&child)?;
            }
        }
        Ok(sha256)
    }

    fn handler_data(&mut self, element: &Element<'a>, draft: &mut Draft) -> Result<(), Error> {
        while let Some(child) = self.child(element)? {
            if child.namespace != Known::Category
                || child.start.local_name().into_inner() != b"CategoryInformation"
            {
                self.skip(&child)?;
                continue;
            }
            let (mut category_type, mut flags) = (None, CategoryFlags::default());
            let mut attributes = self.attributes(&child, "CategoryInformation");
            while let Some((key, value)) = attributes.next()? {
                match key {
                    b"CategoryType" => {
                        category_type = Some(attributes.at("CategoryType").category_type(&value)?);
                    }
                    b"ProhibitsSubcategories" => {
                        flags.prohibits_subcategories =
                            attributes.at("ProhibitsSubcategories").boolean(&value)?;
                    }
                    b"ProhibitsUpdates" => {
                        flags.prohibits_updates =
                            attributes.at("ProhibitsUpdates").boolean(&value)?;
                    }
                    b"DisplayOrder" => {
                        flags.display_order = Some(attributes.at("DisplayOrder").integer(&value)?);
                    }
                    b"ExcludedByDefault" => {
                        flags.excluded_by_default =
                            attributes.at("ExcludedByDefault").boolean(&value)?;
                    }
                    _ => {}
                }
            }
            self.skip(&child)?;
            let category_type =
                Place::new("CategoryInformation", "CategoryType").required(category_type)?;
            once(
                &mut draft.category,
                (category_type, flags),
                "CategoryInformation",
            )?;
        }
        Ok(())
    }
}

/// Bounds the entries of nested lists together.
struct Budget {
    element: &'static str,
    left: usize,
}

impl Budget {
    fn new(element: &'static str) -> Self {
        Self {
            element,
            left: MAX_LIST,
        }
    }

    fn take(&mut self) -> Result<(), Error> {
        self.left = self.left.checked_sub(1).ok_or(Error::TooMany {
            element: self.element,
            limit: MAX_LIST,
        })?;
        Ok(())
    }
}

fn push<T>(list: &mut Vec<T>, value: T, element: &'static str) -> Result<(), Error> {
    if list.len() >= MAX_LIST {
        return Err(Error::TooMany {
            element,
            limit: MAX_LIST,
        });
    }
    list.push(value);
    Ok(())
}

fn once<T>(slot: &mut Option<T>, value: T, element: &'static str) -> Result<(), Error> {
    if slot.replace(value).is_some() {
        return Err(Error::Repeated { element });
    }
    Ok(())
}
