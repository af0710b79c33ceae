//! Real agent programs, as people have them, driven by the real `spec` against a model server of this folder's own: what
//! they print, how they end and how they fail is theirs, what they are told to do is the task's own text. `.ci/agents.sh`
//! installs them; a test whose program is not there says so and passes.

#[path = "../cli/env.rs"]
mod env;
mod inside;
mod model;
mod program;
mod scene;
#[path = "../honesty/world.rs"]
#[allow(dead_code, reason = "its other half is for executors that are scripts")]
mod world;

/// A test of a function for each of these programs. Those behind `also` take long and differ in little: they are driven
/// where everything is asked for.
macro_rules! with_each {
    ($what:ident: $($program:ident)+ $(, also $($more:ident)+)?) => {
        mod $what {
            $(
                #[test]
                fn $program() {
                    super::$what(crate::program::Program::named(stringify!($program)));
                }
            )+
            $($(
                #[test]
                fn $more() {
                    if crate::program::everything() {
                        super::$what(crate::program::Program::named(stringify!($more)));
                    }
                }
            )+)?
        }
    };
}

mod liars;
mod prepare;
mod runs;
mod troubles;
