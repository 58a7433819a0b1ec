//! Empty: the manifest beside it is there to fetch sources, see its comment.
