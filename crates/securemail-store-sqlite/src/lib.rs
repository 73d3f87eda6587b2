//! All stores on SQLite, vault objects in files.
