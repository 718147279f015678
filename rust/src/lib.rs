//! `oxtask._core`: the scheduler, futures and argument walk behind `oxtask`. See `python/oxtask/_core.pyi`.

// PyO3 hands over what a method takes; that a method only looks at it is no reason for a lifetime.
#![allow(clippy::needless_pass_by_value)]

mod alarm;
mod attempt;
mod boundary;
mod caching;
mod clock;
mod collector;
mod context;
mod coroutine;
mod costs;
mod desk;
mod error;
mod flights;
mod futures;
mod gather;
mod hashing;
mod history;
mod inputs;
mod intake;
mod keys;
mod loops;
mod plan;
mod python;
mod results;
mod run;
mod runner;
mod runtime;
mod seat;
mod stream;
mod task;
mod timers;
mod unwinding;
mod verdict;
mod waiting;
mod workers;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::alarm::Alarm;
    #[pymodule_export]
    use super::caching::Caching;
    #[pymodule_export]
    use super::coroutine::RunTask;
    #[pymodule_export]
    use super::costs::Costs;
    #[pymodule_export]
    use super::flights::{PyFlight, lead_flight};
    #[pymodule_export]
    use super::futures::TaskRunFuture;
    #[pymodule_export]
    use super::gather::{Completions, all_native, settled, unsettled, values, wait_all};
    #[pymodule_export]
    use super::hashing::{hash_inputs, hash_value};
    #[pymodule_export]
    use super::history::{Trace, mixed_id, record_every_run};
    #[pymodule_export]
    use super::inputs::{futures_in, needs_resolving, resolve_here};
    #[pymodule_export]
    use super::keys::{KeyPlan, SourceKey};
    #[pymodule_export]
    use super::plan::Plan;
    #[pymodule_export]
    use super::python::register_state_class;
    #[pymodule_export]
    use super::results::{
        Envelope, Pack, StagedResult, open_record, pause_packs, resume_packs,
        resume_packs_in_child, seal_record, seal_value,
    };
    #[pymodule_export]
    use super::run::Run;
    #[pymodule_export]
    use super::runner::Runner;
    #[pymodule_export]
    use super::runtime::{after_fork_in_child, before_fork, jittered, leave};
    #[pymodule_export]
    use super::seat::frame_of;
    #[pymodule_export]
    use super::stream::Stream;
    #[pymodule_export]
    use super::task::{TaskBase, begin_direct, settle};
    #[pymodule_export]
    use super::waiting::Blocking;

    use pyo3::prelude::*;
    use pyo3::types::PyDict;

    use super::{context, unwinding};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        unwinding::prepare();
        let variables = context::variables(py);
        module.add("current_run", &variables.run)?;
        module.add("current_runner", &variables.runner)?;
        module.add("current_keeping", &variables.keeping)?;
        py.import("atexit")?.call_method1("register", (module.getattr("leave")?,))?;
        let hooks = PyDict::new(py);
        hooks.set_item("before", module.getattr("before_fork")?)?;
        hooks.set_item("after_in_child", module.getattr("after_fork_in_child")?)?;
        let os = py.import("os")?;
        os.call_method("register_at_fork", (), Some(&hooks))?;
        let hooks = PyDict::new(py);
        hooks.set_item("before", module.getattr("pause_packs")?)?;
        hooks.set_item("after_in_parent", module.getattr("resume_packs")?)?;
        hooks.set_item("after_in_child", module.getattr("resume_packs_in_child")?)?;
        os.call_method("register_at_fork", (), Some(&hooks)).map(drop)
    }
}
