//! What people see of a run: the charts of the summary, read by the real Mermaid, and the page.

mod charts;
mod made_up;
mod page;
