//! What a simulation leaves for people: the report and the model's card.

mod card;
mod page;
mod run_pictures;

pub use self::{
    card::{ModelCard, write_model},
    page::{STYLE, html, side_by_side},
    run_pictures::RunPictures,
};
