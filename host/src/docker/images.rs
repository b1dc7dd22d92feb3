//! Images: what a name stands for, and the names themselves.

use std::collections::HashMap;

use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder};

use super::{Docker, ask};
use crate::model::{Failure, Image};
use crate::text::printable;

impl Docker {
    /// Returns the image that a name, digest or id stands for; `None` if the engine has none.
    pub async fn image(&self, name: &str) -> Result<Option<Image>, Failure> {
        let tried = || format!("looking for image `{}`", printable(name));
        if !is_image_name(name) {
            return Err(Failure::new(format!("{}: that is not an image's name", tried())));
        }
        match ask(self.api.inspect_image(name)).await {
            Ok(answer) => Ok(answer.id.map(|id| Image { name: name.to_owned(), id })),
            Err(fault) if fault.is(404) => Ok(None),
            Err(fault) => Err(fault.when(tried())),
        }
    }

    /// Gives an image one more name, as `demo-app` or `demo-app:before`. The name moves if another image had it, so
    /// this may run twice.
    pub async fn tag(&self, image: &str, name: &str) -> Result<(), Failure> {
        let tried = format!("tagging image `{}` as `{}`", printable(image), printable(name));
        if !is_image_name(image) || !is_image_name(name) || name.contains('@') {
            return Err(Failure::new(format!("{tried}: that is not an image's name")));
        }
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (name, "latest"),
        };
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        ask(self.api.tag_image(image, Some(options))).await.map_err(|fault| fault.when(tried))
    }

    /// Returns the names of an image, as `demo-app:latest`; none where the engine has no such image.
    pub async fn names_of(&self, image: &str) -> Result<Vec<String>, Failure> {
        let tried = || format!("looking for image `{}`", printable(image));
        if !is_image_name(image) {
            return Err(Failure::new(format!("{}: that is not an image's name", tried())));
        }
        match ask(self.api.inspect_image(image)).await {
            Ok(answer) => Ok(answer.repo_tags.unwrap_or_default()),
            Err(fault) if fault.is(404) => Ok(Vec::new()),
            Err(fault) => Err(fault.when(tried())),
        }
    }

    /// Returns the tags of a repository, each with the id of its image.
    pub async fn tags(&self, repository: &str) -> Result<Vec<(String, String)>, Failure> {
        let filters = HashMap::from([("reference", vec![repository.to_owned()])]);
        let options = ListImagesOptionsBuilder::default().filters(&filters).build();
        let listed = ask(self.api.list_images(Some(options))).await;
        let listed = listed.map_err(|fault| fault.when(format!("listing the images `{repository}`")))?;
        let of = |image: bollard::models::ImageSummary| {
            let tags = image
                .repo_tags
                .into_iter()
                .filter_map(|name| Some(name.strip_prefix(repository)?.strip_prefix(':')?.to_owned()));
            tags.map(|tag| (tag, image.id.clone())).collect::<Vec<_>>()
        };
        Ok(listed.into_iter().flat_map(of).collect())
    }

    /// Takes a name from an image. Where it was the last one and no container uses the image, the engine removes that too,
    /// as `docker rmi` does; the last name of one that a container uses stays (409). A name that is gone (404) is what was wanted,
    /// so this may run twice.
    pub async fn untag(&self, name: &str) -> Result<(), Failure> {
        let tried = || format!("removing the name `{}` of an image", printable(name));
        if !is_image_name(name) || name.starts_with("sha256:") {
            return Err(Failure::new(format!("{}: that is not an image's name", tried())));
        }
        let options = RemoveImageOptionsBuilder::default().build();
        match ask(self.api.remove_image(name, Some(options), None)).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.is(404) || fault.is(409) => Ok(()),
            Err(fault) => Err(fault.when(tried())),
        }
    }
}

/// Such names only become parts of a URL.
fn is_image_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    !name.is_empty() && name.chars().all(allowed) && !name.split('/').any(|part| matches!(part, "" | "." | ".."))
}
