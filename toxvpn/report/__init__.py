"""What a person or a monitor is told of a run: welcome, progress, metrics."""
