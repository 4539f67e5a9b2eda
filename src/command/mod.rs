//! A file a verb; each reads top-down as the recipe that its user has in mind.
