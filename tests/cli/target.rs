//! FILE: what it may be, and what is said when it is not.
