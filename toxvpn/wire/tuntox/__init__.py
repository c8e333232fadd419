"""The protocol of tuntox programs: frames, tunnels, and the order of what is sent."""
