"""What a run reports to a person or a monitor: welcome lines, a progress line, metrics."""
