//! Any page is read or is an error of one line; labels are found as they are listed.

use canaryctl::health::exposition::{ExpositionError, Sample, read};

fn samples(content_type: &str, page: &[u8]) -> Result<usize, ExpositionError> {
    let mut count = 0;
    read(content_type, page, &mut |sample: &Sample<'_>| {
        assert!(!sample.name.is_empty());
        for (name, value) in sample.labels() {
            assert_eq!(sample.label(&name), Some(value));
        }
        count += 1;
    })?;
    Ok(count)
}

/// Panics unless it is so of this input.
pub(crate) fn holds(page: &[u8]) {
    let plain = samples("text/plain; version=0.0.4", page);
    let open = samples("application/openmetrics-text; version=1.0.0", page);
    for error in [&plain, &open]
        .into_iter()
        .filter_map(|read| read.as_ref().err())
    {
        assert!(!error.to_string().chars().any(char::is_control));
    }
    if let Ok(count) = open {
        assert_eq!(plain, Ok(count));
    }
}
