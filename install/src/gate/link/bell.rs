//! How a connection calls the task that waits for it.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Wakes a task, but not while that task is at work: then it sees what there is by itself.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<Ear>);

#[derive(Debug, Default)]
enum Ear {
    /// Nobody has to be called.
    #[default]
    Busy,
    /// It rang while nobody had to be called.
    Rung,
    /// This task is to be called.
    Waiting(Waker),
}

impl Bell {
    /// Calls nobody from now on.
    pub(super) fn mute(&self) {
        *self.ear() = Ear::Busy;
    }

    /// Calls `task` when it rings, or at once where it has rung since it was muted.
    pub(super) fn call(&self, task: &Waker) {
        let mut ear = self.ear();
        match *ear {
            Ear::Rung => task.wake_by_ref(),
            Ear::Busy | Ear::Waiting(_) => *ear = Ear::Waiting(task.clone()),
        }
    }

    fn ear(&self) -> MutexGuard<'_, Ear> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let ear = mem::replace(&mut *self.ear(), Ear::Rung);
        if let Ear::Waiting(task) = ear {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_called_once_and_not_while_it_works() {
        let (bell, count) = (Arc::new(Bell::default()), Arc::new(Count::default()));
        let (rope, task) = (Waker::from(bell.clone()), Waker::from(count.clone()));
        let called = || count.0.load(Ordering::Relaxed);
        bell.mute();
        bell.call(&task);
        rope.wake_by_ref();
        rope.wake_by_ref();
        assert_eq!(called(), 1);
        bell.mute();
        rope.wake_by_ref();
        assert_eq!(called(), 1);
        bell.call(&task);
        assert_eq!(called(), 2, "it missed one");
    }
}
