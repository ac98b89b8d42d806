//! The built program as a workflow starts it by its schedule.
