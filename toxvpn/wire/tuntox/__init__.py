"""What tuntox programs say to each other: frames, tunnels, and the order of what is sent."""
