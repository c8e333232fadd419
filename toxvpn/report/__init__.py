"""Reports of a run to a person or a monitor: welcome lines, a progress line, metrics."""
