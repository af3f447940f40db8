//! Any kubeconfig points somewhere or is an error that can be shown; reading it runs nothing.
//!
//! What it is told to run in the seeds would leave a trace.

use std::{cell::RefCell, path::PathBuf};

use canaryctl::{
    cli::CliError,
    cluster::connect::{Target, point},
    report::line::Painted,
};
use tokio::runtime::{Builder, Runtime};

/// What a plugin of the seeds would make.
const TRACE: &str = "/tmp/canaryctl-fuzz-plugin-ran";

/// Panics unless it is so of this input.
pub(crate) fn holds(input: &[u8]) {
    // A file of certificates may be named in it, and those of devices have no end.
    let names = |folder: &[u8]| input.windows(folder.len()).any(|part| part == folder);
    if names(b"/dev") || names(b"/proc") {
        return;
    }
    let file = std::env::temp_dir().join(format!("canaryctl-fuzz-{}", std::process::id()));
    std::fs::write(&file, input).expect("a file of its own can be written");
    for context in [None, Some("other")] {
        pointed(&Target {
            kubeconfig: Some(file.clone()),
            context: context.map(str::to_owned),
            ..Target::default()
        });
    }
    std::fs::remove_file(&file).expect("a file of its own can be removed");
    assert!(!PathBuf::from(TRACE).exists(), "something was run");
}

fn pointed(target: &Target) {
    thread_local! {
        static RUNTIME: RefCell<Runtime> =
            RefCell::new(Builder::new_current_thread().enable_all().build().expect("a runtime"));
    }
    let read = RUNTIME.with(|runtime| runtime.borrow_mut().block_on(point(target)));
    let said = match read {
        Ok(pointed) => {
            let config = pointed.config;
            // The library would retry writes.
            assert!(!config.default_retry);
            let server = config.cluster_url.to_string();
            vec![
                config.default_namespace,
                server,
                pointed.cluster,
                pointed.user.unwrap_or_default(),
            ]
        }
        Err(error) => {
            let error = CliError::from(error);
            [vec![error.text], error.hints].concat()
        }
    };
    for text in said {
        let shown = Painted::from(text);
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}
