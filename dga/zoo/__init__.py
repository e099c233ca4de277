"""What is explained: photographs, drawn pictures, networks, and their training."""
