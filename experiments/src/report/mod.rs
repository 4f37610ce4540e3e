//! What a simulation leaves for people: the report and the model's card.

mod card;
mod chart;
mod page;
mod picture;

pub use self::{
    card::{ModelCard, write_model},
    page::{STYLE, html},
};
