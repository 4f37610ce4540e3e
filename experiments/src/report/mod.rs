//! What a simulation leaves for people: the report and the model's card.

mod card;
mod page;
mod round_timeline;
mod run_pictures;

pub use self::{
    card::{best_model_card, model_card, write_model},
    page::html,
    run_pictures::RunPictures,
};
