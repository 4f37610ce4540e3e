//! Many small grey images with words, in as many columns as fit the page: on a phone, too.

use std::fmt::Write as _;

use crate::pictures::{PictureError, escape, grey_address};

/// Images that belong together, one below the other.
#[derive(Clone, Debug)]
pub struct Card<'a> {
    /// Above them.
    pub title: String,
    /// From the top.
    pub tiles: Vec<Tile<'a>>,
}

/// A square image, or the place of one that is not there.
#[derive(Clone, Debug)]
pub struct Tile<'a> {
    /// Below the image.
    pub caption: String,
    /// Values, row by row from the top; or why there are none.
    pub image: Result<&'a [f32], String>,
}

/// The cards as an element of a page. Each image is grey from its 1st to its 99.5th percentile.
///
/// # Errors
/// An image that is not square or cannot be encoded.
pub fn montage(cards: &[Card<'_>]) -> Result<String, PictureError> {
    let mut html = "<div class=\"montage\">".to_owned();
    for card in cards {
        let title = escape(&card.title);
        let _ = write!(html, "<figure><figcaption>{title}</figcaption>");
        for tile in &card.tiles {
            let caption = escape(&tile.caption);
            match &tile.image {
                Ok(values) => {
                    let address = grey_address(values)?;
                    let _ = write!(
                        html,
                        "<img alt=\"{title}, {caption}\" src=\"{address}\"><span>{caption}</span>"
                    );
                }
                Err(reason) => {
                    let reason = escape(reason);
                    let _ = write!(
                        html,
                        "<div class=\"empty\">{reason}</div><span>{caption}</span>"
                    );
                }
            }
        }
        html += "</figure>";
    }
    Ok(html + "</div>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::leads_outside;

    #[test]
    fn every_image_is_carried_and_one_that_is_not_there_says_why() {
        let tile = |caption: &str, image| Tile {
            caption: caption.to_owned(),
            image,
        };
        let card = Card {
            title: "patient <x>".to_owned(),
            tiles: vec![
                tile("FLAIR", Ok(&[0.25; 16][..])),
                tile("T1", Err("not there & gone".to_owned())),
            ],
        };
        let html = montage(&[card.clone(), card]).expect("encoded");
        assert_eq!(html.matches("src=\"data:image/png;base64,").count(), 2);
        assert_eq!(html.matches("not there &amp; gone").count(), 2);
        assert!(html.contains("alt=\"patient &lt;x&gt;, FLAIR\"") && !html.contains("<x>"));
        assert_eq!(leads_outside(&html), [""; 0]);
    }

    #[test]
    fn an_image_that_is_not_square_is_an_error() {
        for values in [&[0.0; 15][..], &[]] {
            let tile = Tile {
                caption: String::new(),
                image: Ok(values),
            };
            let card = Card {
                title: String::new(),
                tiles: vec![tile],
            };
            assert!(montage(&[card]).is_err());
        }
    }
}
