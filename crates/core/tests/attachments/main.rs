//! What holds for attachments in every world: rules stated here from their text, without the planner's help.

mod groups;
mod properties;
mod small_worlds;
mod worlds;
