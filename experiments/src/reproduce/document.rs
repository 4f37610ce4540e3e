//! What the reproduction says, as blocks: written out once as Markdown and once as a page.

use std::fmt::Write as _;

use ::report::{
    page::side_by_side,
    pictures::{Picture, PictureError, escape},
};

/// Part of a document.
pub enum Block {
    /// A heading of the second level.
    Heading(String),
    /// Some sentences.
    Paragraph(String),
    /// Something that must not be overlooked.
    Warning(String),
    /// A list of points.
    List(Vec<String>),
    /// Rows of cells; the first column names the row.
    Table {
        /// The line above the table.
        caption: String,
        /// Names of the columns.
        header: Vec<String>,
        /// The cells.
        rows: Vec<Vec<String>>,
    },
    /// Side by side.
    Pictures(Vec<Picture>),
}

/// A title and its blocks.
pub struct Document {
    /// Of the whole.
    pub title: String,
    /// In the order in which they are read.
    pub blocks: Vec<Block>,
}

impl Document {
    /// All pictures, to be written into the files that the Markdown names.
    pub fn pictures(&self) -> impl Iterator<Item = &Picture> {
        self.blocks.iter().flat_map(|block| match block {
            Block::Pictures(pictures) => pictures.as_slice(),
            _ => &[],
        })
    }

    /// GitHub's Markdown; pictures are those in the folder `pictures` beside it.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", self.title);
        for block in &self.blocks {
            text.push('\n');
            match block {
                Block::Heading(heading) => {
                    let _ = writeln!(text, "## {heading}");
                }
                Block::Paragraph(paragraph) => {
                    let _ = writeln!(text, "{paragraph}");
                }
                Block::Warning(warning) => {
                    let _ = writeln!(text, "> **{warning}**");
                }
                Block::List(points) => {
                    for point in points {
                        let _ = writeln!(text, "- {point}");
                    }
                }
                Block::Table {
                    caption,
                    header,
                    rows,
                } => {
                    let line = |cells: &[String]| {
                        let cells: Vec<String> =
                            cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
                        format!("| {} |\n", cells.join(" | "))
                    };
                    let _ = writeln!(text, "{caption}\n");
                    text += &line(header);
                    text += &line(&vec!["---".to_owned(); header.len()]);
                    for row in rows {
                        text += &line(row);
                    }
                }
                Block::Pictures(pictures) => {
                    for Picture { name, alt, .. } in pictures {
                        let _ = writeln!(text, "![{alt}](pictures/{name}.png)");
                    }
                }
            }
        }
        text
    }

    /// The body of a page, with the pictures in it.
    ///
    /// # Errors
    /// An image that cannot be encoded.
    pub fn html(&self) -> Result<String, PictureError> {
        let mut page = format!("<h1>{}</h1>", escape(&self.title));
        for block in &self.blocks {
            page.push('\n');
            match block {
                Block::Heading(heading) => {
                    let _ = write!(page, "<h2>{}</h2>", escape(heading));
                }
                Block::Paragraph(paragraph) => {
                    let _ = write!(page, "<p>{}</p>", escape(paragraph));
                }
                Block::Warning(warning) => {
                    let _ = write!(page, "<p class=\"warning\">{}</p>", escape(warning));
                }
                Block::List(points) => {
                    page += "<ul>";
                    for point in points {
                        let _ = write!(page, "<li>{}</li>", escape(point));
                    }
                    page += "</ul>";
                }
                Block::Table {
                    caption,
                    header,
                    rows,
                } => {
                    let _ = write!(page, "<table><caption>{}</caption><tr>", escape(caption));
                    for name in header {
                        let _ = write!(page, "<th>{}</th>", escape(name));
                    }
                    page += "</tr>";
                    for row in rows {
                        page += "<tr>";
                        for (place, cell) in row.iter().enumerate() {
                            let tag = if place == 0 { "th" } else { "td" };
                            let _ = write!(page, "<{tag}>{}</{tag}>", escape(cell));
                        }
                        page += "</tr>";
                    }
                    page += "</table>";
                }
                Block::Pictures(pictures) => page += &side_by_side(pictures)?,
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        Document {
            title: "A & B".into(),
            blocks: vec![
                Block::Warning("careful".into()),
                Block::List(vec!["EDSS < 2.0".into()]),
                Block::Table {
                    caption: "Table 1".into(),
                    header: vec!["row".into(), "a|b".into()],
                    rows: vec![vec!["x".into(), "1".into()]],
                },
            ],
        }
    }

    #[test]
    fn markdown_has_whole_tables() {
        assert_eq!(
            document().markdown(),
            "# A & B\n\n> **careful**\n\n- EDSS < 2.0\n\nTable 1\n\n| row | a\\|b |\n| --- | --- |\n| x | 1 |\n"
        );
    }

    #[test]
    fn pictures_are_files_of_the_markdown_and_elements_of_the_page() {
        let picture =
            ::report::pictures::confusion("m", "A & B", &["x", "y"], &[vec![1, 2], vec![3, 4]]);
        let document = Document {
            title: "Title".into(),
            blocks: vec![Block::Pictures(vec![picture.expect("drawn")])],
        };
        assert_eq!(document.pictures().count(), 1);
        let (text, page) = (
            document.markdown(),
            document.html().expect("no image in it"),
        );
        assert!(
            text.contains("![Confusion matrix, A & B. Of true x: 1 predicted x"),
            "{text}"
        );
        assert!(text.ends_with("](pictures/m.png)\n"));
        assert!(
            page.contains("<svg") && page.contains("aria-label=\"Confusion matrix, A &amp; B.")
        );
    }

    #[test]
    fn pages_escape_what_they_show() {
        let page = document().html().expect("no images");
        assert!(page.contains("<h1>A &amp; B</h1>") && page.contains("EDSS &lt; 2.0"));
        assert!(page.contains("<tr><th>x</th><td>1</td></tr>"));
    }
}
