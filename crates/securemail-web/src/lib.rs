//! The retrieval portal, the sender's form, and callbacks.
