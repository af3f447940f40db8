//! Names of images, short enough for a column.
//!
//! Owns: what is left out first. Must not: leave out the tag: it is what differs.

use super::text::{char_width, width};
use crate::escape::escaped;

/// Digits of a digest that tell versions apart, as docker and git show them.
const DIGEST: usize = 12;

/// Returns an image in at most `columns`: the digest is shortened first, then the path in its middle.
pub fn shorten(image: &str, columns: usize) -> String {
    let image = escaped(image);
    if width(&image) <= columns {
        return image.into_owned();
    }
    let image = shorten_digest(&image);
    if width(&image) <= columns {
        return image;
    }
    let Some((path, name)) = image.rsplit_once('/') else {
        return tail(&image, columns);
    };
    let host = path.split('/').next().unwrap_or(path);
    let short = format!("{host}/…/{name}");
    if path.contains('/') && width(&short) <= columns {
        return short;
    }
    let short = format!("…/{name}");
    if width(&short) <= columns {
        return short;
    }
    tail(name, columns)
}

fn shorten_digest(image: &str) -> String {
    let Some((name, digest)) = image.split_once('@') else {
        return image.to_owned();
    };
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return image.to_owned();
    };
    let hex: String = hex.chars().take(DIGEST).collect();
    format!("{name}@{algorithm}:{hex}")
}

/// Returns the end of the text, where the tag is.
fn tail(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let kept: Vec<char> = text
        .chars()
        .rev()
        .take_while(|c| {
            used += char_width(*c);
            used <= columns
        })
        .collect();
    std::iter::once('…').chain(kept.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_stays_readable() {
        let image = "registry.example.com/team/payments/payment-api:1.4.2";
        assert_eq!(shorten(image, 80), image);
        assert_eq!(
            shorten(image, 45),
            "registry.example.com/…/payment-api:1.4.2"
        );
        assert_eq!(shorten(image, 30), "…/payment-api:1.4.2");
        assert_eq!(shorten(image, 10), "…api:1.4.2");
    }

    #[test]
    fn a_digest_is_shortened_first() {
        let image = format!(
            "ghcr.io/acme/payment-api:1.4@sha256:{}",
            "0123456789abcdef".repeat(4)
        );
        assert_eq!(
            shorten(&image, 60),
            "ghcr.io/acme/payment-api:1.4@sha256:0123456789ab"
        );
        assert_eq!(shorten(&image, 44), "…/payment-api:1.4@sha256:0123456789ab");
    }
}
